"""SDIRK2: two implicit stages with one diagonal coefficient, order 2, L-stable.

Its error estimate is the second divided difference of the slopes at the start and at the stages,
scaled so that it is exact to leading order on linear problems, and filtered.
"""

import math

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, continuous_extension, triangle

_GAMMA = 1 - 1 / math.sqrt(2)
_A = triangle((_GAMMA,), (1 - _GAMMA, _GAMMA))
_B = np.array([1 - _GAMMA, _GAMMA])
_C = np.array([_GAMMA, 1.0])
# The order condition of y' = J y that the method misses, over the difference's share of it.
_SCALE = (_B @ _A @ _C - 1 / 6) / _GAMMA

TABLEAU = Butcher(
    name="sdirk2",
    source="R. Alexander, SIAM Journal on Numerical Analysis 14 (1977), theorem 5",
    order=2,
    a=_A,
    b=_B,
    c=_C,
    error=_SCALE * np.array([-1 / _GAMMA, 1.0]) / (1 - _GAMMA),
    error_order=2,
    start=_SCALE / _GAMMA,
    filter=_GAMMA,
    dense=continuous_extension(_A, _B, _C, 2),
)
