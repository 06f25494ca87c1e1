"""A backsolve adjoint with the states reset at every observation, made of any registered one.

Between two observations the loss is the adjoint dotted with the state at the later one, and its
gradient with respect to the state at the earlier one is the adjoint there. Each stretch is a
problem of its own, whose backsolve starts from the forward solve's own state.
"""

from dataclasses import replace

import numpy as np

from adapters import Gradient, SolverFailure, get_method, load
from problems import LinearLoss, Problem


def with_resets(problem: Problem, name: str, rtol: float, atol: float) -> Gradient:
    """The gradient of `problem` by the method `name`, which starts anew at every observation.

    Raises SolverFailure, naming the stretch, with the method's own message.
    """
    method = get_method(name)
    starts = np.concatenate([[problem.t0], problem.times[:-1]])
    there = load(problem, method).forward(problem.y0, problem.p, rtol, atol)().ys
    jumps = problem.loss.gradient(there)
    before = np.vstack([problem.y0, there[:-1]])
    adjoint, total = np.zeros(problem.n), np.zeros(problem.m)
    for i in reversed(range(problem.times.size)):
        weights = tuple((adjoint + jumps[i]).tolist())
        leg = replace(
            problem,
            t0=float(starts[i]),
            times=problem.times[i : i + 1],
            y0=before[i],
            loss=LinearLoss(weights),
        )
        try:
            found = load(leg, method).gradient(leg.y0, leg.p, rtol, atol)()
        except SolverFailure as failure:
            raise SolverFailure(f"{failure} (between t = {leg.t0:g} and {leg.t1:g})") from failure
        adjoint, total = found.y0, total + found.p
    return Gradient(float(problem.loss.value(there, np)), total, adjoint)
