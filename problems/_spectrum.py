"""How stiff a problem is: the extreme eigenvalues of its Jacobian along the trajectory."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems._mass import consistent, modes, ordinary
from problems._problem import Problem, ProblemError

Array = NDArray[np.float64]

# The trajectory needs no more digits than eigenvalues are read with.
RTOL = 1e-6
ATOL_FACTOR = 1e-9
# A mode that moves by less than this over the whole time span counts as conserved: rounding turns
# the zero eigenvalues of linear invariants into about this much.
CONSERVED = 1e-6


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of df/dy at t0 and at every observation time, real parts in 1/time.

    With a mass matrix M those of the pencil (df/dy, M), the infinite ones left out.
    Arrays of shape (N + 1,): `times`; `fastest`, the real part largest in magnitude; `slowest`, the
    smallest that is not zero; `growing`, the largest positive one, or 0; `frequency`, the largest
    imaginary part; `conserved`, how many are zero; `index`, the stiffness index
    Re(lambda_max) / Re(lambda_min) (t1 - t0) of Kim et al. 2021, eq. 5, zero eigenvalues left out
    (with them it would be infinite wherever something is conserved), NaN where all are zero.
    `span` is t1 - t0. Where `slowest` lies sixteen decades below `fastest`, only its first digit is
    to be trusted.
    """

    times: Array
    fastest: Array
    slowest: Array
    growing: Array
    frequency: Array
    conserved: NDArray[np.int64]
    index: Array
    span: float


def spectrum(problem: Problem) -> Spectrum:
    """The spectrum along the trajectory, solved for on the way (SciPy's Radau).

    Raises ProblemError where the trajectory cannot be computed.
    """
    times = np.concatenate([[problem.t0], problem.times])
    states = _trajectory(problem, times)
    span = problem.t1 - problem.t0
    rows = [_extremes(modes(problem, t, y), span) for t, y in zip(times, states, strict=True)]
    fastest, slowest, growing, frequency, conserved = np.array(rows).T
    ratio = np.full(times.shape, np.nan)
    np.divide(fastest, slowest, out=ratio, where=slowest != 0)
    zeros = conserved.astype(np.int64)
    return Spectrum(times, fastest, slowest, growing, frequency, zeros, ratio * span, span)


def _trajectory(problem: Problem, times: Array) -> Array:
    from scipy.integrate import solve_ivp

    slope, matrix = ordinary(problem, problem.p)
    solution = solve_ivp(
        slope,
        (problem.t0, problem.t1),
        consistent(problem, problem.y0, problem.p),
        method="Radau",
        t_eval=times,
        rtol=RTOL,
        atol=ATOL_FACTOR * problem.y_scale,
        jac=matrix,
    )
    if not solution.success:
        raise ProblemError(f"{problem.name}: no trajectory, {solution.message}")
    return solution.y.T


def _extremes(values: NDArray[Any], span: float) -> tuple[float, float, float, float, int]:
    real = values.real[np.abs(values) * span > CONSERVED]
    conserved = values.size - real.size
    if real.size == 0:
        return 0.0, 0.0, 0.0, 0.0, conserved
    by_size = real[np.argsort(np.abs(real))]
    fastest, slowest = float(by_size[-1]), float(by_size[0])
    rounding = values.size * np.finfo(float).eps * abs(fastest)
    growing = float(real.max()) if real.max() > rounding else 0.0
    return fastest, slowest, growing, float(np.max(values.imag)), conserved
