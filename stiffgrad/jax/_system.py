"""What an integrator and a strategy may ask of a right-hand side, whatever engine computes it.

Vectors have the component on their first axis and the lanes, the trajectories solved side by side,
behind it: a state is `(n, *lanes)`, parameters are `(m, *lanes)`, times and step sizes are `lanes`;
`lanes` is `()` or `(L,)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import jax
import numpy as np

from stiffgrad.jax._flatten import Traced

Loop = TypeVar("Loop", bound=Callable[..., Any])


class Coupled(Protocol):
    """Linear systems of all stages of a fully implicit method together.

    Their matrix is `W = A^-1 x M / h - diag(J_1, ..., J_s)`, in s x s blocks; vectors have the
    stage on a leading axis, (s, n, *lanes).
    """

    def factor(self, jacobians: Any, h: jax.Array) -> Any:
        """Factors of W.

        jacobians are those of :meth:`System.linearise`, in its form, the stage on a leading axis.
        """

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        """Solution of `W x = b`."""

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        """Solution of `W^T x = b`."""

    def backward_error(
        self, jacobians: Any, h: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        """As :meth:`System.backward_error`."""


class System(Protocol):
    """A problem M y' = f(t, y, p) with its derivatives and linear systems."""

    #: What it was made from.
    traced: Traced
    engine: str
    n: int
    m: int
    dtype: Any
    #: False where f does not depend on t: then there is no f_t, and no stage needs its time.
    timed: bool
    #: M, (n, n), or None for the identity.
    mass: np.ndarray | None
    #: The most tangents that a compiled loop may carry; None for any number.
    most_tangents: int | None

    def rolled(self, y: jax.Array) -> bool:
        """Whether stages of this shape are better rolled into a loop than written out."""

    def compiled(self, loop: Loop, written: int = 0) -> Loop:
        """`loop`, marked for the compiler as suits the engine.

        So many of its last arguments are arrays that it writes into and returns.
        """

    def rhs(self, t: jax.Array, y: jax.Array, p: jax.Array) -> jax.Array:
        """f, of shape `(n, *lanes)`."""

    def linearise(self, t: jax.Array, y: jax.Array, p: jax.Array) -> tuple[Any, jax.Array | None]:
        """The Jacobian in the engine's own form, and f_t or None."""

    def factor(self, jacobian: Any, shift: jax.Array) -> Any:
        """Factors of `W = shift M - J`."""

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        """Solution of `W x = b`."""

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        """Solution of `W^T x = b`."""

    def backward_error(
        self, jacobian: Any, shift: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        """How far x is from solving `W x = b`, of shape `lanes`.

        The componentwise relative backward error (Oettli and Prager, Numerische Mathematik 6,
        1964) where the elimination did not pivot; infinite where W is singular to working accuracy.
        """

    def coupled(self, inverse: np.ndarray) -> Coupled:
        """The linear systems of a method whose coefficients A, (s, s), have this inverse."""

    def apply_mass(self, v: jax.Array) -> jax.Array:
        """`M v`."""

    def apply_mass_transposed(self, v: jax.Array) -> jax.Array:
        """`M^T v`."""

    def dense_jacobian(self, jacobian: Any) -> jax.Array:
        """The Jacobian from :meth:`linearise` as a matrix, (n, n, *lanes)."""

    def rhs_jvp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, y_dot: jax.Array, p_dot: jax.Array
    ) -> jax.Array:
        """`f_y y_dot + f_p p_dot`."""

    def rhs_vjp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, v: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """`v^T f_y` and `v^T f_p`."""

    def linearise_vjp(
        self,
        t: jax.Array,
        y: jax.Array,
        p: jax.Array,
        u: jax.Array,
        v: jax.Array,
        w: jax.Array | None,
    ) -> tuple[jax.Array, jax.Array]:
        """Derivatives of `sum_i v_i^T J u_i + w^T f_t` with respect to y and p.

        u and v have the stage on a leading axis; w is None where f_t is.
        """

    def linearise_jvp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, y_dot: jax.Array, p_dot: jax.Array
    ) -> tuple[Callable[[jax.Array], jax.Array], jax.Array | None]:
        """Directional derivatives of J, as its product with a vector, and of f_t or None."""
