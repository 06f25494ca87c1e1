"""The forward pass with tangents carried along: the derivatives of its own steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _control, _dense, _forward
from stiffgrad.jax._forward import Inputs, Outcome, Plan, Taken, Walk, Watcher
from stiffgrad.jax._method import Step, Tangent
from stiffgrad.jax._stacks import row
from stiffgrad.jax._start import consistent_tangents


class _Carry(NamedTuple):
    walk: Walk
    dots: jax.Array
    ys: jax.Array
    ys_dot: jax.Array


#: Tangents of p and their scales, the inputs, and what changes.
_Loop = tuple[tuple[jax.Array, jax.Array], Inputs, _Carry]


def solve_tangents(
    plan: Plan,
    inputs: Inputs,
    y0_dot: jax.Array,
    p_dot: jax.Array,
    scale: jax.Array | None = None,
) -> tuple[Outcome, jax.Array]:
    """Solve a single trajectory, and the derivatives of its steps along tangents.

    Args:
        plan: what to do.
        inputs: what to solve.
        y0_dot: (k, n), tangents of y0.
        p_dot: (k, m), tangents of p.
        scale: (k,), where given, the error control respects the tangents too: `scale` times each
            of them is held to the tolerances of y, those of the worst tangent (as CVODES does
            it: Hindmarsh et al., ACM Transactions on Mathematical Software 31, 2005).

    Returns:
        The outcome, and the tangents of the states at the times, (T, k, n).
    """

    def running(carry: _Loop) -> jax.Array:
        return _forward.is_running(plan, carry[2].walk)

    def body(
        carry: _Loop,
    ) -> _Loop:
        (p_dot, scale), inputs, now = carry
        watcher = _watcher(plan, inputs, now.dots, p_dot, scale)
        return carry[0], inputs, _advance(plan, inputs, now, watcher)

    def loop(p_dot: jax.Array, scale: jax.Array, inputs: Inputs, *start: Any) -> _Carry:
        return lax.while_loop(running, body, ((p_dot, scale), inputs, _Carry(*start)))[2]

    count, k = len(inputs.times), len(y0_dot)
    dots = jnp.zeros((k, plan.method.system.n + plan.method.memory), y0_dot.dtype)
    first = y0_dot
    if scale is not None:
        # One off the algebraic equations has an error that no step size makes small.
        begin = inputs.times[0], inputs.y0, inputs.p
        first = consistent_tangents(plan.method.system, *begin, y0_dot, p_dot)
    dots = dots.at[:, : y0_dot.shape[1]].set(first)
    ys = jnp.zeros((count, len(inputs.y0)), inputs.y0.dtype).at[0].set(inputs.y0)
    ys_dot = jnp.zeros((count, *y0_dot.shape), y0_dot.dtype).at[0].set(y0_dot)
    start = _forward.start_checked(plan, inputs), dots, ys, ys_dot
    weights = jnp.zeros(k, y0_dot.dtype) if scale is None else scale
    end = plan.method.system.compiled(loop, written=2)(p_dot, weights, inputs, *start)
    outcome = _forward.outcome(end.walk, end.ys)
    return outcome, jnp.where(jnp.isnan(outcome.ys)[:, None], jnp.nan, end.ys_dot)


def push(plan: Plan, inputs: Inputs, y0_dot: jax.Array, p_dot: jax.Array) -> jax.Array:
    """Tangents of the states at the times, (k, T, n), as many at once as the engine can carry.

    y0_dot and p_dot are those of :func:`solve_tangents`.
    """

    def one(dots: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.moveaxis(solve_tangents(plan, inputs, *dots)[1], 1, 0)

    k, most = len(y0_dot), plan.method.system.most_tangents
    if most is None or k <= most:
        return one((y0_dot, p_dot))
    passes = -(-k // most)

    def grouped(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x, ((0, passes * most - k), (0, 0)))
        return padded.reshape(passes, most, x.shape[1])

    found = lax.map(one, (grouped(y0_dot), grouped(p_dot)))
    return found.reshape(passes * most, *found.shape[2:])[:k]


def _watcher(
    plan: Plan, inputs: Inputs, dots: jax.Array, p_dot: jax.Array, scale: jax.Array
) -> Watcher:
    n = plan.method.system.n

    def watch(walk: Walk, h: jax.Array, step: Step) -> tuple[jax.Array, Tangent]:
        def push(state_dot: jax.Array, p_dot: jax.Array) -> Tangent:
            return plan.method.pushforward(walk.t, h, walk.state, inputs.p, state_dot, p_dot)

        after = jax.vmap(push)(dots, p_dot)
        if after.error is None:
            return jnp.zeros_like(h), after
        size = jnp.maximum(jnp.abs(dots[:, :n]), jnp.abs(after.state[:, :n]))
        tolerance = inputs.atol + inputs.rtol * scale[:, None] * size
        errors = jax.vmap(_control.norm)(scale[:, None] * after.error / tolerance)
        return jnp.max(errors, initial=0.0), after

    return watch


def _advance(plan: Plan, inputs: Inputs, now: _Carry, watcher: Watcher) -> _Carry:
    after, taken = _forward.try_step(plan, inputs, now.walk, watcher)
    dots = jnp.where(taken.h != 0, taken.seen.state, now.dots)
    write = _write_passed if plan.dense else _write_end
    ys, ys_dot = write(plan, inputs, now, taken, after, dots)
    return _Carry(after, dots, ys, ys_dot)


def _write_end(
    plan: Plan, inputs: Inputs, now: _Carry, taken: Taken, after: Walk, dots: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # Written at every step: the last one before the target moves on stays.
    n = plan.method.system.n
    where = now.walk.target
    return (
        lax.dynamic_update_index_in_dim(now.ys, after.state[:n], where, 0),
        lax.dynamic_update_index_in_dim(now.ys_dot, dots[:, :n], where, 0),
    )


def _write_passed(
    plan: Plan, inputs: Inputs, now: _Carry, taken: Taken, after: Walk, dots: jax.Array
) -> tuple[jax.Array, jax.Array]:
    n, walk, terms = plan.method.system.n, now.walk, taken.step.terms
    assert terms is not None

    def one(i: jax.Array, both: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        theta = (row(inputs.times, i) - walk.t) / taken.h
        value = _dense.value(walk.state[:n], terms, theta)
        along = jax.vmap(_dense.value, in_axes=(0, 0, None))
        moved = along(now.dots[:, :n], taken.seen.terms, theta)
        return (
            lax.dynamic_update_index_in_dim(both[0], value, i, 0),
            lax.dynamic_update_index_in_dim(both[1], moved, i, 0),
        )

    return lax.fori_loop(walk.target, walk.target + taken.reached, one, (now.ys, now.ys_dot))
