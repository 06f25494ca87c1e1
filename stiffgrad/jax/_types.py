"""What a solve returns, how it can end, and the exceptions that say so."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, NamedTuple

import jax


class Status(enum.IntEnum):
    """How a solve ended."""

    SUCCESS = 0
    MAX_STEPS = 1
    STEP_TOO_SMALL = 2
    NON_FINITE = 3
    SINGULAR = 4
    NOT_CONVERGED = 5
    INCONSISTENT = 6
    HIGHER_INDEX = 7
    IRREVERSIBLE = 8


# What happened and what to do, for the exception and for whoever reads a status.
MESSAGES = {
    Status.SUCCESS: "the solve reached the last time",
    Status.MAX_STEPS: (
        "the step limit was reached before the last time. Raise max_steps, loosen rtol and atol, "
        "or look for a solution that blows up"
    ),
    Status.STEP_TOO_SMALL: (
        "the step size fell to the rounding of the time without meeting the tolerance. Loosen "
        "rtol and atol, or look for a discontinuity or a blow-up there"
    ),
    Status.NON_FINITE: (
        "the right-hand side, its Jacobian or the step gave infinities or NaN however small the "
        "step. Check y0 and p, and the right-hand side for logarithms, roots or divisions that "
        "leave their domain"
    ),
    Status.SINGULAR: (
        "the linear systems of the step could not be solved accurately however small the step. "
        'Ask for engine="array", which pivots; if that fails too, the Jacobian is not finite or '
        "the state is badly scaled"
    ),
    Status.NOT_CONVERGED: (
        "Newton's iteration for the stages did not converge however small the step. Take smaller "
        "fixed steps or an adaptive integrator, and check the right-hand side for discontinuities"
    ),
    Status.INCONSISTENT: (
        "y0 does not satisfy the algebraic equations that the singular mass matrix leaves. Solve "
        "them for the states in its null space first, to within the tolerances"
    ),
    Status.HIGHER_INDEX: (
        "the algebraic equations do not determine the states in the null space of the mass matrix "
        "at y0: the index is above 1. Differentiate those equations until they do"
    ),
    Status.IRREVERSIBLE: (
        "integrated back, the states did not return to where they had been, so that a gradient "
        'along them would be wrong. Ask for an adjoint that records them, such as "discrete"'
    ),
}


class SolveError(RuntimeError):
    """A solve that did not reach its last time; `status` says why."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(f"stiffgrad.jax.solve: {MESSAGES[status]}. {detail}")
        self.status = status


class ArgumentError(ValueError):
    """An argument of `solve` that cannot be used; the message says which and why."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stats:
    """What a solve cost.

    Attributes:
        accepted: steps accepted, an integer array.
        attempted: steps tried; each costs a Rosenbrock method one Jacobian and factorisation.
        rhs_evaluations: evaluations of the right-hand side in the forward pass; None for an
            integrator whose stages are iterated, which does not count them.
        integrator: name of the integrator.
        adjoint: name of the strategy that differentiates the solve.
        engine: "scalar" or "array": how the step was compiled.
        engine_reason: why that engine.
    """

    accepted: jax.Array
    attempted: jax.Array
    rhs_evaluations: jax.Array | None
    integrator: str = dataclasses.field(metadata={"static": True})
    adjoint: str = dataclasses.field(metadata={"static": True})
    engine: str = dataclasses.field(metadata={"static": True})
    engine_reason: str = dataclasses.field(metadata={"static": True})


class Solution(NamedTuple):
    """States, cost and outcome of a solve.

    Attributes:
        ys: the states at the times, a pytree like y0 with a leading axis of length len(t). Times
            that were not reached hold NaN.
        stats: what it cost.
        status: integer array, a member of :class:`Status`.
    """

    ys: Any
    stats: Stats
    status: jax.Array
