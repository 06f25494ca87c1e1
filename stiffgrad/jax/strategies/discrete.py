"""`discrete`: the exact adjoint of the accepted steps, from a record of all of them.

Reverse differentiation of the map that the accepted steps make, with their sizes held fixed: the
gradient of what was returned, to rounding. It is as accurate as the steps are, and the steps were
chosen for the states: see `gradient_error` where that matters. Cost: one adjoint step per accepted
step, each about one and a half times a forward step, whatever the number of parameters. Memory:
3 + n numbers per step.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _dense
from stiffgrad.jax._forward import (
    Inputs,
    Outcome,
    Plan,
    Record,
    Row,
    blank_rows,
    solve_forward,
    split_row,
)
from stiffgrad.jax._stacks import pick, row
from stiffgrad.jax._tangents import push
from stiffgrad.jax._types import Status


class Discrete:
    """The strategy; see :class:`stiffgrad.jax.strategies.Strategy`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.lanes = plan.lanes

    def blank(self, inputs: Inputs) -> jax.Array:
        return blank_rows(self.plan, inputs.y0)

    def record(self, inputs: Inputs, room: jax.Array) -> tuple[Outcome, Record]:
        return solve_forward(self.plan, inputs, room)

    def pullback(
        self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        last = jnp.full(inputs.p.shape[1:], len(ys_bar), jnp.int32)
        start = end_of(self.plan, inputs, last)
        end = pull_rows(self.plan, inputs, record, ys_bar, start)
        n = self.plan.method.system.n
        return end[0][:n] + ys_bar[0], end[1], jnp.full_like(last, int(Status.SUCCESS))

    def push(self, inputs: Inputs, y0_dot: jax.Array, p_dot: jax.Array) -> jax.Array:
        return push(self.plan, inputs, y0_dot, p_dot)


def end_of(plan: Plan, inputs: Inputs, target: jax.Array) -> tuple[jax.Array, ...]:
    """What :func:`pull_rows` starts from behind the last step: state, p and `target`."""
    state = jnp.zeros((plan.method.system.n + plan.method.memory, *inputs.p.shape[1:]))
    return state.astype(inputs.p.dtype), jnp.zeros_like(inputs.p), target


def pull_rows(
    plan: Plan, inputs: Inputs, record: Record, ys_bar: jax.Array, start: tuple[jax.Array, ...]
) -> tuple[jax.Array, ...]:
    """Cotangents before the recorded steps, from those behind them.

    Args:
        plan: how the record was made.
        inputs: of the solve.
        record: of successive steps.
        ys_bar: (T, n, *lanes), cotangents of the observed states.
        start: cotangents of the state behind the last step and, so far, of p; and the index of
            the first time that the steps did not reach.

    Returns:
        The same three before the first of the steps.
    """

    def body(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        fixed, k, state_bar, p_bar, target = carry
        rows, inputs, ys_bar = fixed
        found = split_row(plan, row(rows, k))
        state_new, p_term = _pull_row(plan, inputs, found, ys_bar, state_bar, target)
        taken = found.h != 0
        state_bar = jnp.where(taken, state_new, state_bar)
        p_bar = p_bar + jnp.where(taken, p_term, 0)
        return fixed, k - 1, state_bar, p_bar, target - found.reached

    def loop(*args: Any) -> tuple[jax.Array, ...]:
        rows, used, inputs, ys_bar, *start = args
        carry = ((rows, inputs, ys_bar), used - 1, *start)
        return lax.while_loop(lambda c: c[1] >= 0, body, carry)[2:]

    compiled = plan.method.system.compiled(loop)
    return compiled(record.rows, record.used, inputs, ys_bar, *start)


def _pull_row(
    plan: Plan,
    inputs: Inputs,
    found: Row,
    ys_bar: jax.Array,
    state_bar: jax.Array,
    target: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    h = jnp.where(found.h != 0, found.h, 1)
    step = found.t, h, found.state, inputs.p
    if plan.dense:
        y_bar, terms_bar = _observed(plan, inputs, found, ys_bar, target)
        state_new, p_term = plan.method.pullback(*step, state_bar, terms_bar)
        return _add(state_new, y_bar), p_term
    seen = jnp.where(found.reached > 0, pick(ys_bar, jnp.maximum(target - 1, 0)), 0)
    return plan.method.pullback(*step, _add(state_bar, seen))


def _add(state_bar: jax.Array, y_bar: jax.Array) -> jax.Array:
    n = len(y_bar)
    if len(state_bar) == n:
        return state_bar + y_bar
    return jnp.concatenate([state_bar[:n] + y_bar, state_bar[n:]])


def _observed(
    plan: Plan, inputs: Inputs, found: Row, ys_bar: jax.Array, target: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Cotangents of a step's first state and dense output from the times read off it."""
    degree = plan.method.dense_degree

    def one(i: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        theta = (row(inputs.times, i) - found.t) / found.h
        seen = row(ys_bar, i)
        weights = _dense.weights(degree, theta)
        return sums[0] + seen, sums[1] + weights[:, None] * seen

    zero = jnp.zeros_like(ys_bar[0]), jnp.zeros((degree, *ys_bar[0].shape), ys_bar.dtype)
    return lax.fori_loop(target - found.reached, target, one, zero)
