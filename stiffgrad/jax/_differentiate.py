"""Differentiation of scalar graphs, forward and reverse, inside the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np

from stiffgrad.jax._graph import Graph, Node, reachable
from stiffgrad.jax._scalarise import interpret


def partial(graph: Graph, index: int, position: int) -> int:
    """Derivative of node `index` with respect to its argument at `position`."""
    key = (index, position)
    found = graph.partials.get(key)
    if found is None:
        found = graph.partials[key] = _partial(graph, index, position)
    return found


def _partial(graph: Graph, index: int, position: int) -> int:
    node = graph.nodes[index]
    assert node.primitive is not None
    rule = _PARTIALS.get(node.primitive.name)
    if rule is not None:
        return rule(graph, index, position)
    return _partial_from_jvp(graph, node, position)


def _partial_from_jvp(graph: Graph, node: Node, position: int) -> int:
    """Derivative by JAX's own rule for the primitive, traced and brought into the graph."""
    assert node.primitive is not None
    primitive, params = node.primitive, dict(node.params)
    dtypes = [graph.nodes[a].dtype for a in node.args]

    def derivative(*args: jax.Array) -> jax.Array:
        def along(x: jax.Array) -> jax.Array:
            return primitive.bind(*args[:position], x, *args[position + 1 :], **params)

        one = np.ones((), dtypes[position])
        return jax.jvp(along, (args[position],), (one,))[1]

    closed = jax.make_jaxpr(derivative)(*(jax.ShapeDtypeStruct((), d) for d in dtypes))
    args = [np.asarray(a) for a in node.args]
    return int(interpret(graph, closed, args)[0])


def _partial_add(graph: Graph, index: int, position: int) -> int:
    return graph.constant(1, graph.nodes[index].dtype)


def _partial_sub(graph: Graph, index: int, position: int) -> int:
    return graph.constant(1 if position == 0 else -1, graph.nodes[index].dtype)


def _partial_neg(graph: Graph, index: int, position: int) -> int:
    return graph.constant(-1, graph.nodes[index].dtype)


def _partial_mul(graph: Graph, index: int, position: int) -> int:
    return graph.nodes[index].args[1 - position]


def _partial_div(graph: Graph, index: int, position: int) -> int:
    _numerator, denominator = graph.nodes[index].args
    if position == 0:
        return graph.div(graph.constant(1, graph.nodes[index].dtype), denominator)
    return graph.neg(graph.div(index, denominator))


def _partial_exp(graph: Graph, index: int, position: int) -> int:
    return index


def _partial_select(graph: Graph, index: int, position: int) -> int:
    node = graph.nodes[index]
    one, zero = graph.constant(1, node.dtype), graph.constant(0, node.dtype)
    if position == 0:
        return zero
    which, *cases = node.args
    chosen = [one if k + 1 == position else zero for k in range(len(cases))]
    assert node.primitive is not None
    return graph.apply(node.primitive, (which, *chosen), dict(node.params), node.dtype)


_PARTIALS: dict[str, Callable[[Graph, int, int], int]] = {
    "add": _partial_add,
    "add_any": _partial_add,
    "sub": _partial_sub,
    "neg": _partial_neg,
    "mul": _partial_mul,
    "div": _partial_div,
    "exp": _partial_exp,
    "select_n": _partial_select,
}


def _is_float(graph: Graph, index: int) -> bool:
    return graph.nodes[index].dtype.kind == "f"


def jacobian(graph: Graph, outputs: Sequence[int], inputs: Sequence[int]) -> list[dict[int, int]]:
    """Structurally sparse Jacobian: for each output, a map from input position to node."""
    columns = {node: k for k, node in enumerate(inputs)}
    tangents: dict[int, dict[int, int]] = {}
    for index in reachable(graph, outputs):
        if index in columns:
            one = graph.constant(1, graph.nodes[index].dtype)
            tangents[index] = {columns[index]: one}
            continue
        row: dict[int, int] = {}
        for position, arg in enumerate(graph.nodes[index].args):
            if not tangents.get(arg) or not _is_float(graph, index):
                continue
            slope = partial(graph, index, position)
            for column, tangent in tangents[arg].items():
                term = graph.mul(slope, tangent)
                if not graph.is_value(term, 0):
                    row[column] = graph.add(row[column], term) if column in row else term
        tangents[index] = row
    return [tangents.get(output, {}) for output in outputs]


def gradient(
    graph: Graph, outputs: Sequence[int], cotangents: Sequence[int], inputs: Sequence[int]
) -> list[int | None]:
    """Reverse derivative of `sum(cotangent * output)`; None where it is structurally zero."""
    wanted = set(inputs)
    order = reachable(graph, outputs)
    depends: set[int] = set()
    for index in order:
        if index in wanted or any(a in depends for a in graph.nodes[index].args):
            depends.add(index)
    adjoint: dict[int, int] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        _accumulate(graph, adjoint, output, cotangent)
    for index in reversed(order):
        if index not in adjoint or index not in depends or not _is_float(graph, index):
            continue
        for position, arg in enumerate(graph.nodes[index].args):
            if arg in depends and _is_float(graph, arg):
                slope = partial(graph, index, position)
                _accumulate(graph, adjoint, arg, graph.mul(slope, adjoint[index]))
    return [adjoint.get(node) for node in inputs]


def _accumulate(graph: Graph, adjoint: dict[int, int], node: int, term: int) -> None:
    if not graph.is_value(term, 0):
        adjoint[node] = graph.add(adjoint[node], term) if node in adjoint else term
