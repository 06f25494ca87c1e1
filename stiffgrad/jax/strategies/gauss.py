"""`gauss`: continuous adjoint, its parameter integral by Gauss's formula along its steps.

Trust it as far as its tolerances go: the steps answer for lambda, so that no sensitivity escapes
them; nobody answers for the integral's own error, which in practice is smaller than lambda's. The
gradient is that of the exact solution, not that of the steps taken: against `discrete`, with which
it shares the forward pass, it tells what the steps leave out.

The integrator of the solve goes back over `lambda' = -f_y^T lambda`, with the states from the dense
output of the recorded steps, and starts afresh at every observation, which adds its part to lambda.
On whatever a step of lambda and a recorded step have in common, where both are polynomials,
`dL/dp = integral of f_p^T lambda` is summed over three Gauss nodes. Cost for n states and m
parameters: O(n^3 + m) a step. Memory: the record, `3 + n (1 + degree of the dense output)` numbers
a step of the forward pass.

Kim et al., Chaos 31, 093122, 2021, eq. 6, with the integral split off as there; GaussAdjoint of
SciMLSensitivity; Sapienza et al., arXiv 2406.09699, for all of them side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _rules
from stiffgrad.jax._adjoint import Adjoint, Solved
from stiffgrad.jax._adjoint_system import AdjointSystem
from stiffgrad.jax._continuous import AlongRecord, Recorded, parameter_term
from stiffgrad.jax._forward import Inputs, Outcome, Plan, Record, Taken, Walk
from stiffgrad.jax._method import Step

# Exact to degree 5, as the integrators of this library are at most of order 5.
_RULE = _rules.gauss(3)


class Gauss(Recorded):
    """The strategy; see :class:`stiffgrad.jax.strategies.Reverse`."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("gauss", plan)
        walk = self.walk_on(self.system)
        self._adjoint = Adjoint(AlongRecord(self.system), walk, _Sum(self.system))

    def pullback(
        self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        end = self._adjoint.solve(inputs, outcome, record, ys_bar)
        return self.at_start(end.state, ys_bar), end.tally, end.status


_Fixed = tuple[Inputs, Walk, jax.Array, Step]


class _Piece(NamedTuple):
    """How far the integral over a step is: which part is done, and the recorded step to go on."""

    done: jax.Array
    number: jax.Array
    total: jax.Array


class _Sum:
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
    ) -> tuple[jax.Array, Any]:
        return jnp.zeros_like(h), None

    def add(self, tally: jax.Array, inputs: Inputs, walk: Walk, taken: Taken) -> jax.Array:
        along: Any = inputs.p

        def unfinished(carry: tuple[_Fixed, _Piece]) -> jax.Array:
            return carry[1].done < 1

        def body(carry: tuple[_Fixed, _Piece]) -> tuple[_Fixed, _Piece]:
            return carry[0], self._piece(*carry[0], carry[1])

        # A rejected step has no pieces.
        done = jnp.where(taken.h != 0, 0, 1).astype(tally.dtype)
        fixed = inputs, walk, taken.h, taken.step
        return lax.while_loop(unfinished, body, (fixed, _Piece(done, along.number, tally)))[1].total

    def _piece(self, inputs: Inputs, walk: Walk, h: jax.Array, step: Step, now: _Piece) -> _Piece:
        """The integral over what one recorded step and a step of lambda share."""
        along: Any = inputs.p
        start = self._system.path.start_of(along.rows, now.number)
        until = (along.origin - start - walk.t) / h
        until = jnp.where((until < 1) & (now.number > 0), jnp.maximum(until, now.done), 1)
        width = until - now.done

        def integrand(part: jax.Array) -> jax.Array:
            theta = now.done + part * width
            return parameter_term(self._system, inputs, walk, h, step, theta)

        mean, _ = _RULE.apply(integrand, now.total)
        return _Piece(until, now.number - 1, now.total + h * width * mean)
