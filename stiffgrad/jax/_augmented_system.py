"""The adjoint equation and its parameter integral as one implicit system of n + m equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import lax
from jax.scipy.linalg import lu_factor, lu_solve

from stiffgrad.jax._adjoint_system import AdjointSystem, Along
from stiffgrad.jax._array_coupled import ArrayCoupled

Loop = TypeVar("Loop", bound=Callable[..., Any])


class AugmentedSystem:
    """`(lambda, q)` with `q' = f_p^T lambda`: what the dense Jacobian of both costs.

    Nothing depends on q, and its rows could be left out of the elimination; here they are not.

    Args:
        adjoint: the equation of lambda.
        size: for how many of the parameters.
        first: the index of the first of them.
    """

    engine = "array"
    timed = True

    def __init__(self, adjoint: AdjointSystem, size: int, first: jax.Array) -> None:
        self.adjoint = adjoint
        self._size, self._first = size, first
        self.n, self.m, self.dtype = adjoint.n + size, adjoint.m, adjoint.dtype
        mass = np.eye(adjoint.n) if adjoint.mass is None else adjoint.mass
        self._mass = scipy.linalg.block_diag(mass, np.eye(size))
        self.mass = None if adjoint.mass is None else self._mass

    def rolled(self, y: jax.Array) -> bool:
        return True

    def compiled(self, loop: Loop, written: int = 0) -> Loop:
        """LAPACK calls keep a loop from being one native function."""
        return loop

    def rhs(self, t: jax.Array, y: jax.Array, p: Along) -> jax.Array:
        return self._own(self.adjoint.pulled(t, y[: self.adjoint.n], p))

    def _own(self, both: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.concatenate([both[0], self.chosen(both[1])])

    def chosen(self, of_all: jax.Array) -> jax.Array:
        """Of a vector with a number for every parameter, the part for its own."""
        return lax.dynamic_slice_in_dim(of_all, self._first, self._size)

    def linearise(self, t: jax.Array, y: jax.Array, p: Along) -> tuple[jax.Array, jax.Array]:
        n = self.adjoint.n
        _, moved = self.adjoint.linearise_both(t, y[:n], p)
        columns = jax.vmap(lambda v: self._own(self.adjoint.pulled(t, v, p)))
        unit = jnp.eye(n, dtype=self.dtype)
        jacobian = jnp.zeros((self.n, self.n), self.dtype).at[:, :n].set(columns(unit).T)
        return jacobian, self._own(moved)

    def factor(self, jacobian: jax.Array, shift: jax.Array) -> Any:
        return lu_factor(shift * jnp.asarray(self._mass, self.dtype) - jacobian)

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return lu_solve(factors, b)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return lu_solve(factors, b, trans=1)

    def backward_error(
        self, jacobian: jax.Array, shift: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        return jnp.where(jnp.any(jnp.diagonal(factors[0]) == 0), jnp.inf, jnp.zeros_like(shift))

    def coupled(self, inverse: np.ndarray) -> ArrayCoupled:
        return ArrayCoupled(self.mass, inverse, self.n, self.dtype)

    def apply_mass(self, v: jax.Array) -> jax.Array:
        n = self.adjoint.n
        return jnp.concatenate([self.adjoint.apply_mass(v[:n]), v[n:]])

    def apply_mass_transposed(self, v: jax.Array) -> jax.Array:
        n = self.adjoint.n
        return jnp.concatenate([self.adjoint.apply_mass_transposed(v[:n]), v[n:]])
