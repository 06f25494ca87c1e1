"""The coupled stages of fully implicit methods in the inline engine."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from stiffgrad.jax._array_coupled import ArrayCoupled
from stiffgrad.jax._gauss_jordan import inverse, refined


class InlineCoupled(ArrayCoupled):
    """The inverse of the matrix of all stages by Gauss-Jordan elimination."""

    def _factor(self, matrix: jax.Array) -> Any:
        return inverse(matrix), matrix

    def _solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return refined(factors[0], factors[1], b)

    def _solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return refined(factors[0].T, factors[1].T, b)

    def backward_error(
        self, jacobians: jax.Array, h: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        singular = ~jnp.all(jnp.isfinite(factors[0]), axis=(0, 1))
        return jnp.where(singular, jnp.inf, jnp.zeros_like(h))
