"""The recorded solution as a function of time."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _dense
from stiffgrad.jax._forward import Plan, Record, split_row
from stiffgrad.jax._stacks import row


class Point(NamedTuple):
    """A place in a step: its row's number, its parts and the share of it that has passed."""

    number: jax.Array
    state: jax.Array
    terms: jax.Array
    h: jax.Array
    theta: jax.Array


@dataclasses.dataclass(frozen=True)
class Path:
    """How to read a record that keeps the steps' dense output.

    Attributes:
        plan: the plan that it was made by.
    """

    plan: Plan

    def find(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> Point:
        """The step at time t, which is the numbered one or shortly before it.

        An adjoint walks back along the record, so that stepping from row to row finds its times
        sooner than bisection would.
        """

        def early(number: jax.Array) -> jax.Array:
            head = lax.dynamic_slice(rows, (number, jnp.zeros_like(number)), (1, 2))
            start, h = (lax.squeeze(lax.slice_in_dim(head, k, k + 1, axis=1), (0, 1)) for k in (0, 1))
            return (number > 0) & ((t - start) * h < 0)

        number = lax.while_loop(early, lambda number: number - 1, number)
        found = split_row(self.plan, row(rows, number))
        assert found.terms is not None
        y = lax.slice_in_dim(found.state, 0, self.plan.method.system.n)
        return Point(number, y, found.terms, found.h, (t - found.t) / found.h)

    def value(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> jax.Array:
        """The state at time t."""
        at = self.find(rows, number, t)
        return _dense.value(at.state, at.terms, at.theta)

    def value_and_slope(
        self, rows: jax.Array, number: jax.Array, t: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The state at time t, and its derivative."""
        at = self.find(rows, number, t)
        return (
            _dense.value(at.state, at.terms, at.theta),
            _dense.slope(at.terms, at.theta, at.h),
        )

    def sizes(self, record: Record, outcome_ys: jax.Array) -> jax.Array:
        """The largest size that each state had at the end of a step, (n,)."""
        n = self.plan.method.system.n

        def one(k: jax.Array, largest: jax.Array) -> jax.Array:
            state = split_row(self.plan, row(record.rows, k)).state
            return jnp.maximum(largest, jnp.abs(lax.slice_in_dim(state, 0, n)))

        return lax.fori_loop(0, record.used, one, jnp.abs(outcome_ys[-1]))
