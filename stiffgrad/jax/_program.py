"""Straight-line scalar programs: graph outputs as a function of arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiffgrad.jax import _graph
from stiffgrad.jax._compile import apart
from stiffgrad.jax._graph import Graph

Groups = dict[str, int | list[int]]


class Program:
    """Computes graph nodes from named input groups and returns them stacked.

    Args:
        graph: the graph that holds the nodes.
        outputs: node ids, None where the output is structurally zero.
        groups: for each argument, the input nodes that its first axis holds; a single node id for
            an argument without that axis.

    Called with one array per group, of shape `(size, *lanes)` or `lanes`, all lanes alike; returns
    `(len(outputs), *lanes)`.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[int | None],
        groups: Groups,
        apart: bool = False,
    ) -> None:
        self._apart = apart
        self._graph = graph
        self._groups = groups
        self._dtype = next(graph.nodes[_first(ids)].dtype for ids in groups.values())
        zero = graph.constant(0, self._dtype)
        self._outputs = [zero if node is None else node for node in outputs]
        self._shared = _shared(graph, self._outputs)

    @property
    def operations(self) -> int:
        """Number of scalar operations of one call."""
        return _graph.count_operations(self._graph, self._outputs)

    def __call__(self, **arrays: jax.Array) -> jax.Array:
        lanes = self._lanes(arrays)
        names = list(arrays)

        def body(*values: jax.Array) -> tuple[Any, list[Any]]:
            inputs = self._unpack(dict(zip(names, values, strict=True)))
            # The shared values leave the call too: a value with a use that cannot be merged is
            # computed once, where XLA would otherwise repeat it inside every expression using it.
            # The barrier keeps JAX from dropping them.
            found = _graph.emit(self._graph, [*self._outputs, *self._shared], inputs, lanes)
            outputs, shared = found[: len(self._outputs)], found[len(self._outputs) :]
            outputs = [jnp.broadcast_to(x, lanes) for x in outputs]
            return tuple(outputs) if self._apart else jnp.stack(outputs), shared

        return lax.optimization_barrier(apart(body)(*arrays.values()))[0]

    def _lanes(self, arrays: Mapping[str, jax.Array]) -> tuple[int, ...]:
        shapes = []
        for name, ids in self._groups.items():
            given = arrays[name]
            if isinstance(given, tuple):
                shapes += [jnp.shape(x) for x in given]
                continue
            shape = jnp.shape(given)
            shapes.append(shape if isinstance(ids, int) else shape[1:])
        return np.broadcast_shapes(*shapes)

    def _unpack(self, arrays: Mapping[str, jax.Array]) -> dict[int, jax.Array]:
        inputs: dict[int, jax.Array] = {}
        for name, ids in self._groups.items():
            array = arrays[name]
            if isinstance(ids, int):
                inputs[ids] = array
                continue
            if isinstance(array, tuple):
                inputs.update(zip(ids, array, strict=True))
                continue
            for position, node in enumerate(ids):
                # `array[position]` would become a gather.
                inputs[node] = lax.squeeze(lax.slice_in_dim(array, position, position + 1), (0,))
        return inputs


def _first(ids: int | Sequence[int]) -> int:
    return ids if isinstance(ids, int) else ids[0]


def _shared(graph: Graph, outputs: Sequence[int]) -> list[int]:
    order = _graph.reachable(graph, outputs)
    uses = Counter(a for index in order for a in graph.nodes[index].args)
    uses.update(outputs)
    return [i for i in order if uses[i] > 1 and graph.nodes[i].primitive is not None]
