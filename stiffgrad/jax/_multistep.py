"""Linear multistep methods on steps of any sizes, and their derivatives."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax._coupled import Coupled
from stiffgrad.jax._method import Step, Tangent
from stiffgrad.jax._newton import solve_stage
from stiffgrad.jax._runge_kutta import RungeKutta
from stiffgrad.jax._system import System
from stiffgrad.jax._types import ArgumentError, Status
from stiffgrad.jax.integrators import LinearMultistep
from stiffgrad.jax.integrators._multistep import Weights


class _Past(NamedTuple):
    """What a step starts from, latest point first.

    Attributes:
        points: the states, k of (n, *lanes).
        times: when they were, k of lanes.
        known: how many steps were taken.
    """

    points: list[jax.Array]
    times: list[jax.Array]
    known: jax.Array


class Multistep:
    """A linear multistep method on a system, of fixed steps.

    See :class:`stiffgrad.jax._method.Method`. Behind y, the state holds the earlier points, their
    times and the number of steps taken; while those points are missing, the method's starter steps.
    All lanes have taken the same number of steps.

    Raises:
        ArgumentError: for an explicit method with a mass matrix.
    """

    adaptive = False
    dense_degree = 0
    lanes = True
    rhs_per_step: int | None = None

    def __init__(self, tableau: LinearMultistep, system: System) -> None:
        if system.mass is not None and tableau.explicit:
            raise ArgumentError(
                f"integrator={tableau.name!r} is explicit, which would need the inverse of the "
                "mass matrix. Integrators that do not: rodas5p, radau5, sdirk2, bdf2"
            )
        self.tableau = tableau
        self.system = system
        self.order = tableau.order
        self.memory = (tableau.points - 1) * (system.n + 1) + 1
        one_step = Coupled if tableau.starter.coupled else RungeKutta
        self._starter = one_step(tableau.starter, system)

    def on(self, system: System) -> Multistep:
        return Multistep(self.tableau, system)

    def begin(self, t: jax.Array, y: jax.Array) -> jax.Array:
        # The points that are missing are not read; their times only have to differ.
        missing = self.tableau.points - 1
        times = [t - k for k in range(1, missing + 1)]
        return self._pack(_Past([y] * (missing + 1), [t, *times], jnp.zeros_like(t)))

    def _pack(self, past: _Past) -> jax.Array:
        return jnp.concatenate([*past.points, jnp.stack([*past.times[1:], past.known])])

    def _unpack(self, t: jax.Array, state: jax.Array) -> _Past:
        n, k = self.system.n, self.tableau.points
        points = [lax.slice_in_dim(state, i * n, (i + 1) * n) for i in range(k)]
        rest = [
            lax.squeeze(lax.slice_in_dim(state, k * n + i, k * n + i + 1), (0,)) for i in range(k)
        ]
        return _Past(points, [t, *rest[:-1]], rest[-1])

    def _starting(self, past: _Past) -> jax.Array:
        return jnp.max(past.known) < self.tableau.points - 1

    def _weights(self, h: jax.Array, past: _Past) -> Weights:
        return self.tableau.weights(h, [past.times[0] - time for time in past.times[1:]])

    def step(self, t: jax.Array, h: jax.Array, state: jax.Array, p: Any) -> Step:
        past = self._unpack(t, state)

        def start() -> tuple[jax.Array, jax.Array]:
            found = self._starter.step(t, h, past.points[0], p)
            return found.state, found.failure

        y, failure = lax.cond(self._starting(past), start, lambda: self._end(h, past, p))
        after = _Past([y, *past.points[:-1]], [t + h, *past.times[:-1]], past.known + 1)
        return Step(self._pack(after), None, None, failure, self.order)

    def _end(self, h: jax.Array, past: _Past, p: Any) -> tuple[jax.Array, jax.Array]:
        """The state at the end of a step by the formula, and a status."""
        weights, first = self._weights(h, past), past.points[0]
        base = first
        for weight, point in zip(weights.values, past.points[1:], strict=True):
            if weight is not None:
                base = base + weight * (point - first)
        for weight, time, point in self._slopes(weights, past):
            base = base + weight * self.system.rhs(time, point, p)
        if weights.implicit is None:
            return base, jnp.full(h.shape, int(Status.SUCCESS), jnp.int32)
        return solve_stage(
            self.system, past.times[0] + h, 1 / weights.implicit, base, p, guess=first
        )

    @staticmethod
    def _slopes(weights: Weights, past: _Past) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
        """Weight, time and point of each slope in the base."""
        given = zip(weights.slopes, past.times, past.points, strict=bool(weights.slopes))
        return [(weight, time, point) for weight, time, point in given if weight is not None]

    def pullback(
        self,
        t: jax.Array,
        h: jax.Array,
        state: jax.Array,
        p: jax.Array,
        out: jax.Array,
        terms_bar: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        past, onto = self._unpack(t, state), self._unpack(t, out)

        def start() -> tuple[list[jax.Array], jax.Array]:
            y_bar, p_bar = self._starter.pullback(t, h, past.points[0], p, onto.points[0])
            return [y_bar, *map(jnp.zeros_like, past.points[1:])], p_bar

        bars, p_bar = lax.cond(
            self._starting(past), start, lambda: self._pull(h, past, p, onto.points[0])
        )
        # Every point but the oldest is handed on.
        bars = [a + b for a, b in zip(bars[:-1], onto.points[1:], strict=True)] + bars[-1:]
        none = [jnp.zeros_like(time) for time in past.times]
        return self._pack(_Past(bars, none, none[0])), p_bar

    def _pull(
        self, h: jax.Array, past: _Past, p: jax.Array, out: jax.Array
    ) -> tuple[list[jax.Array], jax.Array]:
        system, weights = self.system, self._weights(h, past)
        base_bar, p_bar = out, jnp.zeros_like(p)
        if weights.implicit is not None:
            time, shift = past.times[0] + h, 1 / weights.implicit
            point, _ = self._end(h, past, p)
            factors = system.factor(system.linearise(time, point, p)[0], shift)
            dual = system.solve_transposed(factors, out)
            p_bar = system.rhs_vjp(time, point, p, dual)[1]
            base_bar = shift * system.apply_mass_transposed(dual)
        bars = [jnp.zeros_like(point) for point in past.points]
        of_first = jnp.ones_like(h)
        for j, weight in enumerate(weights.values, start=1):
            if weight is not None:
                bars[j] = weight * base_bar
                of_first = of_first - weight
        bars[0] = of_first * base_bar
        for j, weight in enumerate(weights.slopes):
            if weight is not None:
                y_term, p_term = system.rhs_vjp(past.times[j], past.points[j], p, weight * base_bar)
                bars[j], p_bar = bars[j] + y_term, p_bar + p_term
        return bars, p_bar

    def pushforward(
        self,
        t: jax.Array,
        h: jax.Array,
        state: jax.Array,
        p: jax.Array,
        state_dot: jax.Array,
        p_dot: jax.Array,
    ) -> Tangent:
        past, along = self._unpack(t, state), self._unpack(t, state_dot)

        def start() -> jax.Array:
            point_dot = along.points[0]
            return self._starter.pushforward(t, h, past.points[0], p, point_dot, p_dot).state

        def formula() -> jax.Array:
            return self._push(h, past, p, along.points, p_dot)

        y_dot = lax.cond(self._starting(past), start, formula)
        none = [jnp.zeros_like(time) for time in past.times]
        return Tangent(self._pack(_Past([y_dot, *along.points[:-1]], none, none[0])), None, None)

    def _push(
        self, h: jax.Array, past: _Past, p: jax.Array, dots: list[jax.Array], p_dot: jax.Array
    ) -> jax.Array:
        system, weights = self.system, self._weights(h, past)
        base = dots[0]
        for weight, dot in zip(weights.values, dots[1:], strict=True):
            if weight is not None:
                base = base + weight * (dot - dots[0])
        for j, weight in enumerate(weights.slopes):
            if weight is not None:
                moved = system.rhs_jvp(past.times[j], past.points[j], p, dots[j], p_dot)
                base = base + weight * moved
        if weights.implicit is None:
            return base
        time, shift = past.times[0] + h, 1 / weights.implicit
        point, _ = self._end(h, past, p)
        factors = system.factor(system.linearise(time, point, p)[0], shift)
        moved = system.rhs_jvp(time, point, p, jnp.zeros_like(base), p_dot)
        return system.solve(factors, moved + shift * system.apply_mass(base))
