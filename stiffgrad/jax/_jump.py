"""The jump of the adjoint at an observation, with or without a mass matrix."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from stiffgrad.jax._system import System
from stiffgrad.jax._types import ArgumentError


def check_mass(name: str, mass: np.ndarray | None) -> None:
    """Refuse a mass matrix whose algebraic part is not plain to see.

    Raises:
        ArgumentError: if M without its zero rows and columns is not a regular square matrix.
    """
    if mass is None:
        return
    part = mass[np.any(mass != 0, axis=1)][:, np.any(mass != 0, axis=0)]
    if part.shape[0] != part.shape[1] or np.linalg.matrix_rank(part) < len(part):
        raise ArgumentError(
            f"adjoint={name!r} takes a singular mass matrix whose zero rows are the algebraic "
            "equations and whose zero columns the algebraic states; combine the equations so that "
            'it has them, or ask for adjoint="discrete"'
        )


def jump(
    system: System, t: jax.Array, y: jax.Array, p: jax.Array, dual: jax.Array, y_bar: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
    """lambda before an observation from that behind it, and what it adds to dL/dp.

    With a mass matrix `M^T lambda` jumps by what the observation says about the differential
    states. Of an algebraic state z, with `0 = h(y, z, p)`, it says so through h: its cotangent g_z
    becomes `-h_y^T h_z^-T g_z` on y and `-h_p^T h_z^-T g_z` on p (Kim et al., Chaos 31, 093122,
    2021, eq. 17 to 24; Cao, Li, Petzold and Serban, SIAM J. Sci. Comput. 24, 2003); and lambda is
    made to satisfy the algebraic part of its own equation.

    Args:
        system: the system whose adjoint it is.
        t, y, p: where.
        dual: (n,), lambda behind the observation.
        y_bar: (n,), the loss's derivative by the observed state.

    Returns:
        lambda, and the term or None where there cannot be one.
    """
    if system.mass is None:
        return dual + y_bar, None
    # Both are an implicit step of next to no length: `(shift M - J)^T` with a shift so large that
    # the other entries of M's rows vanish beside it, while the algebraic rows stay what they are.
    shift = jnp.asarray(float(jnp.finfo(y.dtype).max) ** 0.4, y.dtype)
    factors = system.factor(system.linearise(t, y, p)[0], shift)
    move = system.solve_transposed(factors, y_bar)
    carried = system.apply_mass_transposed(dual + shift * move)
    dual = system.solve_transposed(factors, shift * carried)
    return dual, system.rhs_vjp(t, y, p, move)[1]
