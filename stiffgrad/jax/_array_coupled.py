"""The coupled stages of fully implicit methods in the array engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import lu_factor, lu_solve


class ArrayCoupled:
    """Pivoted LU of the matrix of all stages, from LAPACK; see :class:`_system.Coupled`.

    Args:
        mass: M, or None for the identity.
        inverse: of the method's coefficients, (s, s).
        n: states.
        dtype: of the numbers.
    """

    def __init__(self, mass: np.ndarray | None, inverse: np.ndarray, n: int, dtype: Any) -> None:
        self._shape = len(inverse), n
        self._constant = np.kron(inverse, np.eye(n) if mass is None else mass).astype(dtype)

    def _factor(self, matrix: jax.Array) -> Any:
        return lu_factor(matrix)

    def _solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return lu_solve(factors, b)

    def _solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return lu_solve(factors, b, trans=1)

    def factor(self, jacobians: jax.Array, h: jax.Array) -> Any:
        s, n = self._shape

        def one(jacobians: jax.Array, h: jax.Array) -> Any:
            blocks = jnp.eye(s, dtype=h.dtype)[:, None, :, None] * jacobians[:, :, None, :]
            return self._factor(jnp.asarray(self._constant) / h - blocks.reshape(s * n, s * n))

        return _over_lanes(one, h)(jacobians, h)

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return self._stacked(self._solve, factors, b)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return self._stacked(self._solve_transposed, factors, b)

    def _stacked(self, solve: Callable[..., Any], factors: Any, b: jax.Array) -> jax.Array:
        def one(factors: Any, b: jax.Array) -> jax.Array:
            return solve(factors, b.ravel()).reshape(b.shape)

        return _over_lanes(one, b[0, 0])(factors, b)

    def backward_error(
        self, jacobians: jax.Array, h: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        pivots = jnp.diagonal(factors[0], axis1=0, axis2=1)
        return jnp.where(jnp.any(pivots == 0, axis=-1), jnp.inf, jnp.zeros_like(h))


def _over_lanes(fun: Callable[..., Any], like: jax.Array) -> Callable[..., Any]:
    """`fun` mapped over the trailing lane axis, where `like`, of the lanes' shape, has one."""
    return jax.vmap(fun, in_axes=-1, out_axes=-1) if like.ndim else fun
