"""The adjoint's walk: back along a solution, from one observation to the one before.

With L the loss, lambda is its derivative with respect to the state at a time, as far as the later
observations go. It obeys `lambda' = -f_y^T lambda` and jumps by the loss's own derivative at every
observation; dL/dp is the integral of `f_p^T lambda` (Kim et al., Chaos 31, 093122, 2021, eq. 6;
Sapienza et al., arXiv 2406.09699, section 3.4).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _forward
from stiffgrad.jax._forward import RUNNING, Inputs, Outcome, Plan, Record, Taken, Walk
from stiffgrad.jax._method import Step
from stiffgrad.jax._stacks import row
from stiffgrad.jax._types import Status

# A component is held to rtol of itself or, in units that make it comparable with the others, to
# this part of rtol of the largest that any component ever was. At 1 the gradients of POLLU, which
# are small differences of large lambda, lose two digits; below 1e-3 they gain none.
_SMALL = 1e-3


class Solved(NamedTuple):
    """The recorded solve and what is asked of its adjoint.

    Attributes:
        inputs: of the solve.
        rows: its record.
        used: how many of them hold steps.
        ys: (T, n), states at the times.
        ys_bar: (T, n), derivatives of the loss by them.
    """

    inputs: Inputs
    rows: jax.Array
    used: jax.Array
    ys: jax.Array
    ys_bar: jax.Array


class Equation(Protocol):
    """What is integrated.

    Attributes:
        system: its right-hand side, in time counted back from the last jump.
    """

    system: Any

    def sizes(self, solved: Solved) -> jax.Array:
        """How large each state of the solution was, (n,)."""

    def units(self, solved: Solved, units_of_y: jax.Array) -> jax.Array:
        """What each component is to be multiplied with to have the loss's unit.

        0 for a component with tolerances of its own.
        """

    def start(self, solved: Solved) -> jax.Array:
        """The state before the first jump."""

    def jump(
        self, solved: Solved, index: jax.Array, number: jax.Array, state: jax.Array
    ) -> jax.Array:
        """The state before the observation at a time, from that behind it."""

    def coefficients(self, solved: Solved, index: jax.Array, number: jax.Array) -> Any:
        """What the system depends on between a time and the one before; row `number` or earlier."""

    def tolerance(self, solved: Solved, small: jax.Array, units: jax.Array) -> jax.Array:
        """Absolute tolerances of the state; `small` is that of what has the loss's unit."""

    def locate(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> jax.Array:
        """The row that holds time t, at or before the numbered one."""


class Tally(Protocol):
    """What is made of the steps."""

    def start(self, solved: Solved) -> Any:
        """Before the first."""

    def watch(
        self, tally: Any, inputs: Inputs, small: jax.Array, walk: Walk, h: jax.Array, step: Step
    ) -> tuple[jax.Array, Any]:
        """Of a step tried: an error for the step-size control, and what `add` shall see."""

    def add(self, tally: Any, inputs: Inputs, walk: Walk, taken: Taken) -> Any:
        """After a step from `walk`, taken or not; `inputs.p` are the equation's coefficients."""


class Ended(NamedTuple):
    """How the walk ended.

    Attributes:
        state: at the first time, before its jump.
        tally: what was made of the steps.
        largest: the largest component there ever was, in the loss's unit.
        status: a :class:`Status`.
        steps: how many were tried.
    """

    state: jax.Array
    tally: Any
    largest: jax.Array
    status: jax.Array
    steps: jax.Array


class _Now(NamedTuple):
    """Between two intervals."""

    position: jax.Array
    number: jax.Array
    ended: Ended


class _Inside(NamedTuple):
    """In an interval."""

    walk: Walk
    number: jax.Array
    tally: Any
    largest: jax.Array


_Fixed = tuple[Solved, jax.Array]


@dataclasses.dataclass(frozen=True)
class Adjoint:
    """The walk of an equation by a method.

    Attributes:
        equation: what to integrate.
        plan: how, on the equation's system.
        tally: what to make of its steps.
    """

    equation: Equation
    plan: Plan
    tally: Tally

    def solve(self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array) -> Ended:
        """Walk from the last time to the first."""
        solved = Solved(inputs, record.rows, record.used, outcome.ys, ys_bar)
        return self.equation.system.compiled(self._solve)(solved)

    def _solve(self, solved: Solved) -> Ended:
        solved, units = self._with_units(solved)
        last = jnp.asarray(len(solved.ys) - 1, jnp.int32)
        none, zero = jnp.zeros((), jnp.int32), jnp.zeros((), solved.ys.dtype)
        state = self.equation.start(solved)
        ended = Ended(state, self.tally.start(solved), zero, none + int(Status.SUCCESS), none)
        start = _Now(last, solved.used - 1, ended)
        return lax.while_loop(_unfinished, self._cross, ((solved, units), start))[1].ended

    def _with_units(self, solved: Solved) -> tuple[Solved, jax.Array]:
        """The solve with a relative tolerance that is not zero, and the units of the state."""
        inputs, sizes = solved.inputs, self.equation.sizes(solved)
        smallest = jnp.min(inputs.atol / jnp.where(sizes > 0, sizes, 1))
        rtol = jnp.where(inputs.rtol > 0, inputs.rtol, smallest)
        # A state that was always zero counts as what its tolerance neglects.
        units = self.equation.units(solved, jnp.maximum(sizes, inputs.atol / rtol))
        return solved._replace(inputs=inputs._replace(rtol=rtol)), units

    def _cross(self, carry: tuple[_Fixed, _Now]) -> tuple[_Fixed, _Now]:
        """From behind one observation to behind the one before."""
        fixed, (index, number, ended) = carry
        solved, units = fixed
        state = self.equation.jump(solved, index, number, ended.state)
        largest = jnp.maximum(ended.largest, jnp.max(jnp.abs(state) * units))
        inputs, _ = self._inputs(fixed, index, number, state, largest)
        walk = _forward.start_walk(self.plan, inputs)
        walk = walk._replace(iteration=ended.steps)
        inside = _Inside(walk, number, ended.tally, largest)

        def running(carry: tuple[_Fixed, jax.Array, _Inside]) -> jax.Array:
            return _forward.is_running(self.plan, carry[2].walk)

        def body(
            carry: tuple[_Fixed, jax.Array, _Inside],
        ) -> tuple[_Fixed, jax.Array, _Inside]:
            return *carry[:2], self._step(*carry)

        end = lax.while_loop(running, body, (fixed, index, inside))[2]
        status = end.walk.status
        ended = Ended(
            state=self._own(end.walk.state),
            tally=end.tally,
            largest=end.largest,
            status=jnp.where(status == RUNNING, int(Status.MAX_STEPS), status),
            steps=end.walk.iteration,
        )
        return fixed, _Now(index - 1, end.number, ended)

    def _inputs(
        self,
        fixed: _Fixed,
        index: jax.Array,
        number: jax.Array,
        state: jax.Array,
        largest: jax.Array,
    ) -> tuple[Inputs, jax.Array]:
        """Of the solve from a time to the one before; and what counts as small."""
        solved, units = fixed
        times, rtol = solved.inputs.times, solved.inputs.rtol
        length = row(times, index) - row(times, index - 1)
        small = _SMALL * rtol * jnp.where(largest > 0, largest, 1)
        inputs = Inputs(
            y0=state,
            times=jnp.stack([jnp.zeros_like(length), length]),
            p=self.equation.coefficients(solved, index, number),
            rtol=rtol,
            atol=self.equation.tolerance(solved, small, units),
        )
        return inputs, small

    def _step(self, fixed: _Fixed, index: jax.Array, now: _Inside) -> _Inside:
        solved, units = fixed
        state = self._own(now.walk.state)
        inputs, small = self._inputs(fixed, index, now.number, state, now.largest)

        def watch(walk: Walk, h: jax.Array, step: Step) -> tuple[jax.Array, Any]:
            return self.tally.watch(now.tally, inputs, small, walk, h, step)

        walk, taken = _forward.try_step(self.plan, inputs, now.walk, watch)
        tally = self.tally.add(now.tally, inputs, now.walk, taken)
        largest = jnp.maximum(now.largest, jnp.max(jnp.abs(self._own(walk.state)) * units))
        t = row(solved.inputs.times, index) - walk.t
        number = self.equation.locate(solved.rows, now.number, t)
        return _Inside(walk, number, tally, largest)

    def _own(self, state: jax.Array) -> jax.Array:
        """The state without what the method remembers."""
        return lax.slice_in_dim(state, 0, self.equation.system.n)


def _unfinished(carry: tuple[_Fixed, _Now]) -> jax.Array:
    now = carry[1]
    return (now.position > 0) & (now.ended.status == Status.SUCCESS)


def units_of_parameters(p: jax.Array) -> jax.Array:
    """Units for dL/dp: the parameters themselves, 1 for one that is zero."""
    return jnp.where(p == 0, 1, jnp.abs(p))
