"""`discrete` within a memory budget: the steps are taken again, segment by segment.

The forward pass keeps where it stood at every `stride`-th accepted step, with the state of the
step-size control; the backward pass walks each segment again from there, which takes the same
steps, and pulls back through it. The gradient is that of `discrete` to rounding. Cost: one more
forward pass. Memory: with a stride of about the square root of `max_steps`, rows for twice that
many steps (one level of Griewank's scheme, Optimization Methods and Software 1, 1992).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _forward
from stiffgrad.jax._forward import Inputs, Outcome, Plan, Record, Walk
from stiffgrad.jax._stacks import row
from stiffgrad.jax._tangents import push
from stiffgrad.jax._types import ArgumentError, Status
from stiffgrad.jax.strategies.discrete import end_of, pull_rows

_HEAD = 4
_Kept = tuple[Walk, jax.Array, jax.Array]


class Checkpointed:
    """The strategy; see :class:`stiffgrad.jax.strategies.Reverse`.

    Args:
        plan: the forward pass.
        memory_limit: bytes for the record; checkpoints are as close as they allow.

    Raises:
        ArgumentError: if the sparsest record is larger than that.
    """

    lanes = False

    def __init__(self, plan: Plan, memory_limit: int) -> None:
        self.plan = plan
        self._stride = _stride(plan, memory_limit)
        self._count = -(-plan.max_steps // self._stride)

    def blank(self, inputs: Inputs) -> jax.Array:
        width = _HEAD + self.plan.method.system.n + self.plan.method.memory
        # One more row, where what is no checkpoint is written.
        return jnp.zeros((self._count + 1, width), inputs.y0.dtype)

    def record(self, inputs: Inputs, room: jax.Array) -> tuple[Outcome, Record]:
        plan = self.plan

        def running(carry: tuple[Inputs, Walk, jax.Array, jax.Array]) -> jax.Array:
            return _forward.is_running(plan, carry[1])

        def body(
            carry: tuple[Inputs, Walk, jax.Array, jax.Array],
        ) -> tuple[Inputs, Walk, jax.Array, jax.Array]:
            inputs, walk, ys, kept = carry
            kept = self._keep(kept, walk)
            after, taken = _forward.try_step(plan, inputs, walk)
            ys = _forward.write_observations(plan, inputs, ys, walk, after, taken)
            return inputs, after, ys, kept

        def loop(inputs: Inputs, walk: Walk, ys: jax.Array, kept: jax.Array) -> _Kept:
            end = lax.while_loop(running, body, (inputs, walk, ys, kept))
            return end[1], end[2], end[3]

        start = inputs, _forward.start_checked(plan, inputs), _forward.blank_states(inputs), room
        walk, ys, kept = plan.method.system.compiled(loop, written=2)(*start)
        return _forward.outcome(walk, ys), Record(kept, walk.accepted)

    def _keep(self, kept: jax.Array, walk: Walk) -> jax.Array:
        head = [walk.t, walk.size, walk.trouble.astype(walk.t.dtype), walk.target]
        found = jnp.concatenate([jnp.stack([x.astype(walk.t.dtype) for x in head]), walk.state])
        due = walk.accepted % self._stride == 0
        where = jnp.where(due, walk.accepted // self._stride, self._count)
        return lax.dynamic_update_index_in_dim(kept, found, where, 0)

    def pullback(
        self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        last = jnp.asarray(len(ys_bar), jnp.int32)
        rows = jnp.zeros((self._stride, self.plan.width), inputs.y0.dtype)

        def segment(i: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            rows, *bars = carry
            again = self._again(inputs, row(record.rows, segments - 1 - i), rows)
            return again.rows, *pull_rows(self.plan, inputs, again, ys_bar, tuple(bars))

        segments = (record.used + self._stride - 1) // self._stride
        carry = (rows, *end_of(self.plan, inputs, last))
        _, state_bar, p_bar, _ = lax.fori_loop(0, segments, segment, carry)
        n = self.plan.method.system.n
        return state_bar[:n] + ys_bar[0], p_bar, jnp.asarray(int(Status.SUCCESS), jnp.int32)

    def _again(self, inputs: Inputs, kept: jax.Array, rows: jax.Array) -> Record:
        """The steps from a checkpoint to the next, recorded in full."""
        plan, stride = self.plan, self._stride
        none = jnp.zeros((), jnp.int32)
        start = Walk(
            iteration=none,
            accepted=none,
            attempted=none,
            status=none + _forward.RUNNING,
            trouble=kept[2].astype(jnp.int32),
            target=kept[3].astype(jnp.int32),
            t=kept[0],
            size=kept[1],
            state=lax.slice_in_dim(kept, _HEAD, len(kept)),
        )

        def running(carry: tuple[Inputs, Walk, jax.Array]) -> jax.Array:
            return _forward.is_running(plan, carry[1]) & (carry[1].accepted < stride)

        def body(carry: tuple[Inputs, Walk, jax.Array]) -> tuple[Inputs, Walk, jax.Array]:
            inputs, walk, rows = carry
            after, taken = _forward.try_step(plan, inputs, walk)
            made = _forward.make_row(plan, walk, taken)
            rows = lax.dynamic_update_index_in_dim(rows, made, walk.accepted, 0)
            return inputs, after, rows

        def loop(inputs: Inputs, start: Walk, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
            _, walk, rows = lax.while_loop(running, body, (inputs, start, rows))
            return rows, walk.accepted

        return Record(*plan.method.system.compiled(loop, written=1)(inputs, start, rows))

    def push(self, inputs: Inputs, y0_dot: jax.Array, p_dot: jax.Array) -> jax.Array:
        return push(self.plan, inputs, y0_dot, p_dot)


def store_all_bytes(plan: Plan) -> int:
    """Bytes of the record that keeps every step."""
    return plan.max_steps * plan.width * plan.method.system.dtype.itemsize


def _stride(plan: Plan, memory_limit: int) -> int:
    kept = _HEAD + plan.method.system.n + plan.method.memory
    stride = max(1, round(math.sqrt(plan.max_steps * kept / plan.width)))
    rows = -(-plan.max_steps // stride) + 1
    needed = (rows * kept + stride * plan.width) * plan.method.system.dtype.itemsize
    if needed > memory_limit:
        raise ArgumentError(
            f"memory_limit={memory_limit} bytes is too little: with the fewest checkpoints the "
            f"record takes {needed} bytes. Raise memory_limit or lower max_steps={plan.max_steps}"
        )
    return stride
