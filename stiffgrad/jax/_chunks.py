"""An adjoint for some of the parameters at a time, in passes side by side."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Gradient = tuple[jax.Array, jax.Array, jax.Array]


def chunk_size(m: int, chunk: int | None) -> int:
    """How many of m parameters a pass takes."""
    return m if chunk is None else min(chunk, m)


def by_chunks(one: Callable[[jax.Array], Gradient], m: int, size: int) -> Gradient:
    """Cotangents of y0 and of all m parameters, and the worst status of the passes.

    Args:
        one: a pass: from the index of its first parameter to the cotangents of y0 and of `size`
            parameters, and its status.
        m, size: how many parameters there are, and how many to a pass.
    """
    if size == m:
        return one(jnp.zeros((), jnp.int32))
    # The last pass takes some parameters again rather than fewer.
    firsts = np.minimum(np.arange(-(-m // size)) * size, m - size)
    y_bars, p_bars, statuses = jax.vmap(one)(jnp.asarray(firsts, jnp.int32))
    each = np.arange(m)
    number = each // size
    return y_bars[0], p_bars[number, each - firsts[number]], jnp.max(statuses)
