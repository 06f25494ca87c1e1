"""The adjoint's walk: back along a recorded solution, from one observation to the one before.

With `L` the loss, `lambda` is its derivative with respect to the state at a time, the observations
before that time left out. It obeys `lambda' = -f_y^T lambda`, jumps by the loss's own derivative at
every observation, and `dL/dp` is the integral of `f_p^T lambda` (Kim et al., Chaos 31, 093122,
2021, eq. 6; Sapienza et al., arXiv 2406.09699, section 3.4).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _forward
from stiffgrad.jax._adjoint_system import AdjointSystem, Along
from stiffgrad.jax._forward import RUNNING, Inputs, Outcome, Plan, Record, Taken, Walk
from stiffgrad.jax._method import Step
from stiffgrad.jax._stacks import row
from stiffgrad.jax._types import ArgumentError, Status

# A component that matters little to the loss is held to this part of what those that matter most
# are held to; measured on ROBER and POLLU, see docs/strategies.md.
_MINOR = 1.0


class Tally(Protocol):
    """What is made of the adjoint's steps."""

    def start(self, inputs: Inputs) -> Any:
        """Before the first."""

    def watch(
        self, tally: Any, along: Along, scale: jax.Array, walk: Walk, h: jax.Array, step: Step
    ) -> tuple[jax.Array, Any]:
        """An error for the step-size control, and what :meth:`add` shall see; of a step tried."""

    def add(self, tally: Any, along: Along, walk: Walk, taken: Taken) -> Any:
        """After an accepted step."""


class Ended(NamedTuple):
    """How the adjoint's walk ended: the state at the first time, the tally and a status."""

    state: jax.Array
    tally: Any
    status: jax.Array


class _Fixed(NamedTuple):
    inputs: Inputs
    rows: jax.Array
    ys_bar: jax.Array
    scale: jax.Array


class _Carry(NamedTuple):
    walk: Walk
    number: jax.Array
    tally: Any


@dataclasses.dataclass(frozen=True)
class Adjoint:
    """The adjoint's walk by the method of the solve.

    Attributes:
        plan: of the recorded solve.
        system: the adjoint equation.
        walk: the walk of the adjoint.
        tally: what is made of its steps.
    """

    plan: Plan
    system: Any
    walk: Plan
    tally: Tally

    def solve(self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array) -> Ended:
        """Walk from the last time to the first."""

        def loop(inputs: Inputs, record: Record, ys_bar: jax.Array, last: jax.Array) -> Ended:
            scale = self.scale(inputs, record, last)
            fixed = _Fixed(inputs, record.rows, ys_bar, scale)
            index = jnp.asarray(len(ys_bar) - 1, jnp.int32)
            start = _Start(index, record.used - 1, row(ys_bar, index), none, SUCCESS, tally)
            end = lax.while_loop(self._unfinished, self._cross, (fixed, start))[1]
            return end
