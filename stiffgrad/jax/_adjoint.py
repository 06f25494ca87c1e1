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
# are small differences of large lambda, lose one to three digits; at 1e-6 the steps are up to twice
# as many and the relative error of a whole gradient is at most three times smaller.
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
        self, solved: Solved, position: jax.Array, state: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        """The state before the observation at a time from that behind it.

        And what the observation adds to dL/dp by itself, or None where that is not for the tally.
        """

    def verdict(self, solved: Solved, position: jax.Array, state: jax.Array) -> jax.Array:
        """A :class:`Status` for the state that came back to a time, before its jump."""

    def coefficients(self, solved: Solved, position: jax.Array, number: jax.Array) -> Any:
        """What the system depends on between a time and the one before; row `number` or earlier."""

    def tolerance(self, solved: Solved, small: jax.Array, units: jax.Array) -> jax.Array:
        """Absolute tolerances of the state; `small` is that of what has the loss's unit."""

    def locate(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> jax.Array:
        """The row that holds time t, at or before the numbered one."""


class Tally(Protocol):
    """What is made of the steps."""

    def start(self, solved: Solved) -> Any:
        """Before the first."""

    def jump(self, tally: Any, term: jax.Array) -> Any:
        """With what an observation adds to dL/dp by itself."""

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
        rtol: the relative tolerance that it had.
        small: the absolute tolerance that it had at the end, in the loss's unit.
        status: a :class:`Status`.
    """

    state: jax.Array
    tally: Any
    rtol: jax.Array
    small: jax.Array
    status: jax.Array


class _Now(NamedTuple):
    """Between two intervals; `position` is that of the time that the next one ends with."""

    position: jax.Array
    number: jax.Array
    state: jax.Array
    tally: Any
    largest: jax.Array
    status: jax.Array
    tried: jax.Array


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
        none = jnp.zeros((), jnp.int32)
        start = _Now(
            position=last,
            number=solved.used - 1,
            state=self.equation.start(solved),
            tally=self.tally.start(solved),
            largest=jnp.zeros((), units.dtype),
            status=none + int(Status.SUCCESS),
            tried=none,
        )
        _, end = lax.while_loop(_unfinished, self._cross, ((solved, units), start))
        rtol = solved.inputs.rtol
        return Ended(end.state, end.tally, rtol, _small(rtol, end.largest), end.status)

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
        fixed, now = carry
        solved, units = fixed
        position, number = now.position, now.number
        state, term = self.equation.jump(solved, position, now.state)
        tally = now.tally if term is None else self.tally.jump(now.tally, term)
        largest = jnp.maximum(now.largest, jnp.max(jnp.abs(state) * units))
        inputs, _ = self._inputs(fixed, position, number, state, largest)
        walk = _forward.start_walk(self.plan, inputs)._replace(iteration=now.tried)
        inside = _Inside(walk, number, tally, largest)

        def running(carry: tuple[_Fixed, jax.Array, _Inside]) -> jax.Array:
            return _forward.is_running(self.plan, carry[2].walk)

        def body(
            carry: tuple[_Fixed, jax.Array, _Inside],
        ) -> tuple[_Fixed, jax.Array, _Inside]:
            return *carry[:2], self._step(*carry)

        end = lax.while_loop(running, body, (fixed, position, inside))[2]
        state, status = self._own(end.walk.state), end.walk.status
        verdict = self.equation.verdict(solved, position - 1, state)
        status = jnp.where(status == Status.SUCCESS, verdict, status)
        return fixed, _Now(
            position=position - 1,
            number=end.number,
            state=state,
            tally=end.tally,
            largest=end.largest,
            status=jnp.where(status == RUNNING, int(Status.MAX_STEPS), status),
            tried=end.walk.iteration,
        )

    def _inputs(
        self,
        fixed: _Fixed,
        position: jax.Array,
        number: jax.Array,
        state: jax.Array,
        largest: jax.Array,
    ) -> tuple[Inputs, jax.Array]:
        """Of the solve from a time to the one before; and what counts as small."""
        solved, units = fixed
        times, rtol = solved.inputs.times, solved.inputs.rtol
        length = row(times, position) - row(times, position - 1)
        small = _small(rtol, largest)
        inputs = Inputs(
            y0=state,
            times=jnp.stack([jnp.zeros_like(length), length]),
            p=self.equation.coefficients(solved, position, number),
            rtol=rtol,
            atol=self.equation.tolerance(solved, small, units),
        )
        return inputs, small

    def _step(self, fixed: _Fixed, position: jax.Array, now: _Inside) -> _Inside:
        solved, units = fixed
        state = self._own(now.walk.state)
        inputs, small = self._inputs(fixed, position, now.number, state, now.largest)

        def watch(walk: Walk, h: jax.Array, step: Step) -> tuple[jax.Array, Any]:
            return self.tally.watch(now.tally, inputs, small, walk, h, step)

        walk, taken = _forward.try_step(self.plan, inputs, now.walk, watch)
        tally = self.tally.add(now.tally, inputs, now.walk, taken)
        largest = jnp.maximum(now.largest, jnp.max(jnp.abs(self._own(walk.state)) * units))
        t = row(solved.inputs.times, position) - walk.t
        number = self.equation.locate(solved.rows, now.number, t)
        return _Inside(walk, number, tally, largest)

    def _own(self, state: jax.Array) -> jax.Array:
        """The state without what the method remembers."""
        return lax.slice_in_dim(state, 0, self.equation.system.n)


def _unfinished(carry: tuple[_Fixed, _Now]) -> jax.Array:
    now = carry[1]
    return (now.position > 0) & (now.status == Status.SUCCESS)


def _small(rtol: jax.Array, largest: jax.Array) -> jax.Array:
    return _SMALL * rtol * jnp.where(largest > 0, largest, 1)


def units_of_parameters(p: jax.Array) -> jax.Array:
    """Units for dL/dp: the parameters themselves, 1 for one that is zero."""
    return jnp.where(p == 0, 1, jnp.abs(p))
