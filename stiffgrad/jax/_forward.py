"""The forward pass: one loop over the steps, each accepted one written to a record in place.

A single trajectory writes one row per accepted step. Trajectories side by side write one row per
iteration, with a step of zero in the lanes that rejected it or have finished: each keeps its own
steps, and no lane needs an index of its own to write.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _control
from stiffgrad.jax._rosenbrock import Rosenbrock
from stiffgrad.jax._types import Status

_RUNNING = -1


class Record(NamedTuple):
    """What the steps were.

    Attributes:
        rows: (max_steps, 3 + n, *lanes): t, h, whether the step ends on an observation (1 or 0),
            and the state at its start.
        used: number of rows that hold steps.
    """

    rows: jax.Array
    used: jax.Array


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


class _State(NamedTuple):
    iteration: jax.Array
    accepted: jax.Array
    attempted: jax.Array
    status: jax.Array
    trouble: jax.Array
    target: jax.Array
    t: jax.Array
    size: jax.Array
    y: jax.Array
    ys: jax.Array
    rows: jax.Array


def blank_rows(max_steps: int, y0: jax.Array) -> jax.Array:
    """Room for a record of `max_steps` steps."""
    n, *lanes = y0.shape
    return jnp.zeros((max_steps, 3 + n, *lanes), y0.dtype)


def solve_forward(
    method: Rosenbrock, max_steps: int, inputs: Inputs, rows: jax.Array
) -> tuple[Outcome, Record]:
    """Solve from the first time on, stepping onto every later one.

    Args:
        method: the method on its system.
        max_steps: the most steps to try.
        inputs: what to solve.
        rows: room for the record, of `max_steps` rows whatever they hold, or of none to keep none.
    """

    def running(carry: tuple[Inputs, _State]) -> jax.Array:
        state = carry[1]
        return (state.iteration < max_steps) & jnp.any(state.status == _RUNNING)

    def body(carry: tuple[Inputs, _State]) -> tuple[Inputs, _State]:
        return carry[0], _advance(method, *carry)

    def loop(inputs: Inputs, start: _State) -> _State:
        return lax.while_loop(running, body, (inputs, start))[1]

    end = method.system.compiled(loop)(inputs, _start(method, inputs, rows))
    return _outcome(end), Record(end.rows, end.iteration if end.status.ndim else end.accepted)


def _start(method: Rosenbrock, inputs: Inputs, rows: jax.Array) -> _State:
    y0, times, p, rtol, atol = inputs
    lanes, count = y0.shape[1:], len(times)
    slope = method.system.rhs(times[0], y0, p)
    none = jnp.zeros(lanes, jnp.int32)
    first = times[min(1, count - 1)] - times[0]
    return _State(
        iteration=jnp.zeros((), jnp.int32),
        accepted=none,
        attempted=none,
        status=jnp.full(lanes, _RUNNING if count > 1 else int(Status.SUCCESS), jnp.int32),
        trouble=none,
        target=none + min(1, count - 1),
        t=times[0],
        size=_control.initial_size(y0, slope, first, rtol, atol),
        y=y0,
        ys=jnp.zeros((*lanes, count, len(y0)), y0.dtype).at[..., 0, :].set(y0.T),
        rows=rows,
    )


def _advance(method: Rosenbrock, inputs: Inputs, state: _State) -> _State:
    _, times, p, rtol, atol = inputs
    goal = pick(times, state.target)
    h, hit = _control.next_used(state.size, goal - state.t)
    step = method.step(state.t, h, state.y, p)
    scale = atol + rtol * jnp.maximum(jnp.abs(state.y), jnp.abs(step.y))
    error = _control.norm(step.error / scale)
    decision = _control.decide(
        tried=_control.Tried(
            size=jnp.abs(h),
            proposed=state.size,
            hit=hit,
            after_rejection=state.trouble != Status.SUCCESS,
            error=error,
            finite=jnp.isfinite(error) & jnp.all(jnp.isfinite(step.y), axis=0),
            backward_error=step.backward_error,
        ),
        error_order=method.error_order,
    )
    active = state.status == _RUNNING
    accept = active & decision.accept
    hit = accept & hit
    done = hit & (state.target == len(times) - 1)
    lost = active & ~accept & _control.too_small(decision.size, state.t, times[-1] - times[0])
    status = jnp.where(lost, decision.trouble, state.status)
    y = jnp.where(accept, step.y, state.y)
    return _State(
        iteration=state.iteration + 1,
        accepted=state.accepted + accept,
        attempted=state.attempted + active,
        status=jnp.where(done, int(Status.SUCCESS), status),
        trouble=decision.trouble,
        target=state.target + (hit & ~done),
        t=jnp.where(hit, goal, jnp.where(accept, state.t + h, state.t)),
        size=jnp.where(active, decision.size, state.size),
        y=y,
        ys=_write_observation(state, y),
        rows=_write_row(state, jnp.where(accept, h, 0), hit),
    )


def _write_row(state: _State, h: jax.Array, hit: jax.Array) -> jax.Array:
    if not len(state.rows):
        return state.rows
    head = jnp.stack([state.t, h, hit.astype(h.dtype)])
    row = jnp.concatenate([head, state.y])
    # A rejected step of a single trajectory is overwritten by its successor.
    where = state.iteration if h.ndim else state.accepted
    return lax.dynamic_update_index_in_dim(state.rows, row, where, 0)


def _write_observation(state: _State, y: jax.Array) -> jax.Array:
    # Written at every step: the last one before the target moves on, which hits it, stays.
    if not state.target.ndim:
        return lax.dynamic_update_index_in_dim(state.ys, y, state.target, 0)

    def one(lane: jax.Array, ys: jax.Array) -> jax.Array:
        value = lax.dynamic_index_in_dim(y, lane, 1, keepdims=False)[None, None]
        target = lax.dynamic_index_in_dim(state.target, lane, 0, keepdims=False)
        return lax.dynamic_update_slice(ys, value, (lane, target, jnp.zeros_like(target)))

    return lax.fori_loop(jnp.int32(0), jnp.int32(y.shape[1]), one, state.ys)


def pick(array: jax.Array, index: jax.Array) -> jax.Array:
    """`array[index]` on the first axis, each lane with its own index."""
    if not index.ndim:
        return lax.dynamic_index_in_dim(array, index, axis=0, keepdims=False)
    where = jnp.expand_dims(index, tuple(range(array.ndim - 1)))
    where = jnp.broadcast_to(where, (1, *array.shape[1:]))
    return jnp.take_along_axis(array, where, axis=0, mode="promise_in_bounds")[0]


def _outcome(end: _State) -> Outcome:
    status = jnp.where(end.status == _RUNNING, int(Status.MAX_STEPS), end.status)
    ys = jnp.moveaxis(end.ys, 0, -1) if status.ndim else end.ys
    order = jnp.arange(len(ys)).reshape(-1, *[1] * (ys.ndim - 1))
    reached = order < end.target + (status == Status.SUCCESS)
    return Outcome(jnp.where(reached, ys, jnp.nan), status, end.accepted, end.attempted)
