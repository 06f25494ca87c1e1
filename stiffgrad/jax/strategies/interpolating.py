"""`interpolating`: continuous adjoint, lambda and its parameter integral in one implicit system.

Trust it as far as its tolerances go: the steps answer for lambda and for the integral. It is here
to be compared with: `gauss`, `quadrature` and `imex` solve the same equations for less.

The integrator of the solve goes back over the n + m equations `lambda' = -f_y^T lambda` and
`q' = -f_p^T lambda` at once, with the states from the dense output of the recorded steps; lambda
starts afresh at every observation. Cost for n states and m parameters: O((n + m)^3) a step, as the
Jacobian of all equations is factored as a dense matrix. Memory: the record,
`3 + n (1 + degree of the dense output)` numbers a step forward, and (n + m)^2 numbers. By chunks of
l parameters, in passes side by side: O((n + l)^3 m / l).

Kim et al., Chaos 31, 093122, 2021, section II.B, where it is the standard adjoint; what
SciMLSensitivity calls InterpolatingAdjoint.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from stiffgrad.jax._adjoint import Adjoint, Solved, units_of_parameters
from stiffgrad.jax._augmented_system import AugmentedSystem
from stiffgrad.jax._chunks import by_chunks, chunk_size
from stiffgrad.jax._continuous import AlongRecord, NoTally, Recorded
from stiffgrad.jax._forward import Inputs, Outcome, Plan, Record


class Interpolating(Recorded):
    """The strategy; see :class:`stiffgrad.jax.strategies.Reverse`.

    Args:
        plan: the forward pass.
        chunk: parameters to a pass, each with steps of its own; None for all in one.
    """

    def __init__(self, plan: Plan, chunk: int | None = None) -> None:
        super().__init__("interpolating", plan)
        self._size = chunk_size(self.system.m, chunk)

    def pullback(
        self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        n = self.system.n

        def one(first: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            both = AugmentedSystem(self.system, self._size, first)
            adjoint = Adjoint(_Both(both), self.walk_on(both), NoTally())
            end = adjoint.solve(inputs, outcome, record, ys_bar)
            return self.at_start(end.state[:n], ys_bar), end.state[n:], end.status

        return by_chunks(one, self.system.m, self._size)


class _Both(AlongRecord):
    """The equation of lambda and the integral."""

    def __init__(self, both: AugmentedSystem) -> None:
        super().__init__(both.adjoint)
        self.system: Any = both

    def units(self, solved: Solved, units_of_y: jax.Array) -> jax.Array:
        of_parameters = self.system.chosen(units_of_parameters(solved.inputs.p))
        return jnp.concatenate([units_of_y, of_parameters])

    def start(self, solved: Solved) -> jax.Array:
        return jnp.zeros(self.system.n, solved.inputs.y0.dtype)

    def jump(
        self, solved: Solved, position: jax.Array, state: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        n = len(solved.inputs.y0)
        dual, term = super().jump(solved, position, state[:n])
        integral = state[n:] if term is None else state[n:] + self.system.chosen(term)
        return jnp.concatenate([dual, integral]), None
