"""A traced problem with its method and strategy, made into functions that JAX can transform.

:class:`Solver` joins the forward pass and the adjoint through :func:`jax.custom_vjp`, each of them
with a batching rule of its own: trajectories that are mapped are solved as lanes side by side, in
blocks whose record stays in the cache, and the blocks one after the other.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from stiffgrad.jax import _lanes
from stiffgrad.jax._forward import Inputs, Outcome, Record, blank_rows, solve_forward
from stiffgrad.jax._rosenbrock import Rosenbrock
from stiffgrad.jax._types import SolveError, Status
from stiffgrad.jax.strategies import discrete


class Solver:
    """The differentiable map from :class:`Inputs` to :class:`Outcome` for one problem.

    Args:
        method: the integrator on its system.
        max_steps: the most steps to try.
    """

    def __init__(self, method: Rosenbrock, max_steps: int) -> None:
        self.method = method
        self.max_steps = max_steps
        self._plain = _lanes.mappable(self._solve_plain, self._plain_lanes)
        self._recorded = _lanes.mappable(
            self._solve_recorded, self._plain_lanes, unmapped=self._no_record
        )
        self._pulled = _lanes.mappable(self._pull, self._pull_lanes, dropped=2)
        differentiable = jax.custom_vjp(self._primal)
        differentiable.defvjp(self._fwd, self._bwd)
        self._differentiable = differentiable

    def __call__(self, inputs: Inputs) -> Outcome:
        """Solve; raises :class:`SolveError` where the outcome is known and is a failure."""
        return self._differentiable(inputs)

    def _primal(self, inputs: Inputs) -> Outcome:
        return _checked(self._plain(inputs))

    def _fwd(self, inputs: Inputs) -> tuple[Outcome, Any]:
        outcome, record = self._recorded(inputs)
        return _checked(outcome), (inputs, outcome, record)

    def _bwd(self, residuals: Any, cotangents: Outcome) -> tuple[Inputs]:
        inputs, outcome, record = residuals
        y_bar, p_bar = self._pulled(inputs, cotangents.ys, record, outcome.status)
        times_bar = self._times_bar(inputs, outcome.ys, cotangents.ys, y_bar)
        zero = jnp.zeros_like(inputs.rtol), jnp.zeros_like(inputs.atol)
        return (Inputs(y_bar, times_bar, p_bar, *zero),)

    def _times_bar(
        self, inputs: Inputs, ys: jax.Array, ys_bar: jax.Array, y_bar: jax.Array
    ) -> jax.Array:
        """Cotangents of the times: a later state moves along its slope, and the start against it.

        The derivative of the solution, which the steps approximate to their order; the sizes of
        the steps, and so the discrete map, do not depend on the times in a differentiable way.
        """
        p = jnp.broadcast_to(inputs.p[:, None], (self.method.system.m, len(ys)))
        slopes = self.method.system.rhs(inputs.times, ys.T, p)
        along = ys_bar.at[0].set(ys_bar[0] - y_bar)
        return jnp.sum(slopes * along.T, axis=0)

    def _solve_plain(self, inputs: Inputs) -> Outcome:
        return solve_forward(self.method, self.max_steps, inputs, blank_rows(0, inputs.y0))[0]

    def _solve_recorded(self, inputs: Inputs) -> tuple[Outcome, Record]:
        rows = blank_rows(self.max_steps, inputs.y0)
        return solve_forward(self.method, self.max_steps, inputs, rows)

    def _pull(
        self, inputs: Inputs, ys_bar: jax.Array, record: Record, status: jax.Array
    ) -> tuple[jax.Array, ...]:
        pulled = discrete.pullback(self.method, record, inputs.p, ys_bar)
        # A gradient of half a solve is worse than none.
        return tuple(jnp.where(status == Status.SUCCESS, x, jnp.nan) for x in pulled)

    def _no_record(self, inputs: Inputs) -> Record:
        # The adjoint of a block makes its record again: records of all blocks would leave the
        # cache, and fill the memory.
        return Record(blank_rows(self.max_steps, inputs.y0[0]), jnp.zeros((), jnp.int32))

    def _plain_lanes(self, inputs: Inputs) -> Outcome:
        def block(room: jax.Array, inputs: Inputs) -> tuple[jax.Array, Outcome]:
            return room, solve_forward(self.method, self.max_steps, inputs, room)[0]

        return _lanes.over_blocks(block, inputs, lambda inputs: blank_rows(0, inputs.y0))

    def _pull_lanes(self, inputs: Inputs, ys_bar: jax.Array) -> tuple[jax.Array, ...]:
        def block(room: jax.Array, args: tuple[Inputs, jax.Array]) -> tuple[jax.Array, Any]:
            inputs, ys_bar = args
            outcome, record = solve_forward(self.method, self.max_steps, inputs, room)
            return record.rows, self._pull(inputs, ys_bar, record, outcome.status)

        def room(args: tuple[Inputs, jax.Array]) -> jax.Array:
            return blank_rows(self.max_steps, args[0].y0)

        return _lanes.over_blocks(block, (inputs, ys_bar), room)


def _checked(outcome: Outcome) -> Outcome:
    if not isinstance(outcome.status, jax.core.Tracer) and outcome.status != Status.SUCCESS:
        steps = f"{outcome.accepted} steps were accepted, {outcome.attempted} tried."
        raise SolveError(Status(int(outcome.status)), steps)
    return outcome
