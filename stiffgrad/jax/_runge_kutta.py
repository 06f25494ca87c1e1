"""Explicit and diagonally implicit Runge-Kutta steps, stage after stage, and their derivatives."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiffgrad.jax._estimate import estimate, push_estimate
from stiffgrad.jax._method import Step, Tangent
from stiffgrad.jax._newton import solve_stage
from stiffgrad.jax._stacks import put, row, weighted
from stiffgrad.jax._system import System
from stiffgrad.jax._types import ArgumentError, Status
from stiffgrad.jax.integrators import Butcher


class Stages(NamedTuple):
    """The stages of a step.

    Attributes:
        points: (s, n, *lanes), the states at which they evaluate the right-hand side.
        increments: (s, n, *lanes), h times their slopes.
        failure: lanes, a :class:`Status`.
    """

    points: jax.Array
    increments: jax.Array
    failure: jax.Array


class _Sweep(NamedTuple):
    slopes: jax.Array
    y_bar: jax.Array
    p_bar: jax.Array


class RungeKutta:
    """A method whose stages depend on earlier ones alone, on a system.

    See :class:`stiffgrad.jax._method.Method`. Explicit stages come first. Derivatives are those of
    the converged stages, by the implicit function theorem with the Jacobians at the stages.

    Raises:
        ArgumentError: for an explicit stage with a mass matrix.
    """

    memory = 0
    lanes = True

    def __init__(self, tableau: Butcher, system: System) -> None:
        if system.mass is not None and tableau.explicit_stages:
            raise ArgumentError(
                f"integrator={tableau.name!r} has an explicit stage, which would need the inverse "
                "of the mass matrix. Integrators that do not: rodas5p, radau5, sdirk2, bdf2"
            )
        self.tableau = tableau
        self.system = system
        self.order = tableau.order
        self.adaptive = tableau.error is not None
        self.dense_degree = len(tableau.dense)
        explicit = tableau.explicit_stages == tableau.stages
        self.rhs_per_step: int | None = tableau.stages if explicit else None

    def on(self, system: System) -> RungeKutta:
        return RungeKutta(self.tableau, system)

    def begin(self, t: jax.Array, y: jax.Array) -> jax.Array:
        return y

    def step(self, t: jax.Array, h: jax.Array, y: jax.Array, p: Any) -> Step:
        return self.finish(t, h, y, p, self.stages(t, h, y, p))

    def finish(self, t: jax.Array, h: jax.Array, y: jax.Array, p: Any, stages: Stages) -> Step:
        """The step that has these stages."""
        tableau = self.tableau
        points, increments, failure = stages
        last = points[-1] if tableau.stiffly_accurate else None
        return Step(
            state=weighted(tableau.b, increments, start=y) if last is None else last,
            error=estimate(tableau, self.system, t, h, y, p, increments),
            terms=self._terms(increments),
            failure=failure,
            error_order=tableau.error_order,
        )

    def _terms(self, increments: jax.Array) -> jax.Array | None:
        rows = [weighted(weights, increments) for weights in self.tableau.dense]
        return jnp.stack(rows) if rows else None

    def stages(self, t: jax.Array, h: jax.Array, y: jax.Array, p: Any) -> Stages:
        """The stages of the step of size h from (t, y)."""
        system, tableau = self.system, self.tableau
        s, split = tableau.stages, tableau.explicit_stages
        before = jnp.asarray(np.tril(tableau.a, -1), y.dtype)
        diagonal = jnp.asarray(np.diagonal(tableau.a), y.dtype)

        def explicit(i: jax.Array, stages: Stages) -> Stages:
            point = weighted(row(before, i), stages.increments, start=y)
            increment = h * system.rhs(self._time(t, h, i), point, p)
            return Stages(
                put(stages.points, point, i), put(stages.increments, increment, i), stages.failure
            )

        def implicit(i: jax.Array, stages: Stages) -> Stages:
            base = weighted(row(before, i), stages.increments, start=y)
            d = row(diagonal, i)
            guess = row(stages.points, jnp.maximum(i - 1, 0))
            point, failed = solve_stage(system, self._time(t, h, i), 1 / (h * d), base, p, guess)
            return Stages(
                put(stages.points, point, i),
                put(stages.increments, (point - base) / d, i),
                jnp.maximum(stages.failure, failed),
            )

        stages = Stages(
            jnp.broadcast_to(y, (s, *y.shape)),
            jnp.zeros((s, *y.shape), y.dtype),
            jnp.full(y.shape[1:], int(Status.SUCCESS), jnp.int32),
        )
        if split:
            stages = lax.fori_loop(0, split, explicit, stages)
        if split < s:
            stages = lax.fori_loop(split, s, implicit, stages)
        return stages

    def _time(self, t: jax.Array, h: jax.Array, i: jax.Array) -> jax.Array:
        return t + row(jnp.asarray(self.tableau.c, t.dtype), i) * h if self.system.timed else t

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

        The cotangent of a stage's base is formed from the solution of its linear system and not
        through a product with the Jacobian, so that a strongly damped one keeps its digits.
        """
        system, tableau = self.system, self.tableau
        s, split = tableau.stages, tableau.explicit_stages
        points = self.stages(t, h, y, p).points
        # `later[i]` holds what the stages behind stage i take of its increment.
        later = jnp.asarray(np.tril(tableau.a, -1).T, y.dtype)
        diagonal = jnp.asarray(np.diagonal(tableau.a), y.dtype)
        direct = np.eye(s)[-1] if tableau.stiffly_accurate else np.zeros(s)
        onto_points = jnp.asarray(direct, y.dtype)
        onto_increments = jnp.asarray(0 * direct if direct.any() else tableau.b, y.dtype)
        dense = jnp.asarray(tableau.dense.T, y.dtype)

        def increment_bar(i: jax.Array, sweep: _Sweep) -> jax.Array:
            start = row(onto_increments, i) * out
            if terms_bar is not None:
                start = weighted(row(dense, i), terms_bar, start=start)
            return weighted(row(later, i), sweep.slopes, start=start)

        def add(i: jax.Array, sweep: _Sweep, slope: jax.Array, p_term: jax.Array) -> _Sweep:
            slopes = put(sweep.slopes, slope, i)
            return _Sweep(slopes, sweep.y_bar + slope, sweep.p_bar + p_term)

        def implicit(k: jax.Array, sweep: _Sweep) -> _Sweep:
            i = s - 1 - k
            time, point, d = self._time(t, h, i), row(points, i), row(diagonal, i)
            through = increment_bar(i, sweep) / d
            jacobian, shift = system.linearise(time, point, p)[0], 1 / (h * d)
            reached = through + row(onto_points, i) * out
            dual = system.solve_transposed(system.factor(jacobian, shift), reached)
            slope = shift * system.apply_mass_transposed(dual) - through
            return add(i, sweep, slope, system.rhs_vjp(time, point, p, dual)[1])

        def explicit(k: jax.Array, sweep: _Sweep) -> _Sweep:
            i = split - 1 - k
            time, point = self._time(t, h, i), row(points, i)
            slope, p_term = system.rhs_vjp(time, point, p, h * increment_bar(i, sweep))
            return add(i, sweep, slope + row(onto_points, i) * out, p_term)

        y_bar = jnp.zeros_like(out) if tableau.stiffly_accurate else out
        sweep = _Sweep(jnp.zeros((s, *out.shape), out.dtype), y_bar, jnp.zeros_like(p))
        if split < s:
            sweep = lax.fori_loop(0, s - split, implicit, sweep)
        if split:
            sweep = lax.fori_loop(0, split, explicit, sweep)
        return sweep.y_bar, sweep.p_bar

    def pushforward(
        self,
        t: jax.Array,
        h: jax.Array,
        y: jax.Array,
        p: jax.Array,
        y_dot: jax.Array,
        p_dot: jax.Array,
    ) -> Tangent:
        """The derivative of the stage equations along a tangent, first stage first."""
        system, tableau = self.system, self.tableau
        s, split = tableau.stages, tableau.explicit_stages
        points, increments, _ = self.stages(t, h, y, p)
        before = jnp.asarray(np.tril(tableau.a, -1), y.dtype)
        diagonal = jnp.asarray(np.diagonal(tableau.a), y.dtype)

        def explicit(i: jax.Array, dots: tuple[jax.Array, jax.Array]) -> Any:
            dot = weighted(row(before, i), dots[1], start=y_dot)
            along = system.rhs_jvp(self._time(t, h, i), row(points, i), p, dot, p_dot)
            return dot, put(dots[1], h * along, i)

        def implicit(i: jax.Array, dots: tuple[jax.Array, jax.Array]) -> Any:
            base = weighted(row(before, i), dots[1], start=y_dot)
            time, point, d = self._time(t, h, i), row(points, i), row(diagonal, i)
            jacobian, shift = system.linearise(time, point, p)[0], 1 / (h * d)
            moved = system.rhs_jvp(time, point, p, jnp.zeros_like(base), p_dot)
            moved = moved + shift * system.apply_mass(base)
            dot = system.solve(system.factor(jacobian, shift), moved)
            return dot, put(dots[1], (dot - base) / d, i)

        dots = y_dot, jnp.zeros_like(increments)
        if split:
            dots = lax.fori_loop(0, split, explicit, dots)
        if split < s:
            dots = lax.fori_loop(split, s, implicit, dots)
        last, increments_dot = dots
        if not tableau.stiffly_accurate:
            last = weighted(tableau.b, increments_dot, start=y_dot)
        error = push_estimate(tableau, system, t, h, y, p, increments, y_dot, p_dot, increments_dot)
        return Tangent(last, error, self._terms(increments_dot))
