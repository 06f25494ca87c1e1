"""Continuous adjoints: backward from observation to observation, in local reversed time.

lambda' = -J(y)^T lambda with a jump dL/dy_i at every observation, dL/dy0 = lambda(t0), dL/dp = mu,
the integral of (df/dp)^T lambda (Cao, Li, Petzold & Serban 2003, SIAM J. Sci. Comput. 24, 1076).
Every leg runs in s = t_i - t: at large t the spacing of t exceeds the first steps after a jump.
"""

from collections.abc import Callable, Iterator

import numpy as np

from adapters._interface import Array, Gradient
from adapters._scipy_quadrature import integrate
from adapters._scipy_scales import curvature, parameter_scale
from adapters._scipy_solve import Jacobian, Path, Rhs, Scheme, remember, solve_forward
from problems import Problem

# Absolute tolerances as multiples of rtol times the natural size of what they bound: the adjoint
# of the largest state, and p dL/dp. A smaller factor for lambda gains nothing on ROBER and POLLU;
# mu's is smaller because that costs no steps and keeps POLLU's small components, which come from
# cancellation.
ADJOINT_FACTOR = 1e-3
INTEGRAL_FACTOR = 1e-5


def _legs(problem: Problem) -> Iterator[tuple[int, float, float]]:
    """Index and time of every observation, last first, and the time to the one before (or t0)."""
    lengths = np.diff(problem.times, prepend=problem.t0)
    for i in reversed(range(problem.times.size)):
        yield i, float(problem.times[i]), float(lengths[i])


def _name(t1: float) -> str:
    return f"backward from t = {t1:g}"


def _adjoint_atol(problem: Problem, rtol: float) -> float:
    return ADJOINT_FACTOR * rtol * problem.loss_scale / float(problem.y_scale.max())


def _integral_atol(problem: Problem, p: Array, rtol: float) -> Array:
    return INTEGRAL_FACTOR * rtol * problem.loss_scale / parameter_scale(problem, p)


def _result(problem: Problem, scheme: Scheme, ys: Array, mu: Array, adjoint: Array) -> Gradient:
    loss = float(problem.loss.value(ys, np))
    return Gradient(loss, mu.copy(), adjoint.copy(), scheme.cost.counters())


def interpolating(problem: Problem, scheme: Scheme, y0: Array, p: Array, atol: float) -> Gradient:
    """[lambda, mu] as one linear system, shape (n + m,), over the dense forward solve."""
    n, m = problem.n, problem.m
    path = solve_forward(problem, scheme, y0, p, atol, keep=True)
    jumps = problem.loss.gradient(path.ys)
    tolerance = np.concatenate(
        [np.full(n, _adjoint_atol(problem, scheme.rtol)), _integral_atol(problem, p, scheme.rtol)]
    )
    z = np.zeros(n + m)
    for i, t1, length in _legs(problem):

        def matrix(s: float, t1: float = t1) -> Array:
            t = t1 - s
            y = path.piece(t)(t)
            out = np.zeros((n + m, n + m))
            out[:n, :n] = problem.jacobian(t, y, p).T
            out[n:, :n] = problem.parameter_jacobian(t, y, p).T
            return out

        z[:n] += jumps[i]
        z = _linear(scheme, remember(matrix), z, length, tolerance, t1).end
    return _result(problem, scheme, path.ys, z[n:], z[:n])


def quadrature(problem: Problem, scheme: Scheme, y0: Array, p: Array, atol: float) -> Gradient:
    """lambda alone over the dense forward solve; mu by adaptive quadrature over both."""
    path = solve_forward(problem, scheme, y0, p, atol, keep=True)
    jumps = problem.loss.gradient(path.ys)
    tolerance = _adjoint_atol(problem, scheme.rtol)
    adjoint, mu = np.zeros(problem.n), np.zeros(problem.m)
    for i, t1, length in _legs(problem):

        def matrix(s: float, t1: float = t1) -> Array:
            t = t1 - s
            return problem.jacobian(t, path.piece(t)(t), p).T

        start = adjoint + jumps[i]
        back = _linear(scheme, remember(matrix), start, length, tolerance, t1, keep=True)
        mu += _integral(problem, scheme, path, back, t1, p)
        adjoint = back.end
    return _result(problem, scheme, path.ys, mu, adjoint)


def _linear(
    scheme: Scheme,
    matrix: Callable[[float], Array],
    z: Array,
    length: float,
    atol: float | Array,
    t1: float,
    keep: bool = False,
) -> Path:
    return scheme.solve(
        lambda s, z: matrix(s) @ z,
        lambda s, z: matrix(s),
        z,
        (0.0, length),
        atol,
        keep=keep,
        leg=_name(t1),
    )


def _integral(
    problem: Problem, scheme: Scheme, path: Path, back: Path, t1: float, p: Array
) -> Array:
    """mu of one leg. Knots of either dense output end a panel: both are smooth in between."""
    scale = parameter_scale(problem, p)
    length = back.ts[-1]
    knots = t1 - np.array(path.ts)
    knots = np.union1d(back.ts, knots[(knots > 0) & (knots < length)])

    def integrand(s: Array) -> Array:
        middle = 0.5 * (s[0] + s[-1])
        adjoints = back.piece(middle)(s)
        ys = path.piece(t1 - middle)(t1 - s)
        rows = [
            adjoints[:, k] @ problem.parameter_jacobian(t1 - s[k], ys[:, k], p)
            for k in range(s.size)
        ]
        return np.array(rows) * scale

    tolerance = INTEGRAL_FACTOR * scheme.rtol * problem.loss_scale
    return integrate(integrand, knots, tolerance) / scale


def backsolve(problem: Problem, scheme: Scheme, y0: Array, p: Array, atol: float) -> Gradient:
    """[y, lambda, mu] back from the final state; y is not reset at the observations."""
    n, m = problem.n, problem.m
    path = solve_forward(problem, scheme, y0, p, atol)
    jumps = problem.loss.gradient(path.ys)
    tolerance = np.concatenate(
        [
            np.full(n, atol),
            np.full(n, _adjoint_atol(problem, scheme.rtol)),
            _integral_atol(problem, p, scheme.rtol),
        ]
    )
    z = np.concatenate([path.end, np.zeros(n + m)])
    for i, t1, length in _legs(problem):
        z[n : 2 * n] += jumps[i]
        rhs, jacobian = _reversed(problem, t1, p)
        z = scheme.solve(rhs, jacobian, z, (0.0, length), tolerance, leg=_name(t1)).end
    return _result(problem, scheme, path.ys, z[2 * n :], z[n : 2 * n])


def _reversed(problem: Problem, t1: float, p: Array) -> tuple[Rhs, Jacobian]:
    """d[y, lambda, mu]/ds and its exact Jacobian, so that no failure is Newton's fault."""
    n = problem.n

    def rhs(s: float, z: Array) -> Array:
        y, adjoint, t = z[:n], z[n : 2 * n], t1 - s
        out = np.empty_like(z)
        out[:n] = -problem.f(t, y, p)
        out[n : 2 * n] = adjoint @ problem.jacobian(t, y, p)
        out[2 * n :] = adjoint @ problem.parameter_jacobian(t, y, p)
        return out

    def jacobian(s: float, z: Array) -> Array:
        y, adjoint, t = z[:n], z[n : 2 * n], t1 - s
        second, mixed = curvature(problem, t, y, p)
        slope = problem.jacobian(t, y, p)
        out = np.zeros((z.size, z.size))
        out[:n, :n] = -slope
        out[n : 2 * n, :n] = (adjoint @ second).T
        out[2 * n :, :n] = (adjoint @ mixed).T
        out[n : 2 * n, n : 2 * n] = slope.T
        out[2 * n :, n : 2 * n] = problem.parameter_jacobian(t, y, p).T
        return out

    return rhs, jacobian
