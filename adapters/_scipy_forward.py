"""Continuous forward sensitivities: the states and their derivatives as one system.

S' = J(y) S + [df/dp, 0], S(t0) = [0, I] (Dickinson & Gelinas 1976, J. Comput. Phys. 21, 123). The
unknown is kept as rows [y; dy/dp_1; ..; dy/dp_m; dy/dy0_1; ..; dy/dy0_n], shape (1 + m + n, n).
"""

from typing import Any

import numpy as np
from scipy import sparse

from adapters._interface import Array, Gradient
from adapters._scipy_scales import curvature, parameter_scale
from adapters._scipy_solve import Jacobian, Scheme
from problems import Problem


def forward(problem: Problem, scheme: Scheme, y0: Array, p: Array, atol: float) -> Gradient:
    """Loss and gradient with all sensitivities under error control.

    The tolerance of a sensitivity is `atol` over the scale of what it is taken with respect to
    (Hindmarsh et al. 2005, ACM TOMS 31, 363, section 4.2).
    """
    n, m = problem.n, problem.m
    scale = np.concatenate([np.ones(1), parameter_scale(problem, p), problem.y_scale])
    start = np.vstack([y0, np.zeros((m, n)), np.eye(n)])
    path = scheme.solve(
        lambda t, z: _rhs(problem, t, z.reshape(-1, n), p).ravel(),
        _banded(problem, p) if scheme.name == "lsoda" else _sparse(problem, p),
        start.ravel(),
        (problem.t0, problem.t1),
        np.repeat(atol / scale, n),
        at=problem.times,
        options={"lband": n - 1, "uband": n - 1} if scheme.name == "lsoda" else {},
    )
    rows = path.ys.reshape(-1, 1 + m + n, n)
    ys = rows[:, 0]
    gradient = np.einsum("ti,tki->k", problem.loss.gradient(ys), rows[:, 1:])
    return Gradient(
        float(problem.loss.value(ys, np)), gradient[:m], gradient[m:], scheme.cost.counters()
    )


def _rhs(problem: Problem, t: float, rows: Array, p: Array) -> Array:
    y = rows[0]
    out = np.empty_like(rows)
    out[0] = problem.f(t, y, p)
    np.matmul(rows[1:], problem.jacobian(t, y, p).T, out=out[1:])
    out[1 : 1 + problem.m] += problem.parameter_jacobian(t, y, p).T
    return out


def _sparse(problem: Problem, p: Array) -> Jacobian:
    """The full Jacobian: J in every diagonal block and d(S')/dy in the first block column.

    Without that column BDF takes three times the steps on ROBER at 1e-6: Newton's iteration then
    needs a second round that SciPy's convergence test counts as divergence.
    """
    n, m = problem.n, problem.m
    blocks = sparse.identity(1 + m + n, format="csc")

    def jacobian(t: float, z: Array) -> Any:
        rows = z.reshape(-1, n)
        second, mixed = curvature(problem, t, rows[0], p)
        column = np.zeros((n, 1 + m + n, n))
        column[:, 1:] = rows[1:] @ second.transpose(0, 2, 1)
        column[:, 1 : 1 + m] += mixed.transpose(0, 2, 1)
        coupling = sparse.csc_matrix(column.reshape(n, -1).T)
        coupling.resize(z.size, z.size)
        diagonal = sparse.csc_matrix(problem.jacobian(t, rows[0], p))
        return sparse.kron(blocks, diagonal, format="csc") + coupling

    return jacobian


def _banded(problem: Problem, p: Array) -> Jacobian:
    """The diagonal blocks alone, in LSODA's packed form: half-bandwidth n - 1.

    LSODA takes no sparse matrix, and a dense one of n (1 + m + n) states makes POLLU's gradient
    fifty times as slow. Dropping the coupling column changes Newton's iteration, not what it
    converges to (the simultaneous corrector of CVODES).
    """
    n = problem.n
    i, j = np.indices((n, n))

    def jacobian(t: float, z: Array) -> Array:
        band = np.zeros((2 * n - 1, n))
        band[i - j + n - 1, j] = problem.jacobian(t, z[:n], p)
        return np.tile(band, z.size // n)

    return jacobian
