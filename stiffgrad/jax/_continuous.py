"""What the continuous adjoints along a record have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from stiffgrad.jax import _dense
from stiffgrad.jax._adjoint import Solved
from stiffgrad.jax._adjoint_system import AdjointSystem, Along
from stiffgrad.jax._forward import (
    Inputs,
    Outcome,
    Plan,
    Record,
    Taken,
    Walk,
    blank_rows,
    solve_forward,
)
from stiffgrad.jax._jump import check_mass, jump
from stiffgrad.jax._method import Step
from stiffgrad.jax._stacks import row
from stiffgrad.jax._types import ArgumentError, Status


class Recorded:
    """The forward pass of a continuous adjoint: a record with the steps' dense output.

    Args:
        name: the strategy's, for errors.
        plan: the forward pass.

    Raises:
        ArgumentError: for an integrator without dense output, or a mass matrix that hides its
            algebraic part.
    """

    lanes = False

    def __init__(self, name: str, plan: Plan) -> None:
        if not plan.method.dense_degree:
            raise ArgumentError(
                f"adjoint={name!r} follows the solution between its steps, and the integrator has "
                'no dense output; take one that has, such as "rodas5p", or adjoint="discrete"'
            )
        check_mass(name, plan.method.system.mass)
        self.name = name
        self.plan = dataclasses.replace(plan, keep_terms=True)
        self.system = AdjointSystem(self.plan)

    def walk_on(self, system: Any) -> Plan:
        """The plan of an adjoint's walk on a system."""
        method, plan = self.plan.method.on(system), self.plan
        return Plan(method, plan.max_steps, plan.steps)

    def at_start(self, dual: jax.Array, ys_bar: jax.Array) -> jax.Array:
        """dL/dy0 from lambda at the first time."""
        return self.plan.method.system.apply_mass_transposed(dual) + ys_bar[0]

    def blank(self, inputs: Inputs) -> jax.Array:
        return blank_rows(self.plan, inputs.y0)

    def record(self, inputs: Inputs, room: jax.Array) -> tuple[Outcome, Record]:
        return solve_forward(self.plan, inputs, room)

    def push(self, inputs: Inputs, y0_dot: jax.Array, p_dot: jax.Array) -> jax.Array:
        return no_push(self.name)


def no_push(name: str) -> jax.Array:
    """Refuse forward mode."""
    raise ArgumentError(
        f"adjoint={name!r} is for reverse mode only; for forward mode (jvp, jacfwd) ask for "
        'adjoint="discrete" or adjoint="forward"'
    )


class AlongRecord:
    """The equation of lambda along a record; see :class:`stiffgrad.jax._adjoint.Equation`."""

    def __init__(self, system: AdjointSystem) -> None:
        self.system: Any = system
        self.path = system.path

    def sizes(self, solved: Solved) -> jax.Array:
        return self.path.sizes(solved.rows, solved.used, solved.ys[-1])

    def units(self, solved: Solved, units_of_y: jax.Array) -> jax.Array:
        return units_of_y

    def start(self, solved: Solved) -> jax.Array:
        return jnp.zeros_like(solved.inputs.y0)

    def jump(
        self, solved: Solved, position: jax.Array, state: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        inputs = solved.inputs
        t, y, y_bar = (row(x, position) for x in (inputs.times, solved.ys, solved.ys_bar))
        return jump(self.path.plan.method.system, t, y, inputs.p, state, y_bar)

    def verdict(self, solved: Solved, position: jax.Array, state: jax.Array) -> jax.Array:
        return jnp.asarray(int(Status.SUCCESS), jnp.int32)

    def coefficients(self, solved: Solved, position: jax.Array, number: jax.Array) -> Along:
        return Along(solved.inputs.p, solved.rows, number, row(solved.inputs.times, position))

    def tolerance(self, solved: Solved, small: jax.Array, units: jax.Array) -> jax.Array:
        return small / units

    def locate(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> jax.Array:
        return self.path.locate(rows, number, t)


class NoTally:
    """Nothing made of the steps; see :class:`stiffgrad.jax._adjoint.Tally`."""

    def start(self, solved: Solved) -> tuple[()]:
        return ()

    def watch(
        self, tally: Any, inputs: Inputs, small: jax.Array, walk: Walk, h: jax.Array, step: Step
    ) -> tuple[jax.Array, None]:
        return jnp.zeros_like(h), None

    def jump(self, tally: tuple[()], term: jax.Array) -> tuple[()]:
        return ()

    def add(self, tally: tuple[()], inputs: Inputs, walk: Walk, taken: Taken) -> tuple[()]:
        return ()


def parameter_term(
    system: AdjointSystem, inputs: Inputs, walk: Walk, h: jax.Array, step: Step, theta: jax.Array
) -> jax.Array:
    """`f_p^T lambda` at a part of a step of lambda, by the step's dense output."""
    assert step.terms is not None
    state = jax.lax.slice_in_dim(walk.state, 0, system.n)
    dual = _dense.value(state, step.terms, theta)
    along: Any = inputs.p
    return system.pulled(walk.t + theta * h, dual, along)[1]
