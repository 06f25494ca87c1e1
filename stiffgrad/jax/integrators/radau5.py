"""Radau5: the Radau IIA method of three stages, order 5, L-stable and stiffly accurate."""

import math

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, collocation

_ROOT = math.sqrt(6)
_C = np.array([(4 - _ROOT) / 10, (4 + _ROOT) / 10, 1.0])
_A, _B, _DENSE = collocation(_C)
# The real eigenvalue of A.
_GAMMA = (6 + 81 ** (1 / 3) - 9 ** (1 / 3)) / 30

TABLEAU = Butcher(
    name="radau5",
    source=(
        "E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, 2nd edition, "
        "Springer 1996, table IV.5.6; error estimate of eq. IV.8.19"
    ),
    order=5,
    a=_A,
    b=_B,
    c=_C,
    # The book gives it in Y_j - y = sum_i a_ji u_i.
    error=_A.T @ np.array([-13 - 7 * _ROOT, -13 + 7 * _ROOT, -1.0]) * _GAMMA / 3,
    error_order=3,
    start=_GAMMA,
    filter=_GAMMA,
    dense=_DENSE,
)
