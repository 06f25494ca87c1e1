"""One step of a Rosenbrock method, and its exact adjoint; written once for every engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax._method import Step, Tangent
from stiffgrad.jax._stacks import Coefficients, Stack, item, put, row, stacked, weighted
from stiffgrad.jax._system import System
from stiffgrad.jax._types import Status
from stiffgrad.jax.integrators import RosenbrockTableau

# Backward errors above this many roundings mean that the elimination should have pivoted. Healthy
# eliminations stay below a hundred.
_LARGEST_BACKWARD_ERROR = 1e5


class _Stages(NamedTuple):
    first_slope: jax.Array
    points: Stack
    increments: Stack


class Rosenbrock:
    """A Rosenbrock method on a system; see :class:`stiffgrad.jax._method.Method`.

    The Jacobian is part of the step's formula, and its own derivative part of the derivatives.
    """

    adaptive = True
    memory = 0
    lanes = True

    def __init__(self, tableau: RosenbrockTableau, system: System) -> None:
        self.tableau = tableau
        self.system = system
        self.order = tableau.order
        self.dense_degree = len(tableau.dense)
        self.rhs_per_step: int | None = tableau.stages
        self._coefficients = tableau.a, tableau.C, tableau.c, tableau.d

    def on(self, system: System) -> Rosenbrock:
        return Rosenbrock(self.tableau, system)

    def begin(self, t: jax.Array, y: jax.Array) -> jax.Array:
        return y

    def step(self, t: jax.Array, h: jax.Array, y: jax.Array, p: jax.Array) -> Step:
        tableau, system = self.tableau, self.system
        jacobian, f_t = system.linearise(t, y, p)
        shift = 1 / (h * tableau.gamma)
        factors = system.factor(jacobian, shift)
        stages = self._stages(t, h, y, p, factors, f_t)
        wrong = system.backward_error(
            jacobian, shift, factors, stages.increments[0], stages.first_slope
        )
        roundings = _LARGEST_BACKWARD_ERROR * jnp.finfo(y.dtype).eps
        return Step(
            state=weighted(tableau.m, stages.increments, start=y),
            error=weighted(tableau.e, stages.increments),
            terms=self._terms(stages.increments),
            failure=jnp.where(wrong <= roundings, int(Status.SUCCESS), int(Status.SINGULAR)),
            error_order=tableau.error_order,
        )

    def _terms(self, increments: Stack) -> jax.Array | None:
        rows = [weighted(weights, increments) for weights in self.tableau.dense]
        return jnp.stack(rows) if rows else None

    def _stages(
        self,
        t: jax.Array,
        h: jax.Array,
        y: jax.Array,
        p: jax.Array,
        factors: Any,
        f_t: jax.Array | None,
    ) -> _Stages:
        system, _c, d = self.system, self.tableau.c, self.tableau.d

        first = system.rhs(t, y, p)
        if f_t is not None:
            first = first + h * float(d[0]) * f_t
        start = system.solve(factors, first)

        def stage(
            a: Coefficients, C: Coefficients, c: Any, d: Any, increments: Stack
        ) -> tuple[jax.Array, jax.Array]:
            point = weighted(a, increments, start=y)
            slope = system.rhs(t + c * h if system.timed else t, point, p)
            slope = slope + system.apply_mass(weighted(C, increments, scale=1 / h))
            if f_t is not None:
                slope = slope + h * d * f_t
            return point, system.solve(factors, slope)

        run = self._rolled if system.rolled(y) else self._unrolled
        return _Stages(first, *run(stage, y, start))

    def _unrolled(
        self, stage: Callable[..., Any], y: jax.Array, start: jax.Array
    ) -> tuple[Stack, Stack]:
        tableau = self.tableau
        points, increments = [y], [start]
        for i in range(1, tableau.stages):
            point, increment = stage(
                tableau.a[i, :i],
                tableau.C[i, :i],
                float(tableau.c[i]),
                float(tableau.d[i]),
                increments,
            )
            points.append(point)
            increments.append(increment)
        return points, increments

    def _rolled(
        self, stage: Callable[..., Any], y: jax.Array, start: jax.Array
    ) -> tuple[Stack, Stack]:
        tableau = self.tableau
        a, C, c, d = (jnp.asarray(x, y.dtype) for x in (tableau.a, tableau.C, tableau.c, tableau.d))
        empty = jnp.zeros((tableau.stages, *y.shape), y.dtype)

        def body(i: jax.Array, stacks: tuple[jax.Array, jax.Array]) -> Any:
            points, increments = stacks
            point, increment = stage(row(a, i), row(C, i), row(c, i), row(d, i), increments)
            return put(points, point, i), put(increments, increment, i)

        stacks = put(empty, y, 0), put(empty, start, 0)
        return lax.fori_loop(1, tableau.stages, body, stacks)

    def pullback(
        self,
        t: jax.Array,
        h: jax.Array,
        y: jax.Array,
        p: jax.Array,
        out: jax.Array,
        terms_bar: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """The adjoint of the stage equations, last stage first.

        Sandu, Daescu and Carmichael, Atmospheric Environment 37 (2003), give it for this form.
        """
        system, tableau = self.system, self.tableau
        jacobian, f_t = system.linearise(t, y, p)
        factors = system.factor(jacobian, 1 / (h * tableau.gamma))
        stages = self._stages(t, h, y, p, factors, f_t)
        dense = jnp.asarray(tableau.dense.T, y.dtype)

        def stage(
            i: Any, a: Coefficients, C: Coefficients, c: Any, m: Any, slopes: Stack, duals: Stack
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            reached = weighted(a, slopes, start=m * out)
            if terms_bar is not None:
                reached = reached + weighted(row(dense, i), terms_bar)
            if len(duals):
                reached = reached + system.apply_mass_transposed(weighted(C, duals, scale=1 / h))
            dual = system.solve_transposed(factors, reached)
            time = t + c * h if system.timed else t
            slope, p_term = system.rhs_vjp(time, item(stages.points, i), p, dual)
            return dual, slope, p_term

        sweep = self._sweep_rolled if system.rolled(y) else self._sweep_unrolled
        duals, y_bar, p_bar = sweep(stage, out, p)
        weight = None if f_t is None else weighted(tableau.d, duals) * h
        increments = stacked(stages.increments)
        y_term, p_term = system.linearise_vjp(t, y, p, increments, stacked(duals), weight)
        return y_bar + y_term, p_bar + p_term

    def pushforward(
        self,
        t: jax.Array,
        h: jax.Array,
        y: jax.Array,
        p: jax.Array,
        y_dot: jax.Array,
        p_dot: jax.Array,
    ) -> Tangent:
        """The derivative of the stage equations, with the factors of the step itself."""
        system, tableau = self.system, self.tableau
        jacobian, f_t = system.linearise(t, y, p)
        factors = system.factor(jacobian, 1 / (h * tableau.gamma))
        stages = self._stages(t, h, y, p, factors, f_t)
        bend, f_t_dot = system.linearise_jvp(t, y, p, y_dot, p_dot)

        def stage(
            i: Any, a: Coefficients, C: Coefficients, c: Any, d: Any, dots: Stack
        ) -> jax.Array:
            point_dot = weighted(a, dots, start=y_dot) if len(dots) else y_dot
            time = t + c * h if system.timed else t
            slope = system.rhs_jvp(time, item(stages.points, i), p, point_dot, p_dot)
            slope = slope + bend(item(stages.increments, i))
            if len(dots):
                slope = slope + system.apply_mass(weighted(C, dots, scale=1 / h))
            if f_t_dot is not None:
                slope = slope + h * d * f_t_dot
            return system.solve(factors, slope)

        push = self._push_rolled if system.rolled(y) else self._push_unrolled
        dots = push(stage, y_dot)
        return Tangent(
            weighted(tableau.m, dots, start=y_dot), weighted(tableau.e, dots), self._terms(dots)
        )

    def _push_unrolled(self, stage: Callable[..., jax.Array], y_dot: jax.Array) -> Stack:
        a, C, c, d = self._coefficients
        dots: list[jax.Array] = []
        for i in range(self.tableau.stages):
            dots.append(stage(i, a[i, :i], C[i, :i], float(c[i]), float(d[i]), dots))
        return dots

    def _push_rolled(self, stage: Callable[..., jax.Array], y_dot: jax.Array) -> Stack:
        a, C, c, d = (jnp.asarray(x, y_dot.dtype) for x in self._coefficients)

        def body(i: jax.Array, dots: jax.Array) -> jax.Array:
            return put(dots, stage(i, row(a, i), row(C, i), row(c, i), row(d, i), dots), i)

        empty = jnp.zeros((self.tableau.stages, *y_dot.shape), y_dot.dtype)
        return lax.fori_loop(0, self.tableau.stages, body, empty)

    def _sweep_unrolled(
        self, stage: Callable[..., Any], out: jax.Array, p: jax.Array
    ) -> tuple[Stack, jax.Array, jax.Array]:
        tableau, s = self.tableau, self.tableau.stages
        duals: list[jax.Array] = [out] * s
        slopes: list[jax.Array] = [out] * s
        y_bar, p_bar = out, jnp.zeros_like(p)
        for i in reversed(range(s)):
            after = slice(i + 1, s)
            duals[i], slopes[i], p_term = stage(
                i,
                tableau.a[after, i],
                tableau.C[after, i],
                float(tableau.c[i]),
                float(tableau.m[i]),
                slopes[after],
                duals[after],
            )
            y_bar, p_bar = y_bar + slopes[i], p_bar + p_term
        return duals, y_bar, p_bar

    def _sweep_rolled(
        self, stage: Callable[..., Any], out: jax.Array, p: jax.Array
    ) -> tuple[Stack, jax.Array, jax.Array]:
        tableau, s = self.tableau, self.tableau.stages
        a, C = (jnp.asarray(x.T, out.dtype) for x in (tableau.a, tableau.C))
        c, m = (jnp.asarray(x, out.dtype) for x in (tableau.c, tableau.m))
        empty = jnp.zeros((s, *out.shape), out.dtype)

        def body(k: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            duals, slopes, y_bar, p_bar = carry
            i = s - 1 - k
            dual, slope, p_term = stage(
                i, row(a, i), row(C, i), row(c, i), row(m, i), slopes, duals
            )
            return put(duals, dual, i), put(slopes, slope, i), y_bar + slope, p_bar + p_term

        carry = (empty, empty, out, jnp.zeros_like(p))
        duals, _, y_bar, p_bar = lax.fori_loop(0, s, body, carry)
        return duals, y_bar, p_bar
