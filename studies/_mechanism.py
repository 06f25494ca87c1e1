"""What an error of y2 does on the way back along Robertson's reaction, measured piece by piece."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import get_method, load
from problems import Problem, get_problem
from studies._back import as_far_as_it_goes, way_back
from studies._journal import Row

Array = NDArray[np.float64]
# Kim et al. 2021, III.A: the error of y2 that they saw, and how far from t1.
Y2_ERROR, DISTANCE = 1e-10, 1e5 - 99999.98999
# A tenth of the adjoint's layer at t1, and the time in which y2's error grows a thousandfold.
SMALL_STEP, SMALL_SPAN = 1e-5, 7e-4
DISTANCES = np.concatenate([np.geomspace(1e-4, 9e4, 55), [DISTANCE]])


def amplification() -> list[Row]:
    """Rows `quantity`, `value`: the chain from an error of y2 to one of the gradient, at t1.

    Over the hundredth of a second in question the state stands still, so the adjoint
    lambda' = J^T lambda starting at dL/dy(t1) = (1, 0, 0) is a matrix exponential.
    """
    from scipy.linalg import expm

    problem = get_problem("rober")
    y, p = _end(problem), problem.p
    off = y + Y2_ERROR * np.array([0.0, 1.0, 0.0])
    jacobian, wrong = (problem.jacobian(problem.t1, state, p) for state in (y, off))
    adjoint, misled = (
        expm(matrix.T * DISTANCE) @ problem.loss.gradient(y[None])[0]
        for matrix in (jacobian, wrong)
    )
    slope, wrong_slope = (problem.parameter_jacobian(problem.t1, s, p) for s in (y, off))
    found = {
        "2 k2": 2 * p[1],
        "amplification": abs(wrong - jacobian)[1, 1] / Y2_ERROR,
        "adjoint slope error": np.abs((wrong - jacobian).T @ adjoint).max(),
        "gradient slope error": np.abs((wrong_slope - slope).T @ adjoint).max(),
        "log gradient slope error": np.abs(p * ((wrong_slope - slope).T @ adjoint)).max(),
        "adjoint slope terms": np.abs(jacobian.T * adjoint).max(),
        "adjoint error": np.abs(misled - adjoint).max() / np.abs(adjoint).max(),
        "adjoint first steps": _first_steps(jacobian, problem),
        "growth rate backward": float(np.linalg.eigvals(-jacobian).real.max()),
    }
    return [{"part": "mechanism", "quantity": k, "value": float(v)} for k, v in found.items()]


def _first_steps(jacobian: Array, problem: Problem) -> float:
    """Mean step, s, that SciPy's BDF takes through the adjoint's layer at rtol = 1e-6.

    The layer: three times the reciprocal of the fastest eigenvalue.
    """
    from scipy.integrate import BDF

    layer = 3.0 / float(np.abs(np.linalg.eigvals(jacobian)).max())
    jump = problem.loss.gradient(problem.y0[None])[0]
    matrix = jacobian.T
    solver = BDF(lambda s, z: matrix @ z, 0.0, jump, layer, rtol=1e-6, atol=1e-9, jac=matrix)
    steps = 0
    while solver.status == "running":
        solver.step()
        steps += 1
    return layer / steps


def _end(problem: Problem) -> Array:
    solver = load(problem, get_method("scipy/radau/forward"))
    return solver.forward(problem.y0, problem.p, 1e-10, 1e-16)().ys[-1]


def y2_back(part: str, method: str, rtol: float) -> list[Row]:
    """|y2 - true y2| along a way back with atol = rtol, and where it stopped."""
    problem = get_problem("rober")
    chosen = get_method(method)
    there = load(problem, chosen).forward(problem.y0, problem.p, rtol, rtol)().ys
    distances = np.sort(DISTANCES)
    back = way_back(problem, there[-1], distances)

    def bound(stretch: Problem) -> Any:
        return load(stretch, chosen)

    states, why = as_far_as_it_goes(bound, back, rtol, rtol)
    true = _true(problem, problem.t1 - distances)
    return [
        {"s": float(s), "t": float(problem.t1 - s), "y2_error": float(gap), "stopped": why}
        for s, gap in zip(distances, np.abs(states[:, 1] - true[: len(states), 1]), strict=False)
    ]


def y2_in_small_steps() -> list[Row]:
    """|y2 - true y2| on a way back whose steps are as short as the adjoint's first ones.

    The adjoint starts with a layer of 1e-4 s that error control resolves; the states, integrated
    beside it, are then followed along their growing mode instead of being damped.
    """
    from scipy.integrate import solve_ivp

    problem = get_problem("rober")
    start = _end(problem)
    start[1] += Y2_ERROR
    s = np.linspace(0.0, SMALL_SPAN, 41)
    back = way_back(problem, start, s[1:])
    found = solve_ivp(
        lambda t, y: back.f(t, y, problem.p),
        (0.0, SMALL_SPAN),
        start,
        method="BDF",
        t_eval=s,
        max_step=SMALL_STEP,
        rtol=1e-8,
        atol=1e-16,
        jac=lambda t, y: back.jacobian(t, y, problem.p),
    )
    gaps = np.abs(found.y[1] - _end(problem)[1])
    return [
        {"part": "small steps", "status": "ok", "s": float(t), "y2_error": float(gap)}
        for t, gap in zip(found.t, gaps, strict=True)
    ]


def _true(problem: Problem, times: Array) -> Array:
    """States at decreasing times, in the same order."""
    observed = replace(problem, times=times[::-1])
    solver = load(observed, get_method("scipy/radau/forward"))
    return solver.forward(problem.y0, problem.p, 1e-10, 1e-16)().ys[::-1]
