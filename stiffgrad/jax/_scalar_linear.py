"""Linear systems of the scalar engine: a sparse elimination planned beforehand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _elimination
from stiffgrad.jax._elimination import Position
from stiffgrad.jax._graph import Graph
from stiffgrad.jax._program import Groups, Program


class ScalarLinear:
    """Factors of a matrix of scalar expressions, and solutions with them.

    Args:
        graph: that holds the matrix.
        matrix: from positions to nodes, with the whole diagonal.
        n: its size.
        given: the inputs that the nodes are functions of.
        dtype: of the numbers.
        late: pivots to take last, for they vanish until others have filled them.
    """

    def __init__(
        self,
        graph: Graph,
        matrix: Mapping[Position, int],
        n: int,
        given: Groups,
        dtype: Any,
        late: Collection[int] = (),
    ) -> None:
        self._n = n
        plan = _elimination.plan(list(matrix), n, late)
        made = _elimination.factor(graph, plan, matrix, graph.constant(1, dtype))
        self._factor = Program(graph, made.nodes(), given)
        names = [graph.input(f"F{i}", dtype) for i in range(len(made.nodes()))]
        renamed = made.rename(names)
        b = [graph.input(f"b{i}", dtype) for i in range(n)]
        groups: Groups = {"F": names, "b": b}
        self._solve = Program(graph, _elimination.solve(graph, plan, renamed, b), groups)
        transposed = _elimination.solve_transposed(graph, plan, renamed, b)
        self._solve_transposed = Program(graph, transposed, groups)
        x = [graph.input(f"x{i}", dtype) for i in range(n)]
        residual, size = list(b), [_absolute(graph, node) for node in b]
        for (i, j), entry in matrix.items():
            product = graph.mul(entry, x[j])
            residual[i] = graph.sub(residual[i], product)
            size[i] = graph.add(size[i], _absolute(graph, product))
        self._residual = Program(graph, [*residual, *size], {**given, "x": x, "b": b})

    @property
    def operations(self) -> int:
        """Scalar operations in all programs together."""
        programs = (self._factor, self._solve, self._solve_transposed, self._residual)
        return sum(program.operations for program in programs)

    def factor(self, **given: jax.Array) -> jax.Array:
        """The factors, as one array."""
        return self._factor(**given)

    def solve(self, factors: jax.Array, b: jax.Array) -> jax.Array:
        """Solution for the right-hand side b, (n, *lanes)."""
        return self._solve(F=factors, b=b)

    def solve_transposed(self, factors: jax.Array, b: jax.Array) -> jax.Array:
        """Solution with the transposed matrix."""
        return self._solve_transposed(F=factors, b=b)

    def backward_error(self, x: jax.Array, b: jax.Array, **given: jax.Array) -> jax.Array:
        """Componentwise relative backward error of a solution."""
        found = self._residual(**given, x=x, b=b)
        residual = lax.slice_in_dim(found, 0, self._n)
        size = lax.slice_in_dim(found, self._n, 2 * self._n)
        return jnp.max(jnp.abs(residual) / jnp.where(size == 0, 1, size), axis=0)


def _absolute(graph: Graph, node: int) -> int:
    return graph.apply(lax.abs_p, (node,), {}, graph.nodes[node].dtype)
