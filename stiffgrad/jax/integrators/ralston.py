"""Ralston: two explicit stages, order 2, of least bound on the local error."""

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, continuous_extension, triangle

_A = triangle((), (2 / 3,))
_B = np.array([0.25, 0.75])
_C = np.array([0.0, 2 / 3])

TABLEAU = Butcher(
    name="ralston",
    source="A. Ralston, Mathematics of Computation 16 (1962), eq. 2.9",
    order=2,
    a=_A,
    b=_B,
    c=_C,
    dense=continuous_extension(_A, _B, _C, 2),
)
