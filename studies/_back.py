"""The way back as a forward problem, so that any registered method can be watched on it."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import Solver, SolverFailure
from problems import Problem

Array = NDArray[np.float64]


def way_back(problem: Problem, y1: Array, distances: Array) -> Problem:
    """dy/ds = -f(t1 - s, y) from `y1`, shape (n,), observed at increasing `distances` s from t1."""
    t1 = problem.t1

    def rhs(s: Any, y: Any, p: Any, xp: Any) -> Any:
        return -problem.rhs(t1 - s, y, p, xp)

    return replace(
        problem,
        name=f"{problem.name} backward",
        rhs=rhs,
        y0=y1,
        t0=0.0,
        times=distances,
        given_jacobian=lambda s, y, p: -problem.jacobian(t1 - s, y, p),
        given_parameter_jacobian=lambda s, y, p: -problem.parameter_jacobian(t1 - s, y, p),
    )


def as_far_as_it_goes(load: Any, back: Problem, rtol: float, atol: float) -> tuple[Array, str]:
    """States at the first of the observation times that are reached, shape (k, n), and why no more.

    Arguments:
        load: from a problem to a Solver. A solve that fails hands nothing over, so the longest
            stretch that succeeds is sought by bisection.
    """
    reached, beyond, why = 0, back.times.size + 1, ""
    states = np.empty((0, back.n))
    tried = back.times.size
    while beyond - reached > 1:
        part = replace(back, times=back.times[:tried])
        solver: Solver = load(part)
        try:
            found = solver.forward(part.y0, part.p, rtol, atol)().ys
        except SolverFailure as failure:
            beyond, why = tried, str(failure)
        else:
            states, reached = found, tried
        tried = (reached + beyond) // 2
        if tried == 0:
            break
    return states, why
