"""The solver behind all methods of the SciPy adapter."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from adapters._interface import (
    Array,
    Call,
    Gradient,
    Method,
    Result,
    Solution,
    Solver,
    SolverFailure,
)
from adapters._scipy_adjoint import backsolve, interpolating, quadrature
from adapters._scipy_difference import finite_difference
from adapters._scipy_forward import forward
from adapters._scipy_solve import Scheme, solve_forward, solve_reverse
from problems import Problem

GRADIENTS: dict[str, Callable[[Problem, Scheme, Array, Array, float], Gradient]] = {
    "finite-difference": finite_difference,
    "forward": forward,
    "backsolve": backsolve,
    "interpolating": interpolating,
    "quadrature": quadrature,
}


class SciPySolver(Solver):
    """One of SciPy's integrators with one strategy; keeps nothing from call to call."""

    def __init__(self, problem: Problem, method: Method) -> None:
        super().__init__(problem, method)
        self._gradient = GRADIENTS[method.strategy]

    def forward(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        def work() -> Solution:
            scheme = Scheme(self.method.integrator, rtol)
            path = solve_forward(self.problem, scheme, y0, p, atol)
            return Solution(path.ys, scheme.cost.counters())

        return _call(work)

    def gradient(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Gradient]:
        def work() -> Gradient:
            scheme = Scheme(self.method.integrator, rtol)
            return self._gradient(self.problem, scheme, y0, p, atol)

        return _call(work)

    def reverse(self, y1: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        def work() -> Solution:
            scheme = Scheme(self.method.integrator, rtol)
            path = solve_reverse(self.problem, scheme, y1, p, atol)
            return Solution(path.end, scheme.cost.counters())

        return _call(work)


def _call(work: Callable[[], Result]) -> Call[Result]:
    return Call(lambda: _run(work), _read)


def _run(work: Callable[[], Result]) -> Result | SolverFailure:
    """The result or the failure, with what the solver warned of: LSODA gives its reason so.

    Overflow in a diverging solve is no warning here, because every state is checked.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            try:
                result: Any = work()
            except SolverFailure as failure:
                reasons = dict.fromkeys([str(failure), *(str(w.message) for w in caught)])
                return SolverFailure("; ".join(reasons))
    for w in caught:
        warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    return result


def _read(raw: Any) -> Any:
    if isinstance(raw, SolverFailure):
        raise raw
    return raw
