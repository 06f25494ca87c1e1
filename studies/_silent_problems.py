"""Problems of the study of silent errors, with their true gradients."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems import LinearLoss, Problem, get_problem

Array = NDArray[np.float64]
COLLECTED = "collected:"
# As in problems: exact to rounding for analytic functions.
COMPLEX_STEP = 1e-40


def _collect(t: Any, y: Any, p: Any, xp: Any) -> Any:
    del t
    return xp.stack([-p[0] * y[0], y[0]])


def _collected(t: float, y0: Any, p: Any) -> Any:
    left = np.exp(-p[0] * t)
    return np.stack([y0[0] * left, y0[1] + y0[0] * (1 - left) / p[0]])


def collected(rate: float) -> Problem:
    """y1' = -lambda y1, y2' = y1 from (1, 0); L = y2(1).

    The linear test equation with a state that remembers it: dL/dlog lambda is about -1/lambda,
    not e^-lambda, and all of it comes from the start, where a way back has to arrive.
    """
    return Problem(
        name=f"{COLLECTED}{rate:g}",
        title=f"Linear test equation and its integral, lambda = {rate:g}",
        citation="Dahlquist 1963, BIT 3, 27",
        states=("y1", "y2 [s]"),
        parameters=("lambda [1/s]",),
        rhs=_collect,
        y0=np.array([1.0, 0.0]),
        p=np.array([rate]),
        t0=0.0,
        times=np.array([1.0]),
        log_times=False,
        loss=LinearLoss((0.0, 1.0)),
        y_scale=np.array([1.0, 1.0 / rate]),
        p_scale=np.array([rate]),
        atol_factor=1e-3,
        exact=_collected,
    )


def problem_named(name: str) -> Problem:
    """A registered problem, or `collected:LAMBDA`."""
    if name.startswith(COLLECTED):
        return collected(float(name.removeprefix(COLLECTED)))
    return get_problem(name)


@lru_cache(maxsize=32)
def truth(name: str) -> tuple[float, Array]:
    """(loss, dL/dlog p of shape (m,)): from the closed form, or else certified."""
    problem = problem_named(name)
    if problem.exact is None:
        from suite import references

        found = references.load(problem)
        return found.loss, found.gradient_p * problem.p_scale
    columns = []
    for j in range(problem.m):
        p = problem.p.astype(complex)
        p[j] *= 1 + 1j * COMPLEX_STEP
        ys = np.stack([problem.exact(t, problem.y0, p) for t in problem.times])
        columns.append(np.sum(problem.loss.gradient(ys.real) * ys.imag) / COMPLEX_STEP)
    return float(problem.loss.value(ys.real, np)), np.array(columns)
