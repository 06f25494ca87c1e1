"""Radau3: the Radau IIA method of two stages, order 3, L-stable and stiffly accurate.

Its error estimate is made as that of Radau5: the embedded formula of order 2 has the weight gamma
on the slope at the start, and is filtered. A has no real eigenvalue; gamma is the modulus of its
pair of complex ones.
"""

import math

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, collocation

_C = np.array([1 / 3, 1.0])
_A, _B, _DENSE = collocation(_C)
_GAMMA = 1 / math.sqrt(6)

TABLEAU = Butcher(
    name="radau3",
    source=(
        "E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, 2nd edition, "
        "Springer 1996, table IV.5.5"
    ),
    order=3,
    a=_A,
    b=_B,
    c=_C,
    error=_GAMMA * np.array([-1.5, 0.5]),
    error_order=2,
    start=_GAMMA,
    filter=_GAMMA,
    dense=_DENSE,
)
