"""Gauss6: the Gauss method of three stages, order 6, A-stable and not L-stable."""

import math

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, collocation

_C = np.array([0.5 - math.sqrt(15) / 10, 0.5, 0.5 + math.sqrt(15) / 10])
_A, _B, _DENSE = collocation(_C)

TABLEAU = Butcher(
    name="gauss6",
    source="E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, table IV.5.2",
    order=6,
    a=_A,
    b=_B,
    c=_C,
    dense=_DENSE,
)
