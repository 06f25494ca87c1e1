"""The coefficients of a Runge-Kutta method."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.polynomial import Polynomial


@dataclasses.dataclass(frozen=True, eq=False)
class Butcher:
    """Coefficients of a Runge-Kutta method, explicit, diagonally implicit or fully implicit.

    With the increments `u_i = h k_i` of its stages

        M u_i = h f(t + c_i h, Y_i),      Y_i = y + sum_j a_ij u_j,
        y_new = y + sum_i b_i u_i,        y(t + theta h) = y + sum_k theta^(k+1) sum_i dense_ki u_i

    and, where it estimates its error, the estimate `sum_i error_i u_i + start h M^-1 f(t, y)`. That
    grows without bound with the stiffness where `error` alone is not a difference of two stiffly
    accurate solutions; `(I - filter h M^-1 f_y)^-1` in front of it cures that (Shampine and Baca,
    Applied Mathematics Letters 5, 1984, and Hairer and Wanner, Solving Ordinary Differential
    Equations II, eq. IV.8.19).

    Attributes:
        name: the name by which `solve` knows it.
        source: where the coefficients were published.
        order: order of the solution.
        a, b, c: the coefficients; `a` is (s, s).
        error: weights of the estimate, (s,), or None for a method of fixed steps.
        error_order: order of the embedded solution; the step size follows its next power.
        start: weight of the slope at the start of the step in the estimate.
        filter: the number above, or 0 for an estimate that is left as it is.
        dense: (degree, s); of no rows for a method without dense output.
    """

    name: str
    source: str
    order: int
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    error: np.ndarray | None = None
    error_order: int = 0
    start: float = 0.0
    filter: float = 0.0
    dense: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def stages(self) -> int:
        return len(self.b)

    @property
    def coupled(self) -> bool:
        """Whether stages depend on later ones."""
        return bool(np.triu(self.a, 1).any())

    @property
    def stiffly_accurate(self) -> bool:
        """Whether the last stage is the solution."""
        return np.array_equal(self.a[-1], self.b)

    @property
    def explicit_stages(self) -> int:
        """How many stages, the first ones, need no equation solved."""
        explicit = np.diagonal(self.a) == 0
        return int(np.argmin(explicit)) if not explicit.all() else self.stages


def triangle(*rows: tuple[float, ...]) -> np.ndarray:
    """Lower triangular matrix from the beginnings of its rows."""
    matrix = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix


def hermite(b: np.ndarray) -> np.ndarray:
    """Dense output by the cubic through values and slopes at both ends of a step.

    For methods whose first stage is the start of the step and whose last is its end.
    """
    first, last = np.eye(len(b))[[0, -1]]
    return np.array([first, 3 * b - 2 * first - last, first + last - 2 * b])


def continuous_extension(a: np.ndarray, b: np.ndarray, c: np.ndarray, order: int) -> np.ndarray:
    """The smallest weights of degree `order` that make a dense output of that order, at most 3.

    They satisfy the order conditions `b(theta)^T phi = theta^q / gamma` of every rooted tree of q
    nodes up to the order (Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I,
    section II.6) and are b at the end of the step; of the solutions that of least Euclidean norm.

    Args:
        a, b, c: of the method.
        order: of the dense output.

    Raises:
        ValueError: if there are none.
    """
    s = len(b)
    conditions: list[np.ndarray] = []
    values: list[float] = []

    def demand(place: np.ndarray, phi: np.ndarray, value: float) -> None:
        conditions.append(np.outer(place, phi).ravel())
        values.append(value)

    for q, phi, density in _trees(a, c):
        if q <= order:
            for k in range(order):
                demand(np.eye(order)[k], phi, 1 / density if q == k + 1 else 0.0)
    for i, unit in enumerate(np.eye(s)):
        demand(np.ones(order), unit, b[i])
    matrix, wanted = np.array(conditions), np.array(values)
    found = np.linalg.lstsq(matrix, wanted, rcond=1e-10)[0]
    if np.abs(matrix @ found - wanted).max() > 1e-12:
        raise ValueError(f"the method has no dense output of order {order} on its stages")
    return found.reshape(order, s)


def _trees(a: np.ndarray, c: np.ndarray) -> list[tuple[int, np.ndarray, float]]:
    """Nodes, elementary weights by stage and densities of the rooted trees of up to 3 nodes."""
    return [
        (1, np.ones_like(c), 1.0),
        (2, c, 2.0),
        (3, c**2, 3.0),
        (3, a @ c, 6.0),
    ]


def collocation(c: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, b and dense output of the collocation method with nodes c.

    The collocation polynomial is the dense output (Hairer and Wanner, Solving Ordinary
    Differential Equations II, section IV.5 and theorem II.7.7 of volume I).
    """
    integrals = []
    for i in range(len(c)):
        others = np.delete(c, i)
        basis = Polynomial.fromroots(others) / np.prod(c[i] - others)
        integrals.append(basis.integ())
    a = np.array([[integral(node) for integral in integrals] for node in c])
    b = a[-1] if c[-1] == 1 else np.array([integral(1.0) for integral in integrals])
    return a, b, np.array([integral.coef[1:] for integral in integrals]).T
