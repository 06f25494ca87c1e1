"""Vectors by stage, as a list where stages are written out or as an array where they are rolled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Stack = Sequence[jax.Array] | jax.Array
Coefficients = np.ndarray | jax.Array


def row(array: jax.Array, index: Any) -> jax.Array:
    """`array[index]` for an index in bounds, without the gather that indexing would make."""
    return lax.dynamic_index_in_dim(array, index, axis=0, keepdims=False)


def put(stack: jax.Array, value: jax.Array, i: Any) -> jax.Array:
    """The array with `value` at `i` of its first axis."""
    return lax.dynamic_update_index_in_dim(stack, value, i, 0)


def item(stack: Stack, i: Any) -> jax.Array:
    """The vector of stage `i`."""
    return stack[i] if isinstance(stack, Sequence) else row(stack, i)


def stacked(stack: Stack) -> jax.Array:
    """The vectors as one array, the stage first."""
    return jnp.stack(stack) if isinstance(stack, Sequence) else stack


def weighted(
    weights: Coefficients, vectors: Stack, start: Any = None, scale: Any = None
) -> jax.Array:
    """`start + scale * sum_i weights_i vectors_i`; known zeros are left out."""
    total = None
    for i in range(len(weights)):
        known = isinstance(weights, np.ndarray)
        if known and weights[i] == 0:
            continue
        # A Python float takes the vectors' precision; a NumPy scalar would impose its own.
        weight = float(weights[i]) if known else weights[i]
        term = vectors[i] if known and weight == 1 else weight * vectors[i]
        total = term if total is None else total + term
    if total is None:
        return jnp.zeros_like(vectors[0]) if start is None else start
    if scale is not None:
        total = total * scale
    return total if start is None else start + total


def pick(array: jax.Array, index: jax.Array) -> jax.Array:
    """`array[index]` on the first axis, each lane with its own index."""
    if not index.ndim:
        return row(array, index)
    where = jnp.expand_dims(index, tuple(range(array.ndim - 1)))
    where = jnp.broadcast_to(where, (1, *array.shape[1:]))
    return jnp.take_along_axis(array, where, axis=0, mode="promise_in_bounds")[0]
