"""The scalar engine: straight-line programs and a sparse elimination planned beforehand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiffgrad.jax import _differentiate, _elimination, _graph
from stiffgrad.jax._compile import one_function
from stiffgrad.jax._flatten import Traced
from stiffgrad.jax._graph import Graph
from stiffgrad.jax._program import Groups, Program
from stiffgrad.jax._scalar_coupled import ScalarCoupled
from stiffgrad.jax._scalar_linear import ScalarLinear
from stiffgrad.jax._scalarise import interpret
from stiffgrad.jax._stacks import row

# Written-out stages are faster for a handful of numbers; rolled ones compile faster and, beyond
# that, run no slower (measured on ROBER with 3 states and POLLU with 20).
_MOST_UNROLLED = 6


class ScalarSystem:
    """A right-hand side compiled component by component; see :class:`stiffgrad.jax._system.System`.

    Args:
        traced: the problem on flat vectors.

    Raises:
        NotScalar: if it cannot be written as static scalar arithmetic.
    """

    engine = "scalar"
    most_tangents: int | None = None
    compiled = staticmethod(one_function)

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        t_aval, y_aval, p_aval = traced.rhs.in_avals
        self.n, self.m = y_aval.shape[0], p_aval.shape[0]
        self.dtype = y_aval.dtype
        self._coupled_operations = 0
        graph = self._graph = Graph()
        self._t = graph.input("t", t_aval.dtype)
        self._y = self._inputs("y", self.n)
        self._p = self._inputs("p", self.m)
        self.mass = traced.mass
        self._f = self._interpret(traced.rhs)
        self._build_linearisation(traced.jacobian)
        self._build_elimination()
        self._build_adjoints(traced.vjp)

    def _interpret(self, closed: jex.ClosedJaxpr, *more: list[int]) -> list[int]:
        """Nodes of a traced function of t, y, p and further vectors."""
        arguments = [np.asarray(self._t), self._ids(self._y), self._ids(self._p)]
        (out,) = interpret(self._graph, closed, [*arguments, *(self._ids(x) for x in more)])
        return [int(node) for node in np.ravel(out)]

    def _inputs(self, name: str, size: int) -> list[int]:
        return [self._graph.input(f"{name}{i}", self.dtype) for i in range(size)]

    @staticmethod
    def _ids(nodes: list[int]) -> np.ndarray:
        return np.asarray(nodes, np.int64)

    def _build_linearisation(self, given: jex.ClosedJaxpr | None) -> None:
        graph = self._graph
        entries = self._derived_jacobian() if given is None else self._given_jacobian(given)
        self._pattern, self._jacobian = list(entries), list(entries.values())
        slopes = _differentiate.jacobian(graph, self._f, [self._t])
        zero = graph.constant(0, self.dtype)
        self._f_t = [row.get(0, zero) for row in slopes]
        self.timed = self._t in _graph.reachable(graph, self._f)
        state: Groups = {"t": self._t, "y": self._y, "p": self._p}
        self._rhs = Program(graph, self._f, state)
        nodes = self._jacobian + (self._f_t if self.timed else [])
        self._linearise = Program(graph, nodes, state) if nodes else None

    def _derived_jacobian(self) -> dict[_elimination.Position, int]:
        rows = _differentiate.jacobian(self._graph, self._f, self._y)
        return {(i, j): node for i, row in enumerate(rows) for j, node in row.items()}

    def _given_jacobian(self, given: jex.ClosedJaxpr) -> dict[_elimination.Position, int]:
        nodes = self._interpret(given)
        places = [divmod(k, self.n) for k in range(self.n**2)]
        found = zip(places, nodes, strict=True)
        return {place: node for place, node in found if not self._graph.is_value(node, 0)}

    def _shifted_mass(self, shift: int) -> dict[_elimination.Position, int]:
        graph = self._graph
        if self.mass is None:
            return {(i, i): shift for i in range(self.n)}
        matrix = {(i, i): graph.constant(0, self.dtype) for i in range(self.n)}
        for i, j in np.argwhere(self.mass):
            entry = graph.constant(self.mass[i, j], self.dtype)
            matrix[int(i), int(j)] = graph.mul(entry, shift)
        return matrix

    def _build_elimination(self) -> None:
        graph = self._graph
        entries = self._inputs("J", len(self._pattern))
        shift = graph.input("shift", self.dtype)
        matrix = self._shifted_mass(shift)
        for place, entry in zip(self._pattern, entries, strict=True):
            old = matrix.get(place)
            matrix[place] = graph.neg(entry) if old is None else graph.sub(old, entry)
        given = self._with_entries(entries, shift=shift)
        self._linear = ScalarLinear(graph, matrix, self.n, given, self.dtype)

    def _with_entries(self, entries: list[int], **groups: int | list[int]) -> Groups:
        """Input groups with the Jacobian's entries, which a vanishing Jacobian does not have."""
        return {"J": entries, **groups} if entries else groups

    @property
    def _state(self) -> Groups:
        return {"t": self._t, "y": self._y, "p": self._p}

    def _build_adjoints(self, given: jex.ClosedJaxpr | None) -> None:
        graph = self._graph
        wanted, state = self._y + self._p, self._state
        v = self._inputs("v", self.n)
        pulled: list[int | None]
        if given is None:
            pulled = _differentiate.gradient(graph, self._f, v, wanted)
        else:
            pulled = [*self._interpret(given, v)]
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

    def _directional(self, nodes: list[int]) -> tuple[list[int], Groups]:
        """Derivatives of nodes along a tangent of y and p, and the inputs they take."""
        graph = self._graph
        dots = self._inputs("y_dot", self.n), self._inputs("p_dot", self.m)
        along = dots[0] + dots[1]
        found = []
        for slopes in _differentiate.jacobian(graph, nodes, self._y + self._p):
            total = graph.constant(0, self.dtype)
            for column, slope in slopes.items():
                total = graph.add(total, graph.mul(slope, along[column]))
            found.append(total)
        return found, {**self._state, "y_dot": dots[0], "p_dot": dots[1]}

    @cached_property
    def _rhs_jvp(self) -> Program:
        return Program(self._graph, *self._directional(self._f))

    @cached_property
    def _linearise_jvp(self) -> Program:
        nodes = self._jacobian + (self._f_t if self.timed else [])
        return Program(self._graph, *self._directional(nodes))

    @cached_property
    def _apply_jacobian(self) -> Program:
        graph = self._graph
        entries, u = self._inputs("J", len(self._pattern)), self._inputs("u", self.n)
        total = [graph.constant(0, self.dtype)] * self.n
        for (i, j), entry in zip(self._pattern, entries, strict=True):
            total[i] = graph.add(total[i], graph.mul(entry, u[j]))
        return Program(graph, total, {"J": entries, "u": u})

    @cached_property
    def _dense(self) -> Program:
        entries = self._inputs("J", len(self._pattern))
        places = dict(zip(self._pattern, entries, strict=True))
        full = [places.get((i, j)) for i in range(self.n) for j in range(self.n)]
        return Program(self._graph, full, {"J": entries})

    def _apply_constant(self, matrix: np.ndarray) -> Program:
        graph, v = self._graph, self._inputs("v", self.n)
        total = [graph.constant(0, self.dtype)] * self.n
        for i, j in np.argwhere(matrix):
            entry = graph.constant(matrix[i, j], self.dtype)
            total[i] = graph.add(total[i], graph.mul(entry, v[j]))
        return Program(graph, total, {"v": v})

    @cached_property
    def _mass_programs(self) -> tuple[Program, Program]:
        assert self.mass is not None
        return self._apply_constant(self.mass), self._apply_constant(self.mass.T)

    def rolled(self, y: jax.Array) -> bool:
        return y.size > _MOST_UNROLLED

    @property
    def operations(self) -> int:
        """Scalar operations in all programs together: what compile time grows with."""
        programs = (
            self._rhs,
            self._linearise,
            self._linear,
            self._rhs_vjp,
            self._outer,
            self._linearise_vjp,
        )
        own = sum(program.operations for program in programs if program is not None)
        return own + self._coupled_operations

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

    def factor(self, jacobian: jax.Array, shift: jax.Array) -> Any:
        return self._linear.factor(**self._entries(jacobian), shift=shift)

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return self._linear.solve(factors, b)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return self._linear.solve_transposed(factors, b)

    def backward_error(
        self, jacobian: jax.Array, shift: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        return self._linear.backward_error(x, b, **self._entries(jacobian), shift=shift)

    def coupled(self, inverse: np.ndarray) -> ScalarCoupled:
        made = ScalarCoupled(self._graph, self._pattern, self.mass, inverse, self.n, self.dtype)
        self._coupled_operations = max(self._coupled_operations, made.operations)
        return made

    def apply_mass(self, v: jax.Array) -> jax.Array:
        return v if self.mass is None else self._mass_programs[0](v=v)

    def apply_mass_transposed(self, v: jax.Array) -> jax.Array:
        return v if self.mass is None else self._mass_programs[1](v=v)

    def dense_jacobian(self, jacobian: jax.Array) -> jax.Array:
        if not self._pattern:
            return jnp.zeros((self.n, self.n, *jacobian.shape[1:]), self.dtype)
        return self._dense(J=jacobian).reshape(self.n, self.n, *jacobian.shape[1:])

    def rhs_jvp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, y_dot: jax.Array, p_dot: jax.Array
    ) -> jax.Array:
        return self._rhs_jvp(t=t, y=y, p=p, y_dot=y_dot, p_dot=p_dot)

    def linearise_jvp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, y_dot: jax.Array, p_dot: jax.Array
    ) -> tuple[Callable[[jax.Array], jax.Array], jax.Array | None]:
        if self._linearise is None:
            return jnp.zeros_like, None
        found = self._linearise_jvp(t=t, y=y, p=p, y_dot=y_dot, p_dot=p_dot)
        entries = len(self._pattern)
        f_t_dot = lax.slice_in_dim(found, entries, entries + self.n) if self.timed else None
        if not entries:
            return jnp.zeros_like, f_t_dot
        jacobian = lax.slice_in_dim(found, 0, entries)
        return lambda u: self._apply_jacobian(J=jacobian, u=u), f_t_dot

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
