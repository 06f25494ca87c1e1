"""Checked solves with SciPy's stepping classes: every status is looked at, every cost counted."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.integrate import BDF, LSODA, OdeSolver, Radau

from adapters._interface import Array, Counters, SolverFailure
from problems import Problem

SCHEMES: dict[str, Any] = {"bdf": BDF, "radau": Radau, "lsoda": LSODA}
# What SciPy's linear algebra raises on a matrix with NaN or without inverse; other exceptions of
# the same types are mistakes in the program and pass.
ALGEBRA = ("infs or NaNs", "singular")
# Radau asks at three stages and the end of a step, BDF and LSODA at one new time.
REMEMBERED = 8
# LSODA counts a step that is too short to move t as a success and may take them for ever, where BDF
# and Radau give up at once. A step grows tenfold when it may, so it is lost after this many.
MOST_IDLE = 100
# Radau's dense output is a cubic, less accurate than its steps of order 5 (70 rtol on the slow
# manifold of relaxation:1e4, where it also makes the loss too rough for differences). A one-step
# method stops at no cost but the stop; BDF and LSODA interpolate as well as they step, and would
# start again from first order.
ONE_STEP = ("radau",)
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

Rhs = Callable[[float, Array], Array]
Jacobian = Callable[[float, Array], Any]


@dataclass
class Cost:
    """Running total of what several solves cost."""

    steps: int = 0
    rhs: int = 0
    jacobians: int = 0
    factorisations: int = 0

    def add(self, solver: OdeSolver, steps: int) -> None:
        self.steps += steps
        self.rhs += solver.nfev
        self.jacobians += int(solver.njev)
        self.factorisations += int(solver.nlu)

    def counters(self) -> Counters:
        """As the interface reports them; SciPy does not tell how many steps it rejected."""
        return Counters(
            steps=self.steps,
            rhs_evaluations=self.rhs,
            jacobian_evaluations=self.jacobians,
            factorisations=self.factorisations,
        )


@dataclass
class Path:
    """A solve, finished up to the last of `ts`.

    `observed`: the states at the times asked for, N times (n,); `end`: the last state, shape (n,);
    `ts`: the ends of all steps, and `pieces`: the interpolant of each, empty unless kept.
    """

    end: Array
    ts: list[float]
    observed: list[Array] = field(default_factory=list)
    pieces: list[Any] = field(default_factory=list)

    @property
    def ys(self) -> Array:
        """The states at the times asked for, shape (N, n)."""
        return np.array(self.observed)

    def piece(self, t: float) -> Any:
        """The interpolant of the step that `t` lies in, t -> (n,) or (k,) -> (n, k)."""
        index = bisect_right(self.ts, t) - 1
        return self.pieces[min(max(index, 0), len(self.pieces) - 1)]


@dataclass(frozen=True)
class Scheme:
    """An integrator at a relative tolerance; `cost` adds up over all solves made with it."""

    name: str
    rtol: float
    cost: Cost = field(default_factory=Cost)

    def solve(
        self,
        rhs: Rhs,
        jacobian: Jacobian,
        y0: Array,
        span: tuple[float, float],
        atol: float | Array,
        at: Sequence[float] | Array = (),
        keep: bool = False,
        leg: str = "forward",
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> Path:
        """Integrate y' = rhs from span[0] up to span[1].

        Arguments:
            rhs, jacobian: of (t, y), shapes (n,) and (n, n), the latter dense or sparse.
            y0: shape (n,); `atol`: a number or one a state, shape (n,).
            at: increasing times in the span at which the states are returned. BDF and LSODA
                interpolate there; Radau ends a step there, see ONE_STEP.
            keep: whether to keep the dense output.
            leg: what this solve is, for messages.
            options: further ones of SciPy's class.

        Raises SolverFailure with SciPy's own message, or if a state is not finite.
        """
        stops = [*at, span[1]] if self.name in ONE_STEP else [span[1]]
        path = Path(y0, [span[0]])
        first_step = None
        for start, stop in pairwise([span[0], *stops]):
            if start == stop:
                continue
            make = partial(SCHEMES[self.name], rhs, start, path.end, stop, **options)
            first = None if first_step is None else min(first_step, stop - start)
            make = partial(make, rtol=self.rtol, atol=atol, jac=jacobian, first_step=first)
            solver = _algebra(leg, make)
            first_step = self._advance(solver, path, at, keep, f"{leg}, at {{:g}} of {span[1]:g}")
        return path

    def _advance(
        self, solver: Any, path: Path, at: Sequence[float] | Array, keep: bool, where: str
    ) -> float | None:
        """Take all of a solver's steps; the step it would like to go on with, where it says."""
        steps = idle = 0
        proposed = None
        while solver.status == "running":
            proposed = getattr(solver, "h_abs", None)
            message = _algebra(where.format(solver.t), solver.step)
            steps += 1
            idle = idle + 1 if solver.t == solver.t_old else 0
            _check(solver, message, idle, where.format(solver.t))
            while len(path.observed) < len(at) and at[len(path.observed)] <= solver.t:
                t = at[len(path.observed)]
                path.observed.append(solver.y if t == solver.t else solver.dense_output()(t))
            if keep:
                path.ts.append(solver.t)
                path.pieces.append(solver.dense_output())
        self.cost.add(solver, steps)
        path.end = solver.y
        # the last step may have been cut short by the stop: then the one before it knows better
        return None if proposed is None else max(proposed, solver.h_abs)


def _algebra(leg: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (ValueError, RuntimeError) as error:
        if not any(text in str(error) for text in ALGEBRA):
            raise
        raise SolverFailure(f"linear algebra failed: {error} ({leg})") from error


def _check(solver: OdeSolver, message: str | None, idle: int, where: str) -> None:
    if solver.status == "failed":
        raise SolverFailure(f"{message} ({where})")
    if not np.isfinite(solver.y).all():
        raise SolverFailure(f"the solution is not finite ({where})")
    if idle == MOST_IDLE:
        raise SolverFailure(f"{idle} steps in a row too short to move t, no end in sight ({where})")


def solve_forward(
    problem: Problem, scheme: Scheme, y0: Array, p: Array, atol: float, keep: bool = False
) -> Path:
    """The problem from t0 to t1, with the states at its observation times."""
    return scheme.solve(
        lambda t, y: problem.f(t, y, p),
        lambda t, y: problem.jacobian(t, y, p),
        y0,
        (problem.t0, problem.t1),
        atol,
        at=problem.times,
        keep=keep,
    )


def solve_reverse(problem: Problem, scheme: Scheme, y1: Array, p: Array, atol: float) -> Path:
    """From y1 at t1 back to t0, in s = t1 - t: at large t the spacing of t exceeds first steps."""
    t1 = problem.t1
    return scheme.solve(
        lambda s, y: -problem.f(t1 - s, y, p),
        lambda s, y: -problem.jacobian(t1 - s, y, p),
        y1,
        (0.0, t1 - problem.t0),
        atol,
        leg=f"backward from t = {t1:g}",
    )


def remember(function: Callable[[float], Array]) -> Callable[[float], Array]:
    """`function` of time with its last values kept: Newton iterations ask for one time again."""
    values: dict[float, Array] = {}

    def remembering(t: float) -> Array:
        if t not in values:
            if len(values) >= REMEMBERED:
                values.clear()
            values[t] = function(t)
        return values[t]

    return remembering
