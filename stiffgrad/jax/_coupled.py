"""Fully implicit Runge-Kutta steps, all stages together, and their derivatives."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiffgrad.jax._estimate import estimate, push_estimate
from stiffgrad.jax._method import Step, Tangent
from stiffgrad.jax._newton import iterate
from stiffgrad.jax._stacks import weighted
from stiffgrad.jax._system import System
from stiffgrad.jax.integrators import Butcher


class Coupled:
    """A method whose coefficients A have an inverse, on a system.

    See :class:`stiffgrad.jax._method.Method`. The stages solve
    `sum_j (A^-1)_ij M (Y_j - y) / h = f(t + c_i h, Y_i)`, in which M need not have an inverse.
    Derivatives are those of the converged stages, by the implicit function theorem with the
    Jacobians at the stages.
    """

    memory = 0
    lanes = True
    rhs_per_step: int | None = None

    def __init__(self, tableau: Butcher, system: System) -> None:
        self.tableau = tableau
        self.system = system
        self.order = tableau.order
        self.adaptive = tableau.error is not None
        self.dense_degree = len(tableau.dense)
        self._inverse = np.linalg.inv(tableau.a)
        self._linear = system.coupled(self._inverse)
        # Weights of Y_j - y in the solution, and of y in what the stages are solved for.
        last = np.eye(tableau.stages)[-1]
        self._d = last if tableau.stiffly_accurate else tableau.b @ self._inverse
        self._of_start = self._inverse.sum(axis=1)

    def on(self, system: System) -> Coupled:
        return Coupled(self.tableau, system)

    def begin(self, t: jax.Array, y: jax.Array) -> jax.Array:
        return y

    def step(self, t: jax.Array, h: jax.Array, y: jax.Array, p: Any) -> Step:
        tableau = self.tableau
        points, failure = self._points(t, h, y, p)
        increments = self._increments(points - y)
        return Step(
            state=self._end(y, points),
            error=estimate(tableau, self.system, t, h, y, p, increments),
            terms=self._terms(increments),
            failure=failure,
            error_order=tableau.error_order,
        )

    def _end(self, y: jax.Array, points: jax.Array) -> jax.Array:
        if self.tableau.stiffly_accurate:
            return points[-1]
        return weighted(self._d, points - y, start=y)

    def _increments(self, moves: jax.Array) -> jax.Array:
        """`h k_i` from `Y_j - y`."""
        return jnp.stack([weighted(weights, moves) for weights in self._inverse])

    def _terms(self, increments: jax.Array) -> jax.Array | None:
        rows = [weighted(weights, increments) for weights in self.tableau.dense]
        return jnp.stack(rows) if rows else None

    def _times(self, t: jax.Array, h: jax.Array) -> jax.Array:
        c = jnp.asarray(self.tableau.c, t.dtype)
        return t + c.reshape(-1, *[1] * h.ndim) * h

    def _points(
        self, t: jax.Array, h: jax.Array, y: jax.Array, p: Any
    ) -> tuple[jax.Array, jax.Array]:
        """The stages, (s, n, *lanes), and a status."""
        system, linear, times = self.system, self._linear, self._times(t, h)

        def correction(points: jax.Array) -> tuple[jax.Array, jax.Array]:
            def one(stage: tuple[jax.Array, ...]) -> Any:
                time, point, increment = stage
                slope = system.rhs(time, point, p) - system.apply_mass(increment) / h
                return slope, system.linearise(time, point, p)[0]

            stages = times, points, self._increments(points - y)
            residual, jacobians = lax.map(one, stages)
            factors = linear.factor(jacobians, h)
            step = linear.solve(factors, residual)
            return step, linear.backward_error(jacobians, h, factors, step, residual)

        guess = jnp.broadcast_to(y, (self.tableau.stages, *y.shape))
        return iterate(correction, guess, jnp.max(jnp.abs(y), axis=0))

    def _factors(self, times: jax.Array, h: jax.Array, points: jax.Array, p: Any) -> Any:
        jacobians = lax.map(lambda at: self.system.linearise(at[0], at[1], p)[0], (times, points))
        return self._linear.factor(jacobians, h)

    def pullback(
        self,
        t: jax.Array,
        h: jax.Array,
        y: jax.Array,
        p: jax.Array,
        out: jax.Array,
        terms_bar: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """The adjoint of the stage equations: one solve with the transposed matrix."""
        system, times = self.system, self._times(t, h)
        points, _ = self._points(t, h, y, p)
        # Cotangents of the points less the start: the solution's, then the dense output's.
        onto = [d * out if d else jnp.zeros_like(out) for d in self._d.tolist()]
        y_bar = 0.0 if self.tableau.stiffly_accurate else float(1 - self._d.sum()) * out
        if terms_bar is not None:
            weights = self.tableau.dense @ self._inverse
            seen = [weighted(column, terms_bar) for column in weights.T]
            onto = [a + b for a, b in zip(onto, seen, strict=True)]
            y_bar = y_bar - sum(seen[1:], start=seen[0])
        duals = self._linear.solve_transposed(self._factors(times, h, points, p), jnp.stack(onto))

        def add(p_bar: jax.Array, stage: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
            time, point, dual = stage
            return p_bar + system.rhs_vjp(time, point, p, dual)[1], None

        p_bar, _ = lax.scan(add, jnp.zeros_like(p), (times, points, duals))
        moved = system.apply_mass_transposed(weighted(self._of_start, duals)) / h
        return moved + y_bar, p_bar

    def pushforward(
        self,
        t: jax.Array,
        h: jax.Array,
        y: jax.Array,
        p: jax.Array,
        y_dot: jax.Array,
        p_dot: jax.Array,
    ) -> Tangent:
        """The derivative of the stage equations along a tangent: one solve with their matrix."""
        system, times = self.system, self._times(t, h)
        points, _ = self._points(t, h, y, p)
        start = system.apply_mass(y_dot) / h

        def one(stage: tuple[jax.Array, ...]) -> jax.Array:
            time, point, weight = stage
            along = system.rhs_jvp(time, point, p, jnp.zeros_like(y_dot), p_dot)
            return along + weight * start

        of_start = jnp.asarray(self._of_start, y.dtype)
        moved = lax.map(one, (times, points, of_start))
        points_dot = self._linear.solve(self._factors(times, h, points, p), moved)
        increments, increments_dot = (
            self._increments(points - y),
            self._increments(points_dot - y_dot),
        )
        error = push_estimate(
            self.tableau, system, t, h, y, p, increments, y_dot, p_dot, increments_dot
        )
        return Tangent(self._end(y_dot, points_dot), error, self._terms(increments_dot))
