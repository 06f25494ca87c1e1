"""`forward`: continuous sensitivities, integrated with the states under one error control.

The sensitivity equations `S' = f_y S + f_p`, solved by the same method, step by step behind the
states and with their factorisation (staggered: Feehery, Tolsma and Barton, Applied Numerical
Mathematics 25, 1997). The steps answer for the sensitivities as well as for the states, each
sensitivity in the units of its parameter: the strategy to check others by, as its steps cannot
leave the gradient behind. Cost: n + m tangents a step, and more steps. Memory: the tangents.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from stiffgrad.jax._forward import Inputs, Outcome, Plan
from stiffgrad.jax._types import ArgumentError
from stiffgrad.jax.strategies.forward_discrete import solve_chunks


class ContinuousForward:
    """The strategy; see :class:`stiffgrad.jax.strategies.Forward`.

    Args:
        plan: the forward pass.
        chunk: tangents to a pass, each with steps of its own; None for all in one.

    Raises:
        ArgumentError: with fixed steps, for which it is `forward-discrete`.
    """

    def __init__(self, plan: Plan, chunk: int | None = None) -> None:
        if plan.steps is not None:
            raise ArgumentError(
                'adjoint="forward" chooses its steps by the sensitivities; with fixed steps ask '
                'for adjoint="forward-discrete"'
            )
        self.plan = plan
        self._chunk = chunk

    def sensitivities(self, inputs: Inputs) -> tuple[Outcome, jax.Array]:
        # A relative change of a parameter moves the state by p dy/dp; one of a state that starts
        # at zero has no relative size, and is weighed as its absolute tolerance allows.
        y0 = jnp.maximum(jnp.abs(inputs.y0), inputs.atol / jnp.maximum(inputs.rtol, 1e-300))
        p = jnp.where(inputs.p == 0, 1, jnp.abs(inputs.p))
        return solve_chunks(self.plan, inputs, self._chunk, jnp.concatenate([y0, p]))
