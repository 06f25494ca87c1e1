"""One step of a Rosenbrock method, and its exact adjoint; written once for every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiffgrad.jax._scalar_system import row
from stiffgrad.jax._system import System
from stiffgrad.jax.integrators import RosenbrockTableau

Stack = Sequence[jax.Array] | jax.Array
Coefficients = np.ndarray | jax.Array


class Step(NamedTuple):
    """A step that was tried.

    Attributes:
        y: the state at its end, (n, *lanes).
        error: the estimate of the local error, (n, *lanes).
        backward_error: how accurately its linear systems were solved, lanes.
    """

    y: jax.Array
    error: jax.Array
    backward_error: jax.Array


class _Stages(NamedTuple):
    first_slope: jax.Array
    points: Stack
    increments: Stack


class Rosenbrock:
    """A Rosenbrock method on a system.

    Frozen step sizes: :meth:`pullback` differentiates the step's result with respect to its state
    and parameters, the Jacobian's own derivative included, and not with respect to t and h.
    """

    def __init__(self, tableau: RosenbrockTableau, system: System) -> None:
        self.tableau = tableau
        self.system = system
        self.order = tableau.order
        self.error_order = tableau.error_order
        self.rhs_per_step = tableau.stages

    def step(self, t: jax.Array, h: jax.Array, y: jax.Array, p: jax.Array) -> Step:
        """The step of size h from (t, y)."""
        tableau, system = self.tableau, self.system
        jacobian, f_t = system.linearise(t, y, p)
        shift = 1 / (h * tableau.gamma)
        factors = system.factor(jacobian, shift)
        stages = self._stages(t, h, y, p, factors, f_t)
        wrong = system.backward_error(
            jacobian, shift, factors, stages.increments[0], stages.first_slope
        )
        return Step(
            _weighted(tableau.m, stages.increments, start=y),
            _weighted(tableau.e, stages.increments),
            wrong,
        )

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
            point = _weighted(a, increments, start=y)
            slope = system.rhs(t + c * h if system.timed else t, point, p)
            slope = _weighted(C, increments, start=slope, scale=1 / h)
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
            return _put(points, point, i), _put(increments, increment, i)

        stacks = _put(empty, y, 0), _put(empty, start, 0)
        return lax.fori_loop(1, tableau.stages, body, stacks)

    def pullback(
        self, t: jax.Array, h: jax.Array, y: jax.Array, p: jax.Array, out: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Cotangents of y and p for the cotangent `out` of the step's end state.

        The adjoint of the stage equations, last stage first (Sandu, Daescu and Carmichael,
        Atmospheric Environment 37, 2003, give it for this form).
        """
        system, tableau = self.system, self.tableau
        jacobian, f_t = system.linearise(t, y, p)
        factors = system.factor(jacobian, 1 / (h * tableau.gamma))
        stages = self._stages(t, h, y, p, factors, f_t)

        def stage(
            i: Any, a: Coefficients, C: Coefficients, c: Any, m: Any, slopes: Stack, duals: Stack
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            reached = _weighted(a, slopes, start=m * out)
            reached = _weighted(C, duals, start=reached, scale=1 / h)
            dual = system.solve_transposed(factors, reached)
            time = t + c * h if system.timed else t
            slope, p_term = system.rhs_vjp(time, _item(stages.points, i), p, dual)
            return dual, slope, p_term

        sweep = self._sweep_rolled if system.rolled(y) else self._sweep_unrolled
        duals, y_bar, p_bar = sweep(stage, out, p)
        weight = None if f_t is None else _weighted(tableau.d, duals) * h
        increments = _stacked(stages.increments)
        y_term, p_term = system.linearise_vjp(t, y, p, increments, _stacked(duals), weight)
        return y_bar + y_term, p_bar + p_term

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
            return _put(duals, dual, i), _put(slopes, slope, i), y_bar + slope, p_bar + p_term

        carry = (empty, empty, out, jnp.zeros_like(p))
        duals, _, y_bar, p_bar = lax.fori_loop(0, s, body, carry)
        return duals, y_bar, p_bar


def _weighted(
    weights: Coefficients, vectors: Stack, start: Any = None, scale: Any = None
) -> jax.Array:
    """`start + scale * sum_i weights_i vectors_i`; known zeros are left out."""
    total = None
    for i in range(len(weights)):
        known = isinstance(weights, np.ndarray)
        if known and weights[i] == 0:
            continue
        # A Python float takes the vectors' precision; a NumPy scalar would impose its own.
        weight = float(weights[i]) if known else weights[i]
        term = vectors[i] if known and weight == 1 else weight * vectors[i]
        total = term if total is None else total + term
    if total is None:
        return jnp.zeros_like(vectors[0]) if start is None else start
    if scale is not None:
        total = total * scale
    return total if start is None else start + total


def _put(stack: jax.Array, value: jax.Array, i: Any) -> jax.Array:
    return lax.dynamic_update_index_in_dim(stack, value, i, 0)


def _item(stack: Stack, i: Any) -> jax.Array:
    return stack[i] if isinstance(stack, Sequence) else row(stack, i)


def _stacked(stack: Stack) -> jax.Array:
    return jnp.stack(stack) if isinstance(stack, Sequence) else stack
