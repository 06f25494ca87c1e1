"""Expression graphs of scalars: what a right-hand side becomes before it is compiled for speed.

A :class:`Graph` holds scalar nodes in topological order, each built once (equal expressions share a
node) and simplified as it is built, so that a zero stays a zero and a sparse Jacobian stays sparse.
:func:`emit` replays nodes on JAX arrays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import primitives as jprim


@dataclasses.dataclass(frozen=True)
class Node:
    """One scalar: a constant (`value`), an input (`name`) or a primitive applied to nodes."""

    dtype: np.dtype
    primitive: jex.Primitive | None = None
    args: tuple[int, ...] = ()
    params: tuple[tuple[str, Hashable], ...] = ()
    name: str | None = None
    value: Any = None


class Graph:
    """Scalar nodes in topological order; node ids are positions in :attr:`nodes`."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._ids: dict[Hashable, int] = {}
        #: Derivatives already built, kept by :mod:`stiffgrad.jax._differentiate`.
        self.partials: dict[tuple[int, int], int] = {}

    def _intern(self, key: Hashable, node: Node) -> int:
        found = self._ids.get(key)
        if found is None:
            found = self._ids[key] = len(self.nodes)
            self.nodes.append(node)
        return found

    def constant(self, value: Any, dtype: Any) -> int:
        dtype = np.dtype(dtype)
        scalar = np.asarray(value, dtype)[()]
        return self._intern(("constant", dtype, scalar.tobytes()), Node(dtype, value=scalar))

    def input(self, name: str, dtype: Any) -> int:
        return self._intern(("input", name), Node(np.dtype(dtype), name=name))

    def value(self, node: int) -> Any:
        """The constant's value, or None where the node is not a constant."""
        return self.nodes[node].value

    def is_value(self, node: int, value: float) -> bool:
        found = self.nodes[node].value
        return found is not None and found == value

    def apply(
        self,
        primitive: jex.Primitive,
        args: Sequence[int],
        params: Mapping[str, Any],
        dtype: Any,
    ) -> int:
        """The node of `primitive(*args, **params)`, simplified."""
        from stiffgrad.jax._simplify import simplified

        args = tuple(args)
        simpler = simplified(self, primitive.name, args, params)
        if simpler is not None:
            return simpler
        if args and all(self.value(a) is not None for a in args):
            return self._fold(primitive, args, params, dtype)
        if primitive.name in _COMMUTATIVE:
            args = tuple(sorted(args))
        frozen = () if primitive.name in _ARITHMETIC else tuple(sorted(params.items()))
        node = Node(np.dtype(dtype), primitive, args, frozen)
        return self._intern((primitive.name, args, frozen), node)

    def _fold(self, primitive: Any, args: Sequence[int], params: Any, dtype: Any) -> int:
        with jax.ensure_compile_time_eval():
            value = primitive.bind(*(jnp.asarray(self.value(a)) for a in args), **params)
        return self.constant(np.asarray(value), dtype)

    def add(self, a: int, b: int) -> int:
        return self.apply(jprim.add_p, (a, b), {}, self.nodes[a].dtype)

    def sub(self, a: int, b: int) -> int:
        return self.apply(jprim.sub_p, (a, b), {}, self.nodes[a].dtype)

    def mul(self, a: int, b: int) -> int:
        return self.apply(jprim.mul_p, (a, b), {}, self.nodes[a].dtype)

    def div(self, a: int, b: int) -> int:
        return self.apply(jprim.div_p, (a, b), {}, self.nodes[a].dtype)

    def neg(self, a: int) -> int:
        return self.apply(jprim.neg_p, (a,), {}, self.nodes[a].dtype)

    def sum(self, terms: Iterable[int], dtype: Any) -> int:
        total = self.constant(0, dtype)
        for term in terms:
            total = self.add(total, term)
        return total

    def is_negation(self, node: int) -> bool:
        primitive = self.nodes[node].primitive
        return primitive is not None and primitive.name == "neg"


_COMMUTATIVE = frozenset({"add", "mul"})
# Called through their functions, which know the parameters that the primitives take.
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "add": lax.add,
    "sub": lax.sub,
    "mul": lax.mul,
    "div": lax.div,
    "neg": lax.neg,
}


def reachable(graph: Graph, outputs: Iterable[int]) -> list[int]:
    """Ids of the nodes that the outputs need, in topological order."""
    seen: set[int] = set()
    stack = list(outputs)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(graph.nodes[node].args)
    return sorted(seen)


def emit(
    graph: Graph,
    outputs: Sequence[int],
    inputs: Mapping[int, Any],
    lanes: tuple[int, ...] = (),
) -> list[Any]:
    """Values of `outputs` where `inputs` gives an array of shape `lanes` for each input node."""
    values: dict[int, Any] = {}
    for index in reachable(graph, outputs):
        node = graph.nodes[index]
        if node.name is not None:
            values[index] = inputs[index]
        elif node.primitive is None:
            values[index] = jnp.full(lanes, node.value) if lanes else node.value
        else:
            args = [values[a] for a in node.args]
            arithmetic = _ARITHMETIC.get(node.primitive.name)
            values[index] = (
                node.primitive.bind(*args, **dict(node.params))
                if arithmetic is None
                else arithmetic(*args)
            )
    return [values[output] for output in outputs]


def count_operations(graph: Graph, outputs: Sequence[int]) -> int:
    """Number of primitives that the outputs need."""
    return sum(graph.nodes[i].primitive is not None for i in reachable(graph, outputs))
