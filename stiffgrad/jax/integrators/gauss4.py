"""Gauss4: the Gauss method of two stages, order 4, A-stable and not L-stable."""

import math

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, collocation

_C = np.array([0.5 - math.sqrt(3) / 6, 0.5 + math.sqrt(3) / 6])
_A, _B, _DENSE = collocation(_C)

TABLEAU = Butcher(
    name="gauss4",
    source="E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, table IV.5.1",
    order=4,
    a=_A,
    b=_B,
    c=_C,
    dense=_DENSE,
)
