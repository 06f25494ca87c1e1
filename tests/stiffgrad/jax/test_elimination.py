"""Planned elimination against dense linear algebra."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stiffgrad.jax import _elimination, _graph
from stiffgrad.jax._graph import Graph


@st.composite
def sparse_systems(draw):
    n = draw(st.integers(1, 9))
    places = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    pattern = draw(st.lists(places, max_size=3 * n, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    matrix = np.zeros((n, n))
    for place in pattern:
        matrix[place] = rng.normal()
    matrix += np.diag(1 + np.abs(matrix).sum(axis=1) + np.abs(matrix).sum(axis=0))
    return pattern, matrix, rng.normal(size=n)


def solved(solve, pattern, matrix, b):
    n = len(b)
    plan = _elimination.plan(pattern, n)
    graph = Graph()
    filled = {*pattern, *((i, i) for i in range(n))}
    entries = {place: graph.input(f"{place}", float) for place in filled}
    rhs = [graph.input(f"b{i}", float) for i in range(n)]
    made, work = [], entries
    for part in _elimination.parts(plan, most=5):
        factors, work = _elimination.factor(graph, part, work, graph.constant(1, float))
        made.append(factors)
    assert not work
    factors = _elimination.joined(made)
    values = {node: jnp.asarray(matrix[place]) for place, node in entries.items()}
    values |= {node: jnp.asarray(x) for node, x in zip(rhs, b, strict=True)}
    return np.asarray(_graph.emit(graph, solve(graph, plan, factors, rhs), values))


@settings(max_examples=20, deadline=None)
@given(sparse_systems())
def test_solutions_are_those_of_dense_algebra(system):
    pattern, matrix, b = system
    found = solved(_elimination.solve, pattern, matrix, b)
    np.testing.assert_allclose(matrix @ found, b, atol=1e-12)
    found = solved(_elimination.solve_transposed, pattern, matrix, b)
    np.testing.assert_allclose(matrix.T @ found, b, atol=1e-12)


def test_an_arrow_is_eliminated_without_fill():
    n = 8
    arrow = [(0, i) for i in range(n)] + [(i, 0) for i in range(n)]
    plan = _elimination.plan(arrow, n)
    assert plan.order[-1] in (0, n - 1)
    assert sum(map(len, plan.lower)) == n - 1
