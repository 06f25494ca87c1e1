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


class ForwardDiscrete:
    """The strategy; see :class:`stiffgrad.jax.strategies.Forward`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def sensitivities(self, inputs: Inputs) -> tuple[Outcome, jax.Array]:
        outcome, tangents = solve_tangents(self.plan, inputs, *basis(inputs))
        return outcome, jnp.moveaxis(tangents, 1, -1)


def basis(inputs: Inputs) -> tuple[jax.Array, jax.Array]:
    """Unit tangents of y0 and p: (n + m, n) and (n + m, m)."""
    n = len(inputs.y0)
    return tuple(jnp.split(jnp.eye(n + len(inputs.p), dtype=inputs.p.dtype), [n], axis=1))  # type: ignore[return-value]
