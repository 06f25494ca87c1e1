"""The recorded solution as a function of time."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _dense
from stiffgrad.jax._forward import Plan, split_row
from stiffgrad.jax._stacks import row


class _Point(NamedTuple):
    """A place in a step: the step's parts, and the share of it that has passed."""

    state: jax.Array
    terms: jax.Array
    h: jax.Array
    theta: jax.Array


@dataclasses.dataclass(frozen=True)
class Path:
    """How to read a record that keeps the steps' dense output.

    Attributes:
        plan: the plan by which it was made.
    """

    plan: Plan

    def locate(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> jax.Array:
        """Number of the row whose step holds time t: the one given, or one shortly before it.

        An adjoint walks back along the record, so that going from row to row finds its times
        sooner than bisection would.
        """

        def early(number: jax.Array) -> jax.Array:
            first = jnp.zeros_like(number)
            head = lax.dynamic_slice(rows, (number, first), (1, 2))
            start, h = (
                lax.squeeze(lax.slice_in_dim(head, k, k + 1, axis=1), (0, 1)) for k in (0, 1)
            )
            return (number > 0) & ((t - start) * h < 0)

        return lax.while_loop(early, lambda number: number - 1, number)

    def start_of(self, rows: jax.Array, number: jax.Array) -> jax.Array:
        """The time at which a row's step starts."""
        return self._head(rows, number)[0]

    @staticmethod
    def _head(rows: jax.Array, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Start and size of a row's step."""
        head = lax.dynamic_slice(rows, (number, jnp.zeros_like(number)), (1, 2))
        start, h = (lax.slice_in_dim(head, k, k + 1, axis=1) for k in (0, 1))
        return lax.squeeze(start, (0, 1)), lax.squeeze(h, (0, 1))

    def value(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> jax.Array:
        """The state at time t, which row `number` holds or one shortly before it."""
        at = self._point(rows, number, t)
        return _dense.value(at.state, at.terms, at.theta)

    def value_and_slope(
        self, rows: jax.Array, number: jax.Array, t: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The state at time t as from :meth:`value`, and its derivative."""
        at = self._point(rows, number, t)
        return (
            _dense.value(at.state, at.terms, at.theta),
            _dense.slope(at.terms, at.theta, at.h),
        )

    def _point(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> _Point:
        found = split_row(self.plan, row(rows, self.locate(rows, number, t)))
        assert found.terms is not None
        y = lax.slice_in_dim(found.state, 0, self.plan.method.system.n)
        return _Point(y, found.terms, found.h, (t - found.t) / found.h)

    def sizes(self, rows: jax.Array, used: jax.Array, last: jax.Array) -> jax.Array:
        """The largest size that each state had between two steps, (n,); `last` is its last."""
        n = self.plan.method.system.n

        def one(k: jax.Array, largest: jax.Array) -> jax.Array:
            state = split_row(self.plan, row(rows, k)).state
            return jnp.maximum(largest, jnp.abs(lax.slice_in_dim(state, 0, n)))

        return lax.fori_loop(0, used, one, jnp.abs(last))
