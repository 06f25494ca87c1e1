"""What the strategies need of a problem besides f and its Jacobians: scales, second derivatives."""

import numpy as np

from adapters._interface import Array
from problems import Problem

# Forward differences of an analytic Jacobian, which only ever enter a Newton matrix: half of the
# digits are plenty there (the usual choice of step, Dennis & Schnabel 1983, section 5.4).
DIFFERENCE = float(np.sqrt(np.finfo(np.float64).eps))


def parameter_scale(problem: Problem, p: Array) -> Array:
    """The weight of every dL/dp for absolute tolerances, shape (m,).

    One solver serves problems that differ in p and its scale: where the problem scales a parameter
    by its own value, so does this, with the value at hand.
    """
    own = (problem.p_scale == np.abs(problem.p)) & (p != 0)
    return np.where(own, np.abs(p), problem.p_scale)


def curvature(problem: Problem, t: float, y: Array, p: Array) -> tuple[Array, Array]:
    """d(df/dy)/dy_k and d(df/dp)/dy_k by forward differences, shapes (n, n, n) and (n, n, m).

    k comes first.
    """
    base, base_p = problem.jacobian(t, y, p), problem.parameter_jacobian(t, y, p)
    second = np.empty((problem.n, *base.shape))
    mixed = np.empty((problem.n, *base_p.shape))
    for k, scale in enumerate(problem.y_scale):
        moved = y.copy()
        moved[k] += DIFFERENCE * max(scale, abs(y[k]))
        step = moved[k] - y[k]
        second[k] = (problem.jacobian(t, moved, p) - base) / step
        mixed[k] = (problem.parameter_jacobian(t, moved, p) - base_p) / step
    return second, mixed
