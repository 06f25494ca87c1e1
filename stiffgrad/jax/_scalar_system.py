"""The scalar engine: straight-line programs and a sparse elimination planned beforehand."""

from __future__ import annotations

from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiffgrad.jax import _differentiate, _elimination, _graph
from stiffgrad.jax._compile import one_function
from stiffgrad.jax._graph import Graph
from stiffgrad.jax._program import Groups, Program
from stiffgrad.jax._scalarise import interpret

# Written-out stages are faster for a handful of numbers; rolled ones compile faster and, beyond
# that, run no slower (measured on ROBER with 3 states and POLLU with 20).
_MOST_UNROLLED = 6


class ScalarSystem:
    """A right-hand side compiled component by component; see :class:`stiffgrad.jax._system.System`.

    Args:
        closed: the traced right-hand side, `(t, y, p) -> (dy,)` with y of shape (n,), p (m,).

    Raises:
        NotScalar: if it cannot be written as static scalar arithmetic.
    """

    engine = "scalar"
    compiled = staticmethod(one_function)

    def __init__(self, closed: jex.ClosedJaxpr) -> None:
        t_aval, y_aval, p_aval = closed.in_avals
        self.n, self.m = y_aval.shape[0], p_aval.shape[0]
        self.dtype = y_aval.dtype
        graph = self._graph = Graph()
        self._t = graph.input("t", t_aval.dtype)
        self._y = self._inputs("y", self.n)
        self._p = self._inputs("p", self.m)
        arguments = [np.asarray(self._t), np.asarray(self._y, np.int64), self._ids(self._p)]
        (out,) = interpret(graph, closed, arguments)
        self._f = [int(node) for node in out]
        self._build_linearisation()
        self._build_elimination()
        self._build_adjoints()

    def _inputs(self, name: str, size: int) -> list[int]:
        return [self._graph.input(f"{name}{i}", self.dtype) for i in range(size)]

    @staticmethod
    def _ids(nodes: list[int]) -> np.ndarray:
        return np.asarray(nodes, np.int64)

    def _build_linearisation(self) -> None:
        graph = self._graph
        rows = _differentiate.jacobian(graph, self._f, self._y)
        self._pattern = [(i, j) for i, row in enumerate(rows) for j in row]
        self._jacobian = [rows[i][j] for i, j in self._pattern]
        slopes = _differentiate.jacobian(graph, self._f, [self._t])
        zero = graph.constant(0, self.dtype)
        self._f_t = [row.get(0, zero) for row in slopes]
        self.timed = self._t in _graph.reachable(graph, self._f)
        state: Groups = {"t": self._t, "y": self._y, "p": self._p}
        self._rhs = Program(graph, self._f, state)
        nodes = self._jacobian + (self._f_t if self.timed else [])
        self._linearise = Program(graph, nodes, state) if nodes else None

    def _build_elimination(self) -> None:
        graph = self._graph
        entries = self._inputs("J", len(self._pattern))
        shift = graph.input("shift", self.dtype)
        matrix = {(i, i): shift for i in range(self.n)}
        for place, entry in zip(self._pattern, entries, strict=True):
            old = matrix.get(place)
            matrix[place] = graph.neg(entry) if old is None else graph.sub(old, entry)
        plan = _elimination.plan(self._pattern, self.n)
        made = _elimination.factor(graph, plan, matrix, graph.constant(1, self.dtype))
        self._factor = Program(graph, made.nodes(), self._with_entries(entries, shift=shift))
        names = self._inputs("F", len(made.nodes()))
        given = made.rename(names)
        b = self._inputs("b", self.n)
        groups: Groups = {"F": names, "b": b}
        self._solve = Program(graph, _elimination.solve(graph, plan, given, b), groups)
        transposed = _elimination.solve_transposed(graph, plan, given, b)
        self._solve_transposed = Program(graph, transposed, groups)
        self._build_residual(matrix, entries, shift, b)

    def _build_residual(
        self, matrix: dict[tuple[int, int], int], entries: list[int], shift: int, b: list[int]
    ) -> None:
        graph = self._graph
        x = self._inputs("x", self.n)
        residual = list(b)
        size = [self._absolute(node) for node in b]
        for (i, j), entry in matrix.items():
            product = graph.mul(entry, x[j])
            residual[i] = graph.sub(residual[i], product)
            size[i] = graph.add(size[i], self._absolute(product))
        groups = self._with_entries(entries, shift=shift, x=x, b=b)
        self._residual = Program(graph, [*residual, *size], groups)

    def _with_entries(self, entries: list[int], **groups: int | list[int]) -> Groups:
        """Input groups with the Jacobian's entries, which a vanishing Jacobian does not have."""
        return {"J": entries, **groups} if entries else groups

    def _absolute(self, node: int) -> int:
        return self._graph.apply(lax.abs_p, (node,), {}, self.dtype)

    def _build_adjoints(self) -> None:
        graph = self._graph
        wanted = self._y + self._p
        state: Groups = {"t": self._t, "y": self._y, "p": self._p}
        v = self._inputs("v", self.n)
        pulled = _differentiate.gradient(graph, self._f, v, wanted)
        self._rhs_vjp = Program(graph, pulled, {**state, "v": v})
        u = self._inputs("u", self.n)
        outer = [graph.mul(v[i], u[j]) for i, j in self._pattern]
        self._outer = Program(graph, outer, {"u": u, "v": v}) if outer else None
        weights = self._inputs("B", len(self._pattern))
        w = self._inputs("w", self.n)
        nodes, cotangents = list(self._jacobian), list(weights)
        groups: Groups = {**state, **({"B": weights} if weights else {})}
        if self.timed:
            nodes, cotangents = nodes + self._f_t, cotangents + w
            groups["w"] = w
        pulled = _differentiate.gradient(graph, nodes, cotangents, wanted)
        self._linearise_vjp = Program(graph, pulled, groups)

    def rolled(self, y: jax.Array) -> bool:
        return y.size > _MOST_UNROLLED

    @property
    def operations(self) -> int:
        """Scalar operations in all programs together: what compile time grows with."""
        programs = (
            self._rhs,
            self._linearise,
            self._factor,
            self._solve,
            self._solve_transposed,
            self._residual,
            self._rhs_vjp,
            self._outer,
            self._linearise_vjp,
        )
        return sum(program.operations for program in programs if program is not None)

    def rhs(self, t: jax.Array, y: jax.Array, p: jax.Array) -> jax.Array:
        return self._rhs(t=t, y=y, p=p)

    def linearise(
        self, t: jax.Array, y: jax.Array, p: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        if self._linearise is None:
            return jnp.zeros((0, *y.shape[1:]), self.dtype), None
        found = self._linearise(t=t, y=y, p=p)
        entries = len(self._pattern)
        if not self.timed:
            return found, None
        return (
            lax.slice_in_dim(found, 0, entries),
            lax.slice_in_dim(found, entries, entries + self.n),
        )

    def _entries(self, jacobian: jax.Array) -> dict[str, jax.Array]:
        return {"J": jacobian} if self._pattern else {}

    def factor(self, jacobian: jax.Array, shift: jax.Array) -> jax.Array:
        return self._factor(**self._entries(jacobian), shift=shift)

    def solve(self, factors: jax.Array, b: jax.Array) -> jax.Array:
        return self._solve(F=factors, b=b)

    def solve_transposed(self, factors: jax.Array, b: jax.Array) -> jax.Array:
        return self._solve_transposed(F=factors, b=b)

    def backward_error(
        self, jacobian: jax.Array, shift: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        found = self._residual(**self._entries(jacobian), shift=shift, x=x, b=b)
        residual = lax.slice_in_dim(found, 0, self.n)
        size = lax.slice_in_dim(found, self.n, 2 * self.n)
        return jnp.max(jnp.abs(residual) / jnp.where(size == 0, 1, size), axis=0)

    def rhs_vjp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, v: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return self._split(self._rhs_vjp(t=t, y=y, p=p, v=v))

    def linearise_vjp(
        self,
        t: jax.Array,
        y: jax.Array,
        p: jax.Array,
        u: jax.Array,
        v: jax.Array,
        w: jax.Array | None,
    ) -> tuple[jax.Array, jax.Array]:
        arrays = {"t": t, "y": y, "p": p}
        if self._outer is not None:
            arrays["B"] = self._contract(u, v)
        if w is not None:
            arrays["w"] = w
        return self._split(self._linearise_vjp(**arrays))

    def _contract(self, u: jax.Array, v: jax.Array) -> jax.Array:
        """The cotangent of the Jacobian's entries: `sum_i v_i u_i^T` on its pattern."""
        assert self._outer is not None
        outer = self._outer
        if not self.rolled(u[0]):
            products = [outer(u=a, v=b) for a, b in zip(u, v, strict=True)]
            return sum(products[1:], start=products[0])

        def add(i: jax.Array, total: jax.Array) -> jax.Array:
            return total + outer(u=row(u, i), v=row(v, i))

        return lax.fori_loop(0, len(u), add, jnp.zeros((len(self._pattern), *u.shape[2:]), u.dtype))

    def _split(self, pulled: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (
            lax.slice_in_dim(pulled, 0, self.n),
            lax.slice_in_dim(pulled, self.n, self.n + self.m),
        )


def row(array: jax.Array, index: jax.Array) -> jax.Array:
    """`array[index]` for an index in bounds, without the gather that indexing would make."""
    return lax.dynamic_index_in_dim(array, index, axis=0, keepdims=False)
