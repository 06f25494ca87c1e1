"""Simplification of scalar nodes as a graph is built: zeros, ones, negations and constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stiffgrad.jax._graph import Graph

# A product of this many factors is cheaper as multiplications than as a call of `pow`.
_LARGEST_UNROLLED_POWER = 4

_Rule = Callable[[Graph, tuple[int, ...], Mapping[str, Any]], "int | None"]


def _numeric(graph: Graph, a: int, b: int) -> tuple[Any, Any, np.dtype]:
    return graph.value(a), graph.value(b), graph.nodes[a].dtype


def _simplify_add(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    a, b = args
    x, y, dtype = _numeric(graph, a, b)
    if dtype.kind != "f":
        return None
    if x is not None and y is not None:
        return graph.constant(x + y, dtype)
    if graph.is_value(a, 0):
        return b
    if graph.is_value(b, 0):
        return a
    if graph.is_negation(b):
        return graph.sub(a, graph.nodes[b].args[0])
    if graph.is_negation(a):
        return graph.sub(b, graph.nodes[a].args[0])
    return None


def _simplify_sub(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    a, b = args
    x, y, dtype = _numeric(graph, a, b)
    if dtype.kind != "f":
        return None
    if x is not None and y is not None:
        return graph.constant(x - y, dtype)
    if graph.is_value(b, 0):
        return a
    if graph.is_value(a, 0):
        return graph.neg(b)
    if graph.is_negation(b):
        return graph.add(a, graph.nodes[b].args[0])
    return None


def _simplify_mul(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    a, b = args
    x, y, dtype = _numeric(graph, a, b)
    if dtype.kind != "f":
        return None
    if x is not None and y is not None:
        return graph.constant(x * y, dtype)
    for constant, other in ((a, b), (b, a)):
        if graph.is_value(constant, 0):
            return graph.constant(0, dtype)
        if graph.is_value(constant, 1):
            return other
        if graph.is_value(constant, -1):
            return graph.neg(other)
    for negated, other in ((a, b), (b, a)):
        if graph.is_negation(negated):
            return graph.neg(graph.mul(graph.nodes[negated].args[0], other))
    return None


def _simplify_div(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    a, b = args
    dtype = graph.nodes[a].dtype
    if dtype.kind != "f":
        return None
    if graph.is_value(b, 1):
        return a
    if graph.is_value(a, 0) and graph.value(b) is None:
        return graph.constant(0, dtype)
    if graph.is_negation(a):
        return graph.neg(graph.div(graph.nodes[a].args[0], b))
    return None


def _simplify_neg(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    (a,) = args
    value = graph.value(a)
    if value is not None:
        return graph.constant(-value, graph.nodes[a].dtype)
    return graph.nodes[a].args[0] if graph.is_negation(a) else None


def _power(graph: Graph, base: int, exponent: int) -> int | None:
    dtype = graph.nodes[base].dtype
    if exponent == 0:
        return graph.constant(1, dtype)
    if not 1 <= exponent <= _LARGEST_UNROLLED_POWER:
        return None
    result = base
    for _ in range(exponent - 1):
        result = graph.mul(result, base)
    return result


def _simplify_integer_pow(
    graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]
) -> int | None:
    return _power(graph, args[0], params["y"])


def _simplify_pow(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    base, exponent = args
    value = graph.value(exponent)
    if value is None or value != int(value) or graph.value(base) is not None:
        return None
    return _power(graph, base, int(value))


def _simplify_square(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    return graph.mul(args[0], args[0])


def _simplify_select(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    which, *cases = args
    value = graph.value(which)
    if value is not None:
        return cases[int(value)]
    return cases[0] if len(set(cases)) == 1 else None


def _simplify_convert(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    return args[0] if graph.nodes[args[0]].dtype == np.dtype(params["new_dtype"]) else None


def _identity(graph: Graph, args: tuple[int, ...], params: Mapping[str, Any]) -> int | None:
    return args[0]


_SIMPLIFY: dict[str, _Rule] = {
    "add": _simplify_add,
    "add_any": _simplify_add,
    "sub": _simplify_sub,
    "mul": _simplify_mul,
    "div": _simplify_div,
    "neg": _simplify_neg,
    "integer_pow": _simplify_integer_pow,
    "pow": _simplify_pow,
    "square": _simplify_square,
    "select_n": _simplify_select,
    "convert_element_type": _simplify_convert,
    "copy": _identity,
    "copy_p": _identity,
}


def simplified(
    graph: Graph, name: str, args: tuple[int, ...], params: Mapping[str, Any]
) -> int | None:
    """A node that equals the primitive `name` applied to args, or None if there is no simpler one.

    A product with a structural zero is zero, whatever the other factor.
    """
    rule = _SIMPLIFY.get(name)
    return None if rule is None else rule(graph, args, params)
