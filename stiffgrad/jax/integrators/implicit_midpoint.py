"""Implicit midpoint rule: one stage, order 2, A-stable and not L-stable."""

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher

TABLEAU = Butcher(
    name="implicit-midpoint",
    source="E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, section IV.3",
    order=2,
    a=np.full((1, 1), 0.5),
    b=np.ones(1),
    c=np.full(1, 0.5),
    dense=np.ones((1, 1)),
)
