"""A linear map with a transpose of its own.

`jax.custom_jvp` serves forward and reverse mode at once only where JAX can transpose the tangent's
computation, and it cannot transpose loops of unknown length. Here the transpose is given; and
other than with :func:`jax.custom_derivatives.linear_call`, the map can be batched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
from jax.interpreters import ad, batching, mlir

Flat = tuple[jax.Array, ...]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A linear map and its transpose.

    Attributes:
        push: from residuals and the arguments to the result, an array.
        pull: from residuals and the result's cotangent to the arguments' cotangents.
    """

    push: Callable[..., jax.Array]
    pull: Callable[..., Flat]


def apply(pair: Pair, residuals: Any, arguments: Flat, result: jax.ShapeDtypeStruct) -> jax.Array:
    """`pair.push(residuals, *arguments)`, transposed by `pair.pull(residuals, cotangent)`.

    Args:
        pair: the map.
        residuals: pytree that the map depends on, in any way.
        arguments: arrays that it is linear in.
        result: shape and type of its value.
    """
    leaves, tree = jax.tree.flatten(residuals)

    def push(leaves: Sequence[jax.Array], *arguments: jax.Array) -> jax.Array:
        return pair.push(jax.tree.unflatten(tree, leaves), *arguments)

    def pull(leaves: Sequence[jax.Array], cotangent: jax.Array) -> Flat:
        return pair.pull(jax.tree.unflatten(tree, leaves), cotangent)

    aval = jax.core.ShapedArray(result.shape, result.dtype)
    return _linear_p.bind(
        *leaves, *arguments, pair=Pair(push, pull), fixed=len(leaves), result=aval
    )


_linear_p = jex.Primitive("stiffgrad_linear")


def _push(*args: jax.Array, pair: Pair, fixed: int, result: Any) -> jax.Array:
    return pair.push(args[:fixed], *args[fixed:])


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    fixed = params["fixed"]
    value = _linear_p.bind(*primals, **params)
    if all(type(t) is ad.Zero for t in tangents[:fixed]):
        along = [ad.instantiate_zeros(t) for t in tangents[fixed:]]
        return value, _linear_p.bind(*primals[:fixed], *along, **params)
    along = [ad.instantiate_zeros(t) for t in tangents]
    return value, jax.jvp(lambda *args: _push(*args, **params), tuple(primals), tuple(along))[1]


def _transpose(cotangent: Any, *args: Any, pair: Pair, fixed: int, result: Any) -> list[Any]:
    arguments = args[fixed:]
    if type(cotangent) is ad.Zero:
        return [None] * fixed + [ad.Zero(x.aval) for x in arguments]
    return [None] * fixed + list(pair.pull(args[:fixed], cotangent))


def _batch(args: Sequence[Any], dims: Sequence[Any], **params: Any) -> tuple[jax.Array, int]:
    pair, fixed, result = params["pair"], params["fixed"], params["result"]
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    axes = tuple(dims[:fixed])
    arguments = [
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(args[fixed:], dims[fixed:], strict=True)
    ]
    mapped = _mapped(pair, axes, len(arguments))
    aval = jax.core.ShapedArray((size, *result.shape), result.dtype)
    out = _linear_p.bind(*args[:fixed], *arguments, pair=mapped, fixed=fixed, result=aval)
    return out, 0


def _mapped(pair: Pair, axes: tuple[Any, ...], arguments: int) -> Pair:
    """The pair with a leading axis on arguments and result, and `axes` on the residuals."""

    def pull(leaves: Sequence[jax.Array], cotangent: jax.Array) -> Flat:
        return jax.vmap(pair.pull, in_axes=(axes, 0))(tuple(leaves), cotangent)

    def push(leaves: Sequence[jax.Array], *arguments: jax.Array) -> jax.Array:
        over = (axes, *[0] * len(arguments))
        return jax.vmap(pair.push, in_axes=over)(tuple(leaves), *arguments)

    return Pair(push, pull)


_linear_p.def_impl(lambda *args, **params: jax.jit(partial(_push, **params))(*args))
_linear_p.def_abstract_eval(lambda *args, pair, fixed, result: result)
ad.primitive_jvps[_linear_p] = _jvp
ad.primitive_transposes[_linear_p] = _transpose
batching.primitive_batchers[_linear_p] = _batch
mlir.register_lowering(_linear_p, mlir.lower_fun(_push, multiple_results=False))
