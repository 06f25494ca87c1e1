"""`forward-discrete`: tangents through the accepted steps.

The same derivative as `discrete`, carried forward: exact for the steps taken, whose sizes see the
states alone. Cost: n + m tangents a step, all with one factorisation. Memory: the tangents, however
many the steps; that, and forward mode where outputs outnumber parameters, is what it is for.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from stiffgrad.jax._forward import Inputs, Outcome, Plan
from stiffgrad.jax._tangents import solve_tangents
from stiffgrad.jax._types import Status


class ForwardDiscrete:
    """The strategy; see :class:`stiffgrad.jax.strategies.Forward`.

    Args:
        plan: the forward pass.
        chunk: tangents to a pass; None for all in one.
    """

    def __init__(self, plan: Plan, chunk: int | None = None) -> None:
        self.plan = plan
        self._chunk = chunk

    def sensitivities(self, inputs: Inputs) -> tuple[Outcome, jax.Array]:
        return solve_chunks(self.plan, inputs, self._chunk, scale=None)


def solve_chunks(
    plan: Plan, inputs: Inputs, chunk: int | None, scale: jax.Array | None
) -> tuple[Outcome, jax.Array]:
    """The outcome, and the sensitivities of the states, (T, n, n + m), `chunk` at a time.

    `scale`, (n + m,), is :func:`stiffgrad.jax._tangents.solve_tangents`'s.
    """
    n, total = len(inputs.y0), len(inputs.y0) + len(inputs.p)
    size = total if chunk is None else min(chunk, total)
    passes = -(-total // size)
    # Tangents that only fill up the last pass are zero, and stay so.
    basis = jnp.eye(passes * size, total, dtype=inputs.p.dtype)
    weights = None if scale is None else jnp.pad(scale, (0, passes * size - total))

    def one(first: jax.Array) -> tuple[Outcome, jax.Array]:
        rows = jax.lax.dynamic_slice_in_dim(basis, first, size)
        part = None if weights is None else jax.lax.dynamic_slice_in_dim(weights, first, size)
        return solve_tangents(plan, inputs, rows[:, :n], rows[:, n:], part)

    if passes == 1:
        outcome, tangents = one(jnp.zeros((), jnp.int32))
        return outcome, jnp.moveaxis(tangents, 1, -1)
    outcomes, tangents = jax.lax.map(one, jnp.arange(passes) * size)
    outcome = jax.tree.map(lambda x: x[0], outcomes)
    whole = jnp.moveaxis(tangents, (0, 2), (-2, -1)).reshape(*outcome.ys.shape, passes * size)
    return _worst(outcome, outcomes), whole[..., :total]


def _worst(outcome: Outcome, outcomes: Outcome) -> Outcome:
    """The first pass's outcome, failed where any pass did."""
    status = jnp.max(outcomes.status)
    ys = jnp.where(status == Status.SUCCESS, outcome.ys, jnp.nan)
    return outcome._replace(ys=ys, status=status)
