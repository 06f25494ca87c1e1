"""From a traced function on arrays to scalar expressions, one graph node per array element.

Arrays become integer NumPy arrays of node ids, so data movement is NumPy indexing and arithmetic is
one node per element. Anything that has no static scalar form raises :class:`NotScalar`, and the
caller takes the array engine instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as jprim

from stiffgrad.jax._graph import Graph

Ids = np.ndarray
_Rule = Callable[[Graph, Sequence[Ids], Mapping[str, Any], Any], Ids]


class NotScalar(Exception):
    """The function uses an operation that cannot be written as static scalar arithmetic."""


def interpret(graph: Graph, closed: jex.ClosedJaxpr, args: Sequence[Ids]) -> list[Ids]:
    """Node ids of the outputs of `closed` for arguments given as arrays of node ids.

    Raises:
        NotScalar: if an operation has no scalar form.
    """
    jaxpr = closed.jaxpr
    values: dict[Any, Ids] = dict(zip(jaxpr.invars, args, strict=True))
    for var, const in zip(jaxpr.constvars, closed.consts, strict=True):
        values[var] = constants(graph, const)
    for eqn in jaxpr.eqns:
        operands = [_read(graph, values, atom) for atom in eqn.invars]
        results = _apply(graph, eqn, operands)
        values.update(zip(eqn.outvars, results, strict=True))
    return [_read(graph, values, atom) for atom in jaxpr.outvars]


def constants(graph: Graph, value: Any) -> Ids:
    """Node ids of a concrete array."""
    if isinstance(value, jax.core.Tracer):
        raise NotScalar("a value traced outside the right-hand side")
    array = np.asarray(value)
    flat = [graph.constant(x, array.dtype) for x in array.ravel()]
    return np.asarray(flat, np.int64).reshape(array.shape)


def _read(graph: Graph, values: Mapping[Any, Ids], atom: Any) -> Ids:
    return constants(graph, atom.val) if isinstance(atom, jex.Literal) else values[atom]


def _apply(graph: Graph, eqn: Any, operands: Sequence[Ids]) -> list[Ids]:
    name = eqn.primitive.name
    if name in _CALLS:
        return interpret(graph, eqn.params["jaxpr"], operands)
    aval = eqn.outvars[0].aval
    if name in _RULES:
        return [_RULES[name](graph, operands, eqn.params, aval)]
    if name in _ELEMENTWISE:
        return [_elementwise(graph, eqn.primitive, operands, eqn.params, aval)]
    if name in _MOVES:
        return _move(graph, eqn.primitive, operands, eqn.params)
    raise NotScalar(f"the operation {name!r}")


_CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "checkpoint"})

# Primitives that act on each element alone; JAX's own derivative rules serve where the graph has
# none. Random bits, custom derivative rules and control flow are absent on purpose.
_ELEMENTWISE = frozenset(
    [
        "abs",
        "acos",
        "acosh",
        "add",
        "add_any",
        "and",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "cbrt",
        "ceil",
        "clamp",
        "convert_element_type",
        "copy",
        "copy_p",
        "cos",
        "cosh",
        "digamma",
        "div",
        "eq",
        "erf",
        "erf_inv",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "ge",
        "gt",
        "integer_pow",
        "is_finite",
        "le",
        "lgamma",
        "log",
        "log1p",
        "logistic",
        "lt",
        "max",
        "min",
        "mul",
        "ne",
        "neg",
        "not",
        "or",
        "pow",
        "rem",
        "round",
        "rsqrt",
        "select_n",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "sub",
        "tan",
        "tanh",
        "xor",
    ]
)

# Primitives that only move elements: JAX itself moves the ids.
_MOVES = frozenset(
    [
        "broadcast_in_dim",
        "concatenate",
        "dynamic_slice",
        "dynamic_update_slice",
        "expand_dims",
        "gather",
        "pad",
        "reshape",
        "rev",
        "scatter",
        "slice",
        "split",
        "squeeze",
        "stack",
        "transpose",
    ]
)


def _elementwise(
    graph: Graph,
    primitive: jex.Primitive,
    operands: Sequence[Ids],
    params: Mapping[str, Any],
    aval: Any,
) -> Ids:
    arrays = np.broadcast_arrays(*operands)
    flat = zip(*(a.ravel() for a in arrays), strict=True)
    ids = [graph.apply(primitive, [int(a) for a in args], params, aval.dtype) for args in flat]
    return np.asarray(ids, np.int64).reshape(aval.shape)


def _move(
    graph: Graph,
    primitive: jex.Primitive,
    operands: Sequence[Ids],
    params: Mapping[str, Any],
) -> list[Ids]:
    data = _MOVED_OPERANDS.get(primitive.name)
    params = dict(params)
    if primitive.name == "gather":
        params["fill_value"] = -1
    # Arrays made outside of it would be traced where the solve itself is inside a jit.
    with jax.ensure_compile_time_eval():
        arguments = [
            jnp.asarray(ids if data is None or position in data else _concrete(graph, ids))
            for position, ids in enumerate(operands)
        ]
        moved = primitive.bind(*arguments, **params)
    found = [np.asarray(ids) for ids in (moved if primitive.multiple_results else [moved])]
    if any((ids < 0).any() for ids in found):
        raise NotScalar("an index out of bounds")
    return [ids.astype(np.int64) for ids in found]


# Which operands are data; the others are indices. All of them where the name is absent.
_MOVED_OPERANDS = {
    "dynamic_slice": (0,),
    "dynamic_update_slice": (0, 1),
    "gather": (0,),
    "scatter": (0, 2),
}


def _concrete(graph: Graph, ids: Ids) -> Any:
    """The constant array behind ids, for operands that must be known: indices."""
    found = [graph.value(int(i)) for i in ids.ravel()]
    if any(value is None for value in found):
        raise NotScalar("an index that depends on the state, the parameters or the time")
    dtype = graph.nodes[int(ids.flat[0])].dtype if ids.size else np.int32
    # Inside a traced function a JAX array made now would be traced too.
    return np.asarray(found, dtype).reshape(ids.shape)


def _slice(graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any) -> Ids:
    starts, limits = params["start_indices"], params["limit_indices"]
    strides = params["strides"] or (1,) * len(starts)
    region = tuple(slice(a, b, c) for a, b, c in zip(starts, limits, strides, strict=True))
    return operands[0][region]


def _reshape(graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any) -> Ids:
    if params.get("dimensions") is not None:
        raise NotScalar("a reshape with permuted dimensions")
    return operands[0].reshape(aval.shape)


def _squeeze(graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any) -> Ids:
    return operands[0].reshape(aval.shape)


def _broadcast(graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any) -> Ids:
    ids = operands[0]
    shape = [1] * len(aval.shape)
    for size, dimension in zip(ids.shape, params["broadcast_dimensions"], strict=True):
        shape[dimension] = size
    return np.broadcast_to(ids.reshape(shape), aval.shape)


def _concatenate(
    graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any
) -> Ids:
    return np.concatenate(operands, axis=params["dimension"])


def _stack(graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any) -> Ids:
    return np.stack(operands, axis=params["axis"])


def _iota(graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any) -> Ids:
    shape, dimension = params["shape"], params["dimension"]
    along = [1] * len(shape)
    along[dimension] = shape[dimension]
    values = np.broadcast_to(np.arange(shape[dimension]).reshape(along), shape)
    return constants(graph, values.astype(params["dtype"]))


def _reduction(combine: Callable[[Graph, int, int], int]) -> _Rule:
    def rule(graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any) -> Ids:
        ids, axes = operands[0], params["axes"]
        rows = np.moveaxis(ids, axes, range(len(axes))).reshape(-1, *aval.shape)
        if not len(rows):
            raise NotScalar("a reduction over nothing")
        total = rows[0]
        for row in rows[1:]:
            pairs = zip(total.ravel(), row.ravel(), strict=True)
            total = np.asarray([combine(graph, int(a), int(b)) for a, b in pairs], np.int64)
        return total.reshape(aval.shape)

    return rule


def _maximum(graph: Graph, a: int, b: int) -> int:
    return graph.apply(jprim.max_p, (a, b), {}, graph.nodes[a].dtype)


def _minimum(graph: Graph, a: int, b: int) -> int:
    return graph.apply(jprim.min_p, (a, b), {}, graph.nodes[a].dtype)


def _dot_general(
    graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any
) -> Ids:
    (left_sum, right_sum), (left_batch, right_batch) = params["dimension_numbers"]
    left, right = operands
    left_free = [d for d in range(left.ndim) if d not in (*left_sum, *left_batch)]
    right_free = [d for d in range(right.ndim) if d not in (*right_sum, *right_batch)]
    inner = int(np.prod([left.shape[d] for d in left_sum], dtype=int))
    batch = int(np.prod([left.shape[d] for d in left_batch], dtype=int))
    rows = left.transpose(*left_batch, *left_free, *left_sum).reshape(batch, -1, inner)
    cols = right.transpose(*right_batch, *right_free, *right_sum).reshape(batch, -1, inner)
    ids = [
        graph.sum((graph.mul(int(a), int(b)) for a, b in zip(row, col, strict=True)), aval.dtype)
        for row_block, col_block in zip(rows, cols, strict=True)
        for row in row_block
        for col in col_block
    ]
    return np.asarray(ids, np.int64).reshape(aval.shape)


def _scatter_add(
    graph: Graph, operands: Sequence[Ids], params: Mapping[str, Any], aval: Any
) -> Ids:
    target, indices, updates = operands
    where = _concrete(graph, indices)
    where_to = {k: params[k] for k in ("dimension_numbers", "mode")}
    result = target.ravel().copy()
    for position, update in enumerate(updates.ravel()):
        only = np.zeros(updates.size, np.int32)
        only[position] = 1
        with jax.ensure_compile_time_eval():
            blank = jnp.zeros(target.shape, jnp.int32)
            one = jnp.asarray(only.reshape(updates.shape))
            hit = lax.scatter_add(blank, jnp.asarray(where), one, **where_to)
        for place in np.flatnonzero(np.asarray(hit)):
            result[place] = graph.add(int(result[place]), int(update))
    return result.reshape(aval.shape)


_RULES: dict[str, _Rule] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dot_general": _dot_general,
    "iota": _iota,
    "reduce_max": _reduction(_maximum),
    "reduce_min": _reduction(_minimum),
    "reduce_prod": _reduction(Graph.mul),
    "reduce_sum": _reduction(Graph.add),
    "reshape": _reshape,
    "scatter-add": _scatter_add,
    "scatter_add": _scatter_add,
    "slice": _slice,
    "squeeze": _squeeze,
    "expand_dims": _squeeze,
    "stack": _stack,
}
