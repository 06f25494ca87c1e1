"""SciPy's Radau on the states and their forward sensitivities as one large system."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.integrate import Radau

from suite._scaled import Answer, CertificationError, Scaled

Array = NDArray[np.float64]

NAME = "SciPy Radau on the forward sensitivity equations"
ATOL_FACTOR = 1e-3
# Where a factorisation of the whole system starts to cost more than sparse bookkeeping.
DENSE_LIMIT = 200
# Scaled step of the differences behind the Newton matrix; they cannot change what it converges to.
CURVATURE_STEP = 1e-4


def integrate(scaled: Scaled, rtol: float) -> tuple[Array, Answer]:
    """The accepted mesh, shape (K,), and the loss with its gradient.

    All sensitivities are under error control, at absolute tolerance ATOL_FACTOR rtol in scaled
    variables; the integration ends on every observation, so nothing is interpolated. Raises
    CertificationError with the solver's message where it fails.
    """
    system = _System(scaled)
    t, state, step = scaled.problem.t0, system.start(), None
    mesh, states = [t], []
    for end in scaled.problem.times.tolist():
        solver = Radau(
            system.rhs,
            t,
            state,
            end,
            rtol=rtol,
            atol=ATOL_FACTOR * rtol,
            jac=system.jacobian,
            first_step=None if step is None else min(step, end - t),
        )
        while solver.status == "running":
            intended = solver.h_abs
            message = solver.step()
            mesh.append(solver.t)
        if solver.status == "failed":
            raise CertificationError(f"{scaled.problem.name}: {NAME}: {message}")
        # the last step was cut short to end on the observation
        t, state, step = end, solver.y, max(intended, solver.h_abs)
        states.append(system.split(state))
    settings: dict[str, float | int] = {
        "rtol": rtol,
        "atol_scaled": ATOL_FACTOR * rtol,
        "steps": len(mesh) - 1,
    }
    ys = np.array([y for y, _ in states])
    return np.array(mesh), scaled.answer(NAME, settings, ys, np.array([s for _, s in states]))


class _System:
    """z = (y, each column of dy/d(p, y0)), one flat vector of size n (1 + q)."""

    def __init__(self, scaled: Scaled) -> None:
        self._scaled = scaled
        self._n = scaled.problem.n

    def start(self) -> Array:
        y, sensitivities = self._scaled.start()
        return np.concatenate([y, sensitivities.T.ravel()])

    def split(self, z: Array) -> tuple[Array, Array]:
        """y of shape (n,), sensitivities of shape (n, q)."""
        return z[: self._n], z[self._n :].reshape(-1, self._n).T

    def rhs(self, t: float, z: Array) -> Array:
        y, sensitivities = self.split(z)
        slope = self._scaled.jacobian(t, y) @ sensitivities
        slope[:, : self._scaled.problem.m] += self._scaled.parameter_jacobian(t, y)
        return np.concatenate([self._scaled.rhs(t, y), slope.T.ravel()])

    def jacobian(self, t: float, z: Array):
        """Block lower triangular: df/dy down the diagonal, its curvature in the first columns."""
        y, sensitivities = self.split(z)
        diagonal = self._scaled.jacobian(t, y)
        curvature = self._curvature(t, y, sensitivities)
        blocks = self._scaled.q + 1
        if z.size <= DENSE_LIMIT:
            matrix = np.kron(np.eye(blocks), diagonal)
            matrix[self._n :, : self._n] = curvature
            return matrix
        left = sparse.coo_array(curvature)
        shape = (z.size, z.size)
        below = sparse.coo_array((left.data, (left.row + self._n, left.col)), shape=shape)
        return (sparse.kron(sparse.eye_array(blocks), diagonal) + below).tocsc()

    def _curvature(self, t: float, y: Array, sensitivities: Array) -> Array:
        """d(J S + df/dp)/dy, shape (n q, n), by central differences (exact for quadratic rates)."""
        columns = []
        for j in range(self._n):
            step = np.zeros(self._n)
            step[j] = CURVATURE_STEP
            change = self._difference(self._scaled.jacobian, t, y, step) @ sensitivities
            change[:, : self._scaled.problem.m] += self._difference(
                self._scaled.parameter_jacobian, t, y, step
            )
            columns.append(change.T.ravel())
        return np.array(columns).T

    @staticmethod
    def _difference(function, t: float, y: Array, step: Array) -> Array:
        return (function(t, y + step) - function(t, y - step)) / (2 * CURVATURE_STEP)
