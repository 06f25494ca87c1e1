"""The coefficients of a Rosenbrock method."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class RosenbrockTableau:
    """Coefficients in the form that needs no product with the Jacobian.

    With `W = I/(h gamma) - J` and `J`, `f_t` the derivatives of f at the start of the step
    (Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.7, eq. 7.25):

        W u_i = f(t + c_i h, y + sum_j a_ij u_j) + sum_j C_ij u_j / h + h d_i f_t
        y_new = y + sum_i m_i u_i,        error = sum_i e_i u_i
        y(t + theta h) = y + sum_k theta^(k+1) sum_i dense_ki u_i

    Attributes:
        name: the name by which `solve` knows it.
        source: where the coefficients were published.
        order: order of the solution.
        error_order: order of the embedded solution; the step size follows its next power.
        gamma, a, C, c, d, m, e, dense: the coefficients, `a` and `C` strictly lower triangular.
    """

    name: str
    source: str
    order: int
    error_order: int
    gamma: float
    a: np.ndarray
    C: np.ndarray
    c: np.ndarray
    d: np.ndarray
    m: np.ndarray
    e: np.ndarray
    dense: np.ndarray

    @property
    def stages(self) -> int:
        return len(self.m)


def lower(*rows: tuple[float, ...]) -> np.ndarray:
    """Strictly lower triangular matrix from its rows, the empty first row left out."""
    matrix = np.zeros((len(rows) + 1, len(rows) + 1))
    for i, row in enumerate(rows, start=1):
        matrix[i, : len(row)] = row
    return matrix


def continuation(m: np.ndarray, *rows: tuple[float, ...]) -> np.ndarray:
    """Polynomial coefficients of the dense output in the form of the Rodas codes.

    With `K_r = sum_i rows[r]_i u_i` it is
    `y(t + theta h) = (1 - theta) y + theta (y_new + (1 - theta) (K_1 + theta (K_2 + ...)))`
    (Hairer and Wanner, Solving Ordinary Differential Equations II, eq. VI.4.27).
    """
    K = [np.pad(np.array(row), (0, len(m) - len(row))) for row in rows]
    zero = np.zeros_like(m)
    differences = np.array([*K, zero]) - np.array([zero, *K])
    differences[0] += m
    return differences
