"""Central differences of the forward solve, by numdifftools."""

import numpy as np

from adapters._interface import Array, Gradient
from adapters._scipy_scales import parameter_scale
from adapters._scipy_solve import Scheme, solve_forward
from problems import Problem

# The loss of two neighbouring solves differs by noise of this share of rtol (accepted and rejected
# steps change places), measured on ROBER and POLLU: up to 0.5 with LSODA, 0.01 with Radau.
NOISE = 0.1


def finite_difference(
    problem: Problem, scheme: Scheme, y0: Array, p: Array, atol: float
) -> Gradient:
    """Loss and gradient by differences of second order, one step a component.

    The step relative to the scale of a parameter or state is h = (NOISE rtol)^(1/3): the error is
    about NOISE rtol / h from the solver's noise and h^2 from truncation, least where they are
    alike. A state is stepped by h times its magnitude over the run, which exists where y0 = 0;
    it then takes a small value of either sign.
    """
    import numdifftools

    m = problem.m
    scale = np.concatenate([parameter_scale(problem, p), problem.y_scale])
    centre = np.concatenate([p, y0])

    def loss(shift: Array) -> float:
        point = centre + scale * shift
        path = solve_forward(problem, scheme, point[m:], point[:m], atol)
        return float(problem.loss.value(path.ys, np))

    step = (NOISE * scheme.rtol) ** (1 / 3)
    slopes = numdifftools.Gradient(loss, step=step, method="central", order=2)
    gradient = np.atleast_1d(slopes(np.zeros(centre.size))) / scale
    return Gradient(loss(np.zeros(centre.size)), gradient[:m], gradient[m:], scheme.cost.counters())
