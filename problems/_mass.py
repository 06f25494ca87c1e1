"""Problems with a mass matrix, M y' = f(t, y, p): where they may start, and how they move.

M is constant and may be singular, of index 1: the rows N of its left null space give the algebraic
equations N f = 0, which determine the part of y in its right null space (Hairer & Wanner 1996,
Solving Ordinary Differential Equations II, section VI.1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems._problem import COMPLEX_STEP, Problem, ProblemError

Array = NDArray[np.float64]

# Newton's method for the algebraic equations: it ends at rounding, after few iterations.
NEWTON_LIMIT = 50
ROUNDINGS = 4.0


@dataclass(frozen=True)
class Parts:
    """M = rows^T diag(weights) columns with orthonormal rows; `algebraic` and `free` span the rest.

    Shapes: `rows`, `columns` (r, n), `weights` (r,), `algebraic`, `free` (n - r, n), r the rank.
    """

    rows: Array
    columns: Array
    weights: Array
    algebraic: Array
    free: Array


def parts(mass: Array) -> Parts:
    """The singular value decomposition of a mass matrix, cut at its rank."""
    left, weights, right = np.linalg.svd(mass)
    rank = int(np.sum(weights > weights[0] * len(mass) * np.finfo(float).eps)) if mass.any() else 0
    return Parts(left.T[:rank], right[:rank], weights[:rank], left.T[rank:], right[rank:])


def consistent(problem: Problem, y0: Array, p: Array) -> Array:
    """y0 with the algebraic equations satisfied at t0 by a change in the null space of M alone.

    Without a mass matrix y0 itself. Raises ProblemError where Newton's method finds no such state.
    """
    if problem.mass is None:
        return y0
    split = parts(problem.mass)
    y, last = y0, np.inf
    for _ in range(NEWTON_LIMIT):
        residual = split.algebraic @ problem.f(problem.t0, y, p)
        matrix = split.algebraic @ problem.jacobian(problem.t0, y, p) @ split.free.T
        change = split.free.T @ _solved(problem, matrix, residual)
        size = float(np.max(np.abs(change) / problem.y_scale, initial=0.0))
        if not size < np.inf:
            break
        y = y - change
        if size <= ROUNDINGS * np.finfo(float).eps or (size < 1e-9 and size > last / 2):
            return y
        last = size
    raise ProblemError(f"{problem.name}: no state near {y0} satisfies the algebraic equations")


def ordinary(
    problem: Problem, p: Array
) -> tuple[Callable[[float, Array], Array], Callable[[float, Array], Array]]:
    """y' as a function of (t, y), and a matrix close to its derivative, both of NumPy arrays.

    With a singular M the algebraic equations are differentiated once, which index 1 allows; from a
    consistent state the solutions are those of the problem, with the equations as invariants. The
    matrix leaves out how the differentiated equations bend: good enough for Newton's method.
    """
    if problem.mass is None:
        return (
            lambda t, y: problem.f(t, y, p),
            lambda t, y: problem.jacobian(t, y, p),
        )
    mass, split = problem.mass, parts(problem.mass)
    none = np.zeros((len(split.algebraic), problem.n))

    def left(t: float, y: Array) -> Array:
        return np.vstack([split.rows @ mass, split.algebraic @ problem.jacobian(t, y, p)])

    def slope(t: float, y: Array) -> Array:
        moved = problem.rhs(t + 1j * COMPLEX_STEP, np.asarray(y, complex), p, np).imag
        right = [split.rows @ problem.f(t, y, p), -split.algebraic @ moved / COMPLEX_STEP]
        return _solved(problem, left(t, y), np.concatenate(right))

    def matrix(t: float, y: Array) -> Array:
        right = np.vstack([split.rows @ problem.jacobian(t, y, p), none])
        return _solved(problem, left(t, y), right)

    return slope, matrix


def modes(problem: Problem, t: float, y: Array) -> NDArray[Any]:
    """The finite eigenvalues, real or complex, of the pencil (df/dy, M): as many as M's rank."""
    jacobian = problem.jacobian(t, y, problem.p)
    if problem.mass is None:
        return np.linalg.eigvals(jacobian)
    split = parts(problem.mass)
    inner = split.rows @ jacobian @ split.columns.T
    if len(split.algebraic):
        across = split.algebraic @ jacobian
        slaved = _solved(problem, across @ split.free.T, across @ split.columns.T)
        inner = inner - split.rows @ jacobian @ split.free.T @ slaved
    return np.linalg.eigvals(inner / split.weights[:, None])


def _solved(problem: Problem, matrix: Array, right: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise ProblemError(
            f"{problem.name}: its algebraic equations do not determine the states in the null "
            "space of the mass matrix; only index 1 is supported"
        ) from None
