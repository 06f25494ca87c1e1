"""Gaussian elimination of a structurally sparse matrix, planned before any number is known.

The pivots are the diagonal, in Markowitz order (fewest products of row and column counts first:
Markowitz, Management Science 3, 1957), which keeps the fill small; there is no pivoting by value,
so a user of the plan must check the solutions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from stiffgrad.jax._graph import Graph
from stiffgrad.jax._scalarise import NotScalar

Position = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Elimination:
    """The order of the pivots, and where the factors have entries.

    Attributes:
        order: pivot rows (and columns), first eliminated first.
        lower: for each pivot, the rows that are still to come and have an entry in its column.
        upper: for each pivot, the columns still to come with an entry in its row.
    """

    order: tuple[int, ...]
    lower: tuple[tuple[int, ...], ...]
    upper: tuple[tuple[int, ...], ...]

    @property
    def operations(self) -> int:
        """Multiply-adds of one factorisation."""
        return sum(len(r) * (1 + len(c)) for r, c in zip(self.lower, self.upper, strict=True))


def plan(pattern: Iterable[Position], n: int, late: Collection[int] = ()) -> Elimination:
    """Elimination of an n x n matrix with entries at `pattern` and on the whole diagonal.

    The pivots in `late` come after all others.
    """
    rows: list[set[int]] = [{i} for i in range(n)]
    columns: list[set[int]] = [{i} for i in range(n)]
    for i, j in pattern:
        rows[i].add(j)
        columns[j].add(i)

    def fill(k: int) -> int:
        return (len(rows[k]) - 1) * (len(columns[k]) - 1)

    order, lower, upper = [], [], []
    left = set(range(n))
    while left:
        pivot = min(left, key=lambda k: (k in late, fill(k), k))
        left.remove(pivot)
        below, right = sorted(columns[pivot] & left), sorted(rows[pivot] & left)
        for i in below:
            rows[i].update(right)
            rows[i].discard(pivot)
        for j in right:
            columns[j].update(below)
            columns[j].discard(pivot)
        order.append(pivot)
        lower.append(tuple(below))
        upper.append(tuple(right))
    return Elimination(tuple(order), tuple(lower), tuple(upper))


@dataclasses.dataclass(frozen=True)
class Factors:
    """Graph nodes of the factors: `L` with unit diagonal, `U` and the inverses of its diagonal."""

    lower: Mapping[Position, int]
    upper: Mapping[Position, int]
    inverse: tuple[int, ...]

    def nodes(self) -> list[int]:
        return [*self.lower.values(), *self.upper.values(), *self.inverse]

    def rename(self, nodes: Sequence[int]) -> Factors:
        """The same factors with other nodes, in the order of :meth:`nodes`."""
        new = iter(nodes)
        return Factors(
            {key: next(new) for key in self.lower},
            {key: next(new) for key in self.upper},
            tuple(next(new) for _ in self.inverse),
        )


def factor(
    graph: Graph, plan: Elimination, matrix: Mapping[Position, int], one: int
) -> tuple[Factors, dict[Position, int]]:
    """Nodes of the factors of `matrix`, a map from positions to nodes.

    Second, the entries that are left where the plan is but a part of one: see :func:`parts`.
    """
    work = dict(matrix)
    lower: dict[Position, int] = {}
    upper: dict[Position, int] = {}
    inverse = []
    for pivot, below, right in zip(plan.order, plan.lower, plan.upper, strict=True):
        if graph.is_value(work[pivot, pivot], 0):
            raise NotScalar("equations whose elimination has to pivot")
        reciprocal = graph.div(one, work[pivot, pivot])
        inverse.append(reciprocal)
        upper.update({(pivot, j): work[pivot, j] for j in right})
        for i in below:
            lower[i, pivot] = multiplier = graph.mul(work[i, pivot], reciprocal)
            for j in right:
                product = graph.mul(multiplier, work[pivot, j])
                old = work.get((i, j))
                work[i, j] = graph.neg(product) if old is None else graph.sub(old, product)
    done = set(plan.order)
    left = {(i, j): node for (i, j), node in work.items() if i not in done and j not in done}
    return Factors(lower, upper, tuple(inverse)), left


def parts(plan: Elimination, most: int) -> list[Elimination]:
    """Successive parts of a plan, of at most so many operations each, or of one pivot."""
    cuts, size = [0], 0
    for k, (below, right) in enumerate(zip(plan.lower, plan.upper, strict=True)):
        operations = len(below) * (1 + len(right))
        if size and size + operations > most:
            cuts.append(k)
            size = 0
        size += operations
    spans = [slice(a, b) for a, b in zip(cuts, [*cuts[1:], len(plan.order)], strict=True)]
    return [Elimination(plan.order[s], plan.lower[s], plan.upper[s]) for s in spans]


def joined(made: Sequence[Factors]) -> Factors:
    """The factors of a plan from those of its parts."""
    lower: dict[Position, int] = {}
    upper: dict[Position, int] = {}
    for factors in made:
        lower.update(factors.lower)
        upper.update(factors.upper)
    return Factors(lower, upper, tuple(node for factors in made for node in factors.inverse))


def solve(graph: Graph, plan: Elimination, factors: Factors, rhs: Sequence[int]) -> list[int]:
    """Nodes of the solution of `L U x = rhs`."""
    x = list(rhs)
    for pivot, below in zip(plan.order, plan.lower, strict=True):
        for i in below:
            x[i] = graph.sub(x[i], graph.mul(factors.lower[i, pivot], x[pivot]))
    backward = zip(plan.order, plan.upper, factors.inverse, strict=True)
    for pivot, right, reciprocal in reversed(list(backward)):
        for j in right:
            x[pivot] = graph.sub(x[pivot], graph.mul(factors.upper[pivot, j], x[j]))
        x[pivot] = graph.mul(x[pivot], reciprocal)
    return x


def solve_transposed(
    graph: Graph, plan: Elimination, factors: Factors, rhs: Sequence[int]
) -> list[int]:
    """Nodes of the solution of `(L U)^T x = rhs`."""
    x = list(rhs)
    for pivot, right, reciprocal in zip(plan.order, plan.upper, factors.inverse, strict=True):
        x[pivot] = graph.mul(x[pivot], reciprocal)
        for j in right:
            x[j] = graph.sub(x[j], graph.mul(factors.upper[pivot, j], x[pivot]))
    for pivot, below in reversed(list(zip(plan.order, plan.lower, strict=True))):
        for i in below:
            x[pivot] = graph.sub(x[pivot], graph.mul(factors.lower[i, pivot], x[i]))
    return x
