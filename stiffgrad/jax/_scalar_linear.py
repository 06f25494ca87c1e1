"""Linear systems of the scalar engine: a sparse elimination planned beforehand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _elimination
from stiffgrad.jax._elimination import Elimination, Factors, Position
from stiffgrad.jax._graph import Graph
from stiffgrad.jax._program import Groups, Program

# XLA takes more than proportionally longer for a longer program.
_MOST_AT_ONCE = 100


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
        made = self._build_factor(graph, plan, matrix, given, dtype)
        b = [graph.input(f"b{i}", dtype) for i in range(n)]
        groups: Groups = {**self._groups, "b": b}
        self._solve = Program(graph, _elimination.solve(graph, plan, made, b), groups)
        transposed = _elimination.solve_transposed(graph, plan, made, b)
        self._solve_transposed = Program(graph, transposed, groups)
        self._build_residual(graph, matrix, b, given, dtype)

    def _build_factor(
        self,
        graph: Graph,
        plan: Elimination,
        matrix: Mapping[Position, int],
        given: Groups,
        dtype: Any,
    ) -> Factors:
        """Programs for the parts of the elimination; the factors as what they hand on."""
        one = graph.constant(1, dtype)
        self._factor: list[Program] = []
        self._groups: Groups = {}
        made, work = [], dict(matrix)
        passed: Groups = {}
        for k, part in enumerate(_elimination.parts(plan, _MOST_AT_ONCE)):
            factors, left = _elimination.factor(graph, part, work, one)
            changed = [place for place, node in left.items() if node != matrix.get(place)]
            nodes = factors.nodes() + [left[place] for place in changed]
            self._factor.append(Program(graph, nodes, {**given, **passed}, apart=True))
            names = [graph.input(f"F{k}_{i}", dtype) for i in range(len(nodes))]
            passed = {"F": names}
            self._groups[f"F{k}"] = names
            made.append(factors.rename(names))
            rest = names[len(nodes) - len(changed) :]
            work = left | dict(zip(changed, rest, strict=True))
        return _elimination.joined(made)

    def _build_residual(
        self,
        graph: Graph,
        matrix: Mapping[Position, int],
        b: list[int],
        given: Groups,
        dtype: Any,
    ) -> None:
        """Programs for the residuals of a few rows each, with what their terms add up to."""
        x = [graph.input(f"x{i}", dtype) for i in range(self._n)]
        rows: list[list[tuple[int, int]]] = [[] for _ in b]
        for (i, j), entry in matrix.items():
            rows[i].append((j, entry))
        self._residual: list[Program] = []
        waiting: list[int] = []
        operations = 0
        for i, row in enumerate(rows):
            residual, size = b[i], _absolute(graph, b[i])
            for j, entry in row:
                product = graph.mul(entry, x[j])
                residual = graph.sub(residual, product)
                size = graph.add(size, _absolute(graph, product))
            waiting += [residual, size]
            operations += len(row)
            if operations > _MOST_AT_ONCE or i == self._n - 1:
                self._residual.append(Program(graph, waiting, {**given, "x": x, "b": b}))
                waiting, operations = [], 0

    @property
    def operations(self) -> int:
        """Scalar operations in all programs together."""
        programs = (*self._factor, self._solve, self._solve_transposed, *self._residual)
        return sum(program.operations for program in programs)

    def factor(self, **given: jax.Array) -> tuple[jax.Array, ...]:
        """The factors, part by part."""
        parts: list[jax.Array] = []
        for program in self._factor:
            passed = {"F": parts[-1]} if parts else {}
            parts.append(program(**given, **passed))
        return tuple(parts)

    def solve(self, factors: Sequence[jax.Array], b: jax.Array) -> jax.Array:
        """Solution for the right-hand side b, (n, *lanes)."""
        return self._solve(**self._named(factors), b=b)

    def solve_transposed(self, factors: Sequence[jax.Array], b: jax.Array) -> jax.Array:
        """Solution with the transposed matrix."""
        return self._solve_transposed(**self._named(factors), b=b)

    def _named(self, factors: Sequence[jax.Array]) -> dict[str, jax.Array]:
        return dict(zip(self._groups, factors, strict=True))

    def backward_error(self, x: jax.Array, b: jax.Array, **given: jax.Array) -> jax.Array:
        """Componentwise relative backward error of a solution."""
        found = jnp.concatenate([program(**given, x=x, b=b) for program in self._residual])
        pairs = found.reshape(self._n, 2, *found.shape[1:])
        residual, size = (lax.index_in_dim(pairs, k, axis=1, keepdims=False) for k in (0, 1))
        # Of terms smaller than that, underflow takes the digits that a residual is judged by.
        smallest = float(jnp.finfo(x.dtype).tiny) / float(jnp.finfo(x.dtype).eps)
        return jnp.max(jnp.abs(residual) / jnp.maximum(size, smallest), axis=0)


def _absolute(graph: Graph, node: int) -> int:
    return graph.apply(lax.abs_p, (node,), {}, graph.nodes[node].dtype)
