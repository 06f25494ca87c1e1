"""The forward pass: one loop over the steps, each accepted one written to a record in place.

A single trajectory writes one row per accepted step. Trajectories side by side write one row per
iteration, with a step of zero in the lanes that rejected it or have finished: each keeps its own
steps, and no lane needs an index of its own to write.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _control, _dense
from stiffgrad.jax._method import Method, Step
from stiffgrad.jax._stacks import pick
from stiffgrad.jax._start import start_status
from stiffgrad.jax._types import Status

RUNNING = -1
_HEAD = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a method is to walk along the times.

    Attributes:
        method: the method on its system.
        max_steps: the most steps to try.
        steps: equal steps from one time to the next; None for steps chosen by error control.
        dense: whether the states at the times are read off the dense output, so that no step is
            cut short for them; else every time ends a step.
        keep_terms: whether the record keeps each step's dense output.
    """

    method: Method
    max_steps: int
    steps: int | None = None
    dense: bool = False
    keep_terms: bool = False

    @property
    def lanes(self) -> bool:
        """Whether it can walk trajectories side by side."""
        # An engine that carries few tangents carries few lanes: one by one they are as fast.
        few = self.method.system.most_tangents is not None
        return self.method.lanes and not self.dense and not few

    @property
    def width(self) -> int:
        """Numbers in one row of the record."""
        n = self.method.system.n
        terms = n * self.method.dense_degree if self.keep_terms else 0
        return _HEAD + n + self.method.memory + terms


class Record(NamedTuple):
    """What the steps were.

    Attributes:
        rows: (max_steps, width, *lanes): t, h, how many of the times the step reached, the state
            at its start and, where the plan keeps them, the terms of its dense output.
        used: number of rows that hold steps.
    """

    rows: jax.Array
    used: jax.Array


class Row(NamedTuple):
    """One row of a record, taken apart; `terms` is None where it was not kept."""

    t: jax.Array
    h: jax.Array
    reached: jax.Array
    state: jax.Array
    terms: jax.Array | None


class Outcome(NamedTuple):
    """Result of the forward pass.

    Attributes:
        ys: (T, n, *lanes), the states at the times; NaN where not reached.
        status: lanes, a :class:`Status`.
        accepted, attempted: lanes, how many steps.
    """

    ys: jax.Array
    status: jax.Array
    accepted: jax.Array
    attempted: jax.Array


class Inputs(NamedTuple):
    """What a solve depends on.

    Attributes:
        y0: (n, *lanes).
        times: (T, *lanes), strictly monotonic; the first is where the solve starts.
        p: (m, *lanes).
        rtol: lanes.
        atol: (n, *lanes).
    """

    y0: jax.Array
    times: jax.Array
    p: jax.Array
    rtol: jax.Array
    atol: jax.Array


class Walk(NamedTuple):
    """Where a walk along the times stands; lanes everywhere but in `iteration`.

    Attributes:
        iteration: steps tried so far, by any lane.
        accepted, attempted: steps.
        status: RUNNING, or how it ended.
        trouble: SUCCESS after an accepted step, else why the last was rejected.
        target: index of the next time.
        t: time reached.
        size: what to try next, unsigned.
        state: the method's state at t.
    """

    iteration: jax.Array
    accepted: jax.Array
    attempted: jax.Array
    status: jax.Array
    trouble: jax.Array
    target: jax.Array
    t: jax.Array
    size: jax.Array
    state: jax.Array


class Taken(NamedTuple):
    """What a try did.

    Attributes:
        h: its signed size, 0 where it was rejected.
        reached: how many of the times it reached.
        step: the step.
        seen: what the watcher made of it.
    """

    h: jax.Array
    reached: jax.Array
    step: Step
    seen: Any


#: From a walk, a step from it and its size to an error that the control shall respect beside that
#: of y, over its tolerance, and to whatever else the watcher wants to keep.
Watcher = Callable[[Walk, jax.Array, Step], tuple[jax.Array, Any]]


class _Carry(NamedTuple):
    walk: Walk
    ys: jax.Array
    rows: jax.Array


def blank_rows(plan: Plan, y0: jax.Array, keep: bool = True) -> jax.Array:
    """Room for a record, or for none."""
    return jnp.zeros((plan.max_steps if keep else 0, plan.width, *y0.shape[1:]), y0.dtype)


def split_row(plan: Plan, row: jax.Array) -> Row:
    """The parts of a row of the record."""
    n = plan.method.system.n
    end = _HEAD + n + plan.method.memory
    terms = None
    if plan.keep_terms:
        flat = lax.slice_in_dim(row, end, len(row))
        terms = flat.reshape(plan.method.dense_degree, n, *row.shape[1:])
    state = lax.slice_in_dim(row, _HEAD, end)
    return Row(row[0], row[1], row[2].astype(jnp.int32), state, terms)


def solve_forward(plan: Plan, inputs: Inputs, rows: jax.Array) -> tuple[Outcome, Record]:
    """Solve from the first time to the last.

    Args:
        plan: what to do.
        inputs: what to solve.
        rows: room for the record, of `max_steps` rows whatever they hold, or of none to keep none.
    """

    def running(carry: tuple[Inputs, _Carry]) -> jax.Array:
        return is_running(plan, carry[1].walk)

    def body(carry: tuple[Inputs, _Carry]) -> tuple[Inputs, _Carry]:
        return carry[0], _advance(plan, *carry)

    def loop(inputs: Inputs, *start: Any) -> _Carry:
        return lax.while_loop(running, body, (inputs, _Carry(*start)))[1]

    compiled = plan.method.system.compiled(loop, written=2)
    end = compiled(inputs, start_checked(plan, inputs), blank_states(inputs), rows)
    walk = end.walk
    return outcome(walk, end.ys), Record(
        end.rows, walk.iteration if walk.status.ndim else walk.accepted
    )


def blank_states(inputs: Inputs) -> jax.Array:
    """Room for the states at the times, (*lanes, T, n), with the first in place."""
    y0 = inputs.y0
    room = jnp.zeros((*y0.shape[1:], len(inputs.times), len(y0)), y0.dtype)
    return room.at[..., 0, :].set(y0.T)


def is_running(plan: Plan, walk: Walk) -> jax.Array:
    """Whether any lane has steps to take."""
    return (walk.iteration < plan.max_steps) & jnp.any(walk.status == RUNNING)


def start_walk(plan: Plan, inputs: Inputs) -> Walk:
    """The walk before its first step."""
    y0, times, p, rtol, atol = inputs
    lanes, count = y0.shape[1:], len(times)
    none = jnp.zeros(lanes, jnp.int32)
    first = times[min(1, count - 1)] - times[0]
    if plan.steps is None:
        slope = plan.method.system.rhs(times[0], y0, p)
        size = _control.initial_size(y0, slope, first, rtol, atol)
    else:
        size = jnp.abs(first) / plan.steps
    return Walk(
        iteration=jnp.zeros((), jnp.int32),
        accepted=none,
        attempted=none,
        status=jnp.full(lanes, RUNNING if count > 1 else int(Status.SUCCESS), jnp.int32),
        trouble=none,
        target=none + min(1, count - 1),
        t=times[0],
        size=size,
        state=plan.method.begin(times[0], y0),
    )


def start_checked(plan: Plan, inputs: Inputs) -> Walk:
    """The walk before its first step, ended already where the problem cannot start there."""
    y0, times, p, rtol, atol = inputs
    walk = start_walk(plan, inputs)
    possible = start_status(plan.method.system, times[0], y0, p, rtol, atol)
    return walk._replace(status=jnp.where(possible == Status.SUCCESS, walk.status, possible))


def try_step(
    plan: Plan, inputs: Inputs, walk: Walk, watcher: Watcher | None = None
) -> tuple[Walk, Taken]:
    """Try one step, and decide."""
    _, times, p, rtol, atol = inputs
    method, last = plan.method, len(times) - 1
    goal = times[-1] if plan.dense else pick(times, walk.target)
    h, hit = _control.next_used(walk.size, goal - walk.t)
    h = lax.stop_gradient(h)
    step = method.step(walk.t, h, walk.state, p)
    watched, seen = watcher(walk, h, step) if watcher else (jnp.zeros_like(h), None)
    decision = _decide(plan, walk, h, hit, step, rtol, atol, watched)
    active = walk.status == RUNNING
    accept = active & decision.accept
    hit = accept & hit
    t = jnp.where(hit, goal, jnp.where(accept, walk.t + h, walk.t))
    if plan.dense:
        passed = jnp.sum(jnp.where(times[-1] > times[0], times <= t, times >= t), axis=0)
        reached = jnp.where(accept, passed.astype(jnp.int32) - walk.target, 0)
        reached = jnp.where(hit, last + 1 - walk.target, reached)
    else:
        reached = hit.astype(jnp.int32)
    target = jnp.minimum(walk.target + reached, last)
    done = hit & (walk.target + reached > last)
    span = times[-1] - times[0]
    lost = active & ~accept & _control.too_small(decision.size, walk.t, span)
    status = jnp.where(lost, decision.trouble, walk.status)
    size = decision.size
    if plan.steps is not None:
        interval = jnp.abs(pick(times, target) - pick(times, target - 1))
        size = jnp.where(hit, interval / plan.steps, size)
    after = Walk(
        iteration=walk.iteration + 1,
        accepted=walk.accepted + accept,
        attempted=walk.attempted + active,
        status=jnp.where(done, int(Status.SUCCESS), status),
        trouble=decision.trouble,
        target=target,
        t=t,
        size=lax.stop_gradient(jnp.where(active, size, walk.size)),
        state=jnp.where(accept, step.state, walk.state),
    )
    return after, Taken(jnp.where(accept, h, 0), reached, step, seen)


def _decide(
    plan: Plan,
    walk: Walk,
    h: jax.Array,
    hit: jax.Array,
    step: Step,
    rtol: jax.Array,
    atol: jax.Array,
    watched: jax.Array,
) -> _control.Decision:
    n = plan.method.system.n
    old, new = walk.state[:n], step.state[:n]
    finite = jnp.all(jnp.isfinite(new), axis=0)
    error = jnp.zeros_like(h)
    if plan.steps is None:
        assert step.error is not None
        scale = atol + rtol * jnp.maximum(jnp.abs(old), jnp.abs(new))
        error = jnp.maximum(_control.norm(step.error / scale), watched)
        finite = finite & jnp.isfinite(error)
    tried = _control.Tried(
        size=jnp.abs(h),
        proposed=walk.size,
        hit=hit,
        after_rejection=walk.trouble != Status.SUCCESS,
        error=error,
        finite=finite,
        failure=step.failure,
    )
    if plan.steps is not None:
        return _control.decide_fixed(tried)
    return _control.decide(tried, step.error_order)


def make_row(plan: Plan, before: Walk, taken: Taken) -> jax.Array:
    """The record's row for a step from `before`."""
    head = jnp.stack([before.t, taken.h, taken.reached.astype(taken.h.dtype)])
    parts = [head, before.state]
    if plan.keep_terms:
        assert taken.step.terms is not None
        parts.append(taken.step.terms.reshape(-1, *taken.h.shape))
    return jnp.concatenate(parts)


def _advance(plan: Plan, inputs: Inputs, carry: _Carry) -> _Carry:
    before = carry.walk
    after, taken = try_step(plan, inputs, before)
    ys = write_observations(plan, inputs, carry.ys, before, after, taken)
    rows = carry.rows
    if len(rows):
        # A rejected step of a single trajectory is overwritten by its successor.
        where = before.iteration if before.status.ndim else before.accepted
        row = make_row(plan, before, taken)
        rows = lax.dynamic_update_index_in_dim(rows, row, where, 0)
    return _Carry(after, ys, rows)


def write_observations(
    plan: Plan, inputs: Inputs, ys: jax.Array, before: Walk, after: Walk, taken: Taken
) -> jax.Array:
    """The states at the times, (*lanes, T, n), with those that a try reached."""
    if plan.dense:
        return _write_passed(plan, inputs, ys, before, taken)
    return _write_end(plan, ys, before, after)


def _write_end(plan: Plan, ys: jax.Array, before: Walk, after: Walk) -> jax.Array:
    # Written at every step: the last one before the target moves on, which hits it, stays.
    y = after.state[: plan.method.system.n]
    if not before.target.ndim:
        return lax.dynamic_update_index_in_dim(ys, y, before.target, 0)

    def one(lane: jax.Array, ys: jax.Array) -> jax.Array:
        value = lax.dynamic_index_in_dim(y, lane, 1, keepdims=False)[None, None]
        target = lax.dynamic_index_in_dim(before.target, lane, 0, keepdims=False)
        return lax.dynamic_update_slice(ys, value, (lane, target, jnp.zeros_like(target)))

    return lax.fori_loop(jnp.int32(0), jnp.int32(y.shape[1]), one, ys)


def _write_passed(
    plan: Plan, inputs: Inputs, ys: jax.Array, before: Walk, taken: Taken
) -> jax.Array:
    """Observations by dense output, of a single trajectory."""
    y, terms = before.state[: plan.method.system.n], taken.step.terms
    assert terms is not None

    def one(i: jax.Array, ys: jax.Array) -> jax.Array:
        theta = (pick(inputs.times, i) - before.t) / taken.h
        return lax.dynamic_update_index_in_dim(ys, _dense.value(y, terms, theta), i, 0)

    return lax.fori_loop(before.target, before.target + taken.reached, one, ys)


def outcome(walk: Walk, ys: jax.Array) -> Outcome:
    """The outcome of a walk that ended, with its states by lane."""
    status = jnp.where(walk.status == RUNNING, int(Status.MAX_STEPS), walk.status)
    ys = jnp.moveaxis(ys, 0, -1) if status.ndim else ys
    order = jnp.arange(len(ys)).reshape(-1, *[1] * (ys.ndim - 1))
    reached = order < walk.target + (status == Status.SUCCESS)
    return Outcome(jnp.where(reached, ys, jnp.nan), status, walk.accepted, walk.attempted)
