"""Mapping a solve: trajectories side by side as lanes, in blocks taken one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from stiffgrad.jax._types import ArgumentError

# On a CPU the rows that a block uses should stay in the cache; ROBER takes 50 us a lane with 32, 36
# with 64 and 128.
_LANES_PER_BLOCK = 64
_BYTES_PER_BLOCK = 2**26


def mappable(
    single: Callable[..., Any],
    lanes: Callable[..., Any] | None,
    unmapped: Callable[..., Any] | None = None,
    dropped: int = 0,
    again: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """A compiled `single` that becomes `lanes` under `vmap`, however deeply mapped.

    Args:
        single: a function of pytrees.
        lanes: the same for arguments with a leading axis each, whose results have it too; None to
            take them one after the other.
        unmapped: where given, `single` returns a pair; this makes the second of it, the same for
            all lanes, from the mapped arguments, and `lanes` returns the first alone.
        dropped: how many of the last arguments of `single` `lanes` goes without.
        again: `single` without those arguments, for where `lanes` is None.
    """
    if lanes is None:
        lanes = _one_by_one(again or single, paired=unmapped is not None)
    compiled = jax.jit(single)
    compiled_lanes = jax.jit(lanes)
    one = custom_vmap(compiled)
    many = custom_vmap(compiled_lanes)

    @one.def_vmap
    def _map_once(size: int, batched: list[Any], *args: Any) -> tuple[Any, Any]:
        kept = len(args) - dropped
        full = _lead(size, batched[:kept], args[:kept])
        out = many(*full)
        flags = jax.tree.map(lambda _: True, out)
        if unmapped is None:
            return out, flags
        same = unmapped(*full)
        return (out, same), (flags, jax.tree.map(lambda _: False, same))

    @many.def_vmap
    def _map_again(size: int, batched: list[Any], *args: Any) -> tuple[Any, Any]:
        full = _lead(size, batched, args)
        inner = jax.tree.leaves(full)[0].shape[1]
        flat = jax.tree.map(lambda x: x.reshape(size * inner, *x.shape[2:]), full)
        out = jax.tree.map(lambda x: x.reshape(size, inner, *x.shape[1:]), many(*flat))
        return out, jax.tree.map(lambda _: True, out)

    def call(*args: Any) -> Any:
        traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(args))
        return one(*args) if traced else compiled(*args)

    return _once_differentiable(call)


def _once_differentiable(fun: Callable[..., Any]) -> Callable[..., Any]:
    guarded = jax.custom_jvp(fun)

    @guarded.defjvp
    def _refuse(primals: Any, tangents: Any) -> Any:
        raise ArgumentError(
            "second derivatives of a solve are not available: take differences of gradients"
        )

    return guarded


def one_by_one(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`fun`, which a map runs for one trajectory after the other, however deeply mapped.

    Loops that are compiled as one function must not be mapped by JAX itself, which would write
    their records by scatters.
    """
    one = custom_vmap(fun)

    @one.def_vmap
    def _map(size: int, batched: list[Any], *args: Any) -> tuple[Any, Any]:
        out = lax.map(lambda x: one(*x), _lead(size, batched, args))
        return out, jax.tree.map(lambda _: True, out)

    return one


def _one_by_one(single: Callable[..., Any], paired: bool) -> Callable[..., Any]:
    def lanes(*args: Any) -> Any:
        return lax.map(lambda one: single(*one)[0] if paired else single(*one), args)

    return lanes


def _lead(size: int, batched: Any, args: Any) -> Any:
    def lead(has: bool, x: jax.Array) -> jax.Array:
        return x if has else jnp.broadcast_to(x, (size, *jnp.shape(x)))

    return jax.tree.map(lead, tuple(batched), tuple(args))


def over_blocks(
    block: Callable[[Any, Any], tuple[Any, Any]], args: Any, room: Callable[[Any], Any]
) -> Any:
    """Results of `block` for arguments with a leading axis, block by block.

    Args:
        block: from a scratch value and arguments with trailing lanes to the scratch value for the
            next block and results with trailing lanes.
        args: pytree of arrays with a leading axis of equal length.
        room: the first scratch value, from the arguments of one block.
    """
    leaves = jax.tree.leaves(args)
    total = len(leaves[0])
    first = jax.eval_shape(lambda x: room(jax.tree.map(_trailing, x)), _cut(args, 1))
    size = _block_size(total, math.prod(first.shape) * first.dtype.itemsize)
    count = -(-total // size)
    padded = jax.tree.map(lambda x: _pad(x, count * size).reshape(count, size, *x.shape[1:]), args)

    def body(scratch: Any, args: Any) -> tuple[Any, Any]:
        scratch, out = block(scratch, jax.tree.map(_trailing, args))
        return scratch, jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), out)

    scratch = room(jax.tree.map(_trailing, _cut(args, size)))
    _, out = lax.scan(body, scratch, padded)
    return jax.tree.map(lambda x: x.reshape(count * size, *x.shape[2:])[:total], out)


def _trailing(x: jax.Array) -> jax.Array:
    return jnp.moveaxis(x, 0, -1)


def _cut(args: Any, size: int) -> Any:
    return jax.tree.map(lambda x: x[:size], args)


def _pad(x: jax.Array, size: int) -> jax.Array:
    return jnp.concatenate([x, jnp.broadcast_to(x[-1:], (size - len(x), *x.shape[1:]))])


def _block_size(total: int, bytes_per_lane: int) -> int:
    if jax.default_backend() != "cpu":
        return total
    fitting = max(1, _BYTES_PER_BLOCK // max(1, bytes_per_lane))
    return min(total, _LANES_PER_BLOCK, fitting)
