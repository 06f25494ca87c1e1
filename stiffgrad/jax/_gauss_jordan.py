"""Small dense linear systems inside a native function, without LAPACK and dot products."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax


def refined(inverse: jax.Array, matrix: jax.Array, b: jax.Array) -> jax.Array:
    """`matrix^-1 b`, with one step of iterative refinement to make up for using an inverse."""
    x = product(inverse, b)
    return x + product(inverse, b - product(matrix, x))


def product(matrix: jax.Array, v: jax.Array) -> jax.Array:
    """`matrix v`, column by column: XLA hands larger sums of products to a library."""

    def add(j: jax.Array, total: jax.Array) -> jax.Array:
        column = lax.dynamic_index_in_dim(matrix, j, axis=1, keepdims=False)
        return total + column * lax.dynamic_index_in_dim(v, j, keepdims=False)

    return lax.fori_loop(0, len(v), add, jnp.zeros_like(v))


def inverse(matrix: jax.Array) -> jax.Array:
    """The inverse of a small matrix by Gauss-Jordan elimination with partial pivoting.

    In loops, that compile in the same time whatever the size; and without large sums, which XLA
    hands to a library.
    """
    n = len(matrix)

    def pick(work: jax.Array, largest: jax.Array) -> jax.Array:
        """A row, not by its index: that would be a gather where lanes each have their own."""

        def add(i: jax.Array, total: jax.Array) -> jax.Array:
            return total + jnp.where(i == largest, lax.dynamic_slice_in_dim(work, i, 1), 0)

        return lax.fori_loop(0, n, add, jnp.zeros_like(lax.slice_in_dim(work, 0, 1)))

    rows = lax.broadcasted_iota(jnp.int32, (n, 1), 0)

    def eliminate(k: jax.Array, work: jax.Array) -> jax.Array:
        size = jnp.where(rows >= k, jnp.abs(lax.dynamic_slice_in_dim(work, k, 1, axis=1)), -1)
        # The first of the largest: argmax would be a reduction over pairs.
        largest = jnp.min(jnp.where(size == jnp.max(size), rows, n))
        pivot_row = pick(work, largest)
        displaced = lax.dynamic_slice_in_dim(work, k, 1, axis=0)
        work = jnp.where(rows == largest, displaced, work)
        pivot_row = pivot_row / lax.dynamic_slice_in_dim(pivot_row, k, 1, axis=1)
        column = lax.dynamic_slice_in_dim(work, k, 1, axis=1)
        return jnp.where(rows == k, pivot_row, work - column * pivot_row)

    work = jnp.concatenate([matrix, jnp.eye(n, dtype=matrix.dtype)], axis=1)
    work = lax.fori_loop(0, n, eliminate, work)
    return lax.slice_in_dim(work, n, 2 * n, axis=1)
