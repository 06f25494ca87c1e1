"""`imex`: continuous adjoint, lambda implicit and its parameter integral explicit in one step.

Trust it as far as its tolerances go: the steps answer for lambda and for the integral, so that
neither the sensitivities nor the gradient that is made of them escapes the error control.

The adjoint's right-hand side is split: `f_y^T lambda` is the integrator's, which factors n x n
matrices alone, and `f_p^T lambda`, on which nothing else depends, is summed explicitly over the
step, here by Kronrod's five nodes with lambda from the step's dense output; the difference from
the Gauss formula of two of these nodes, of order four as a step's local error, enters the decision
about the step. Otherwise as `gauss`: the states come from the dense output of the recorded steps,
and lambda starts afresh at every observation. Cost for n states and m parameters: O(n^3 + m) a
step. Memory: the record, `3 + n (1 + degree of the dense output)` numbers a step forward.

Kim et al., Chaos 31, 093122, 2021, eq. 11 and 12.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from stiffgrad.jax import _control, _rules
from stiffgrad.jax._adjoint import Adjoint, Solved, units_of_parameters
from stiffgrad.jax._adjoint_system import AdjointSystem
from stiffgrad.jax._continuous import AlongRecord, Recorded, parameter_term
from stiffgrad.jax._forward import Inputs, Outcome, Plan, Record, Taken, Walk
from stiffgrad.jax._method import Step

_RULE = _rules.KRONROD_5


class Imex(Recorded):
    """The strategy; see :class:`stiffgrad.jax.strategies.Reverse`."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("imex", plan)
        walk = self.walk_on(self.system)
        self._adjoint = Adjoint(AlongRecord(self.system), walk, _Explicit(self.system))

    def pullback(
        self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        end = self._adjoint.solve(inputs, outcome, record, ys_bar)
        return self.at_start(end.state, ys_bar), end.tally, end.status


class _Explicit:
    """The parameter integral so far; see :class:`stiffgrad.jax._adjoint.Tally`."""

    def __init__(self, system: AdjointSystem) -> None:
        self._system = system

    def start(self, solved: Solved) -> jax.Array:
        return jnp.zeros_like(solved.inputs.p)

    def jump(self, tally: jax.Array, term: jax.Array) -> jax.Array:
        return tally + term

    def watch(
        self,
        tally: jax.Array,
        inputs: Inputs,
        small: jax.Array,
        walk: Walk,
        h: jax.Array,
        step: Step,
    ) -> tuple[jax.Array, jax.Array]:
        def integrand(theta: jax.Array) -> jax.Array:
            return parameter_term(self._system, inputs, walk, h, step, theta)

        mean, difference = _RULE.apply(integrand, tally)
        after = tally + h * mean
        if not len(after):
            return jnp.zeros_like(h), after
        along: Any = inputs.p
        size = jnp.maximum(jnp.abs(tally), jnp.abs(after))
        tolerance = small / units_of_parameters(along.p) + inputs.rtol * size
        return _control.norm(h * difference / tolerance), after

    def add(self, tally: jax.Array, inputs: Inputs, walk: Walk, taken: Taken) -> jax.Array:
        return jnp.where(taken.h != 0, taken.seen, tally)
