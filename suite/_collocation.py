"""Radau IIA collocation of order 13 on a given mesh, with its exact discrete sensitivities.

Radau IIA: Hairer & Wanner 1996, Solving Ordinary Differential Equations II, section IV.5; its
high orders: Hairer & Wanner 1999, J. Comput. Appl. Math. 111, 93.
"""

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.linalg import lu_factor, lu_solve
from scipy.special import roots_jacobi

from suite._scaled import Answer, CertificationError, Scaled

Array = NDArray[np.float64]

STAGES = 7
NAME = "Radau IIA collocation, discrete forward sensitivities"
# Newton goes on below this scaled update until rounding keeps it from shrinking.
CONVERGED = 1e-9
NEWTON_LIMIT = 30


@lru_cache(maxsize=2)
def radau_iia(stages: int) -> tuple[Array, Array]:
    """Nodes c, shape (s,), and matrix A, shape (s, s), to rounding.

    The nodes on [-1, 1] are the zeros of the Jacobi polynomial P(1,0) of degree s - 1, and 1. A
    integrates the interpolant in the Legendre basis, where the conditioning is harmless.
    """
    x = np.append(roots_jacobi(stages - 1, 1, 0)[0], 1.0)
    values = legendre.legvander(x, stages)
    degrees = np.arange(1, stages)
    integrals = np.empty((stages, stages))
    integrals[:, 0] = x + 1
    integrals[:, 1:] = (values[:, 2:] - values[:, :-2]) / (2 * degrees + 1)
    weights = np.linalg.solve(values[:, :-1].T, integrals.T).T
    return (x + 1) / 2, weights / 2


def halved(mesh: Array) -> Array:
    """The mesh with every interval cut in two."""
    return np.sort(np.concatenate([mesh, (mesh[1:] + mesh[:-1]) / 2]))


def collocate(scaled: Scaled, mesh: Array) -> Answer:
    """Loss and gradient by collocation on `mesh`, shape (K,), which holds t0 and all observations.

    Raises CertificationError where Newton's method does not converge to rounding.
    """
    y, sensitivities = scaled.start()
    observed = set(scaled.problem.times.tolist())
    ys, derivatives = [], []
    for left, right in zip(mesh[:-1].tolist(), mesh[1:].tolist(), strict=True):
        y, sensitivities = _step(scaled, left, right - left, y, sensitivities)
        if right in observed:
            ys.append(y)
            derivatives.append(sensitivities)
    settings: dict[str, float | int] = {"stages": STAGES, "intervals": mesh.size - 1}
    return scaled.answer(NAME, settings, np.array(ys), np.array(derivatives))


def _step(
    scaled: Scaled, t: float, h: float, y: Array, sensitivities: Array
) -> tuple[Array, Array]:
    nodes, a = radau_iia(STAGES)
    times = t + nodes * h
    # unknown are the stages' increments over y: no digits are lost where the state hardly moves
    increments = np.zeros((STAGES, y.size))
    last = np.inf
    for _ in range(NEWTON_LIMIT):
        slopes = np.array([scaled.rhs(*stage) for stage in zip(times, y + increments, strict=True)])
        jacobians = _stacked(scaled.jacobian, times, y + increments)
        solver = _StageSolver(h, a, jacobians)
        update = solver(h * (a @ slopes) - increments)
        increments = increments + update
        size = float(np.max(np.abs(update)))
        if not size < np.inf:
            break
        if size < CONVERGED and (size > last / 2 or size < np.finfo(float).eps):
            forcing = jacobians @ sensitivities
            forcing[:, :, : scaled.problem.m] += _stacked(
                scaled.parameter_jacobian, times, y + increments
            )
            change = solver(h * np.einsum("ij,jnq->inq", a, forcing))
            return y + increments[-1], sensitivities + change[-1]
        last = size
    raise CertificationError(
        f"{scaled.problem.name}: collocation did not converge on [{t:g}, {t + h:g}]"
    )


def _stacked(function, times: Array, states: Array) -> Array:
    return np.array([function(t, y) for t, y in zip(times, states, strict=True)])


class _StageSolver:
    """Solves (I - h A ⊗ J) x = b for all stages at once, J of shape (s, n, n) one a stage.

    Rows are equilibrated and the solution refined once: with rates over sixteen decades, plain
    elimination loses eight digits.
    """

    def __init__(self, h: float, a: Array, jacobians: Array) -> None:
        size = jacobians.shape[0] * jacobians.shape[1]
        matrix = -h * np.einsum("ij,jkl->ikjl", a, jacobians).reshape(size, size)
        matrix[np.diag_indices(size)] += 1
        self._rows = 1 / np.max(np.abs(matrix), axis=1, keepdims=True)
        self._matrix = matrix * self._rows
        self._factors = lu_factor(self._matrix, check_finite=False)

    def __call__(self, right: Array) -> Array:
        flat = self._rows * right.reshape(len(self._rows), -1)
        x = lu_solve(self._factors, flat, check_finite=False)
        x += lu_solve(self._factors, flat - self._matrix @ x, check_finite=False)
        return x.reshape(right.shape)
