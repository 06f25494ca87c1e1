"""Backward Euler: one implicit stage, order 1, L-stable."""

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher

TABLEAU = Butcher(
    name="backward-euler",
    source="E. Hairer and G. Wanner, Solving Ordinary Differential Equations II, eq. IV.3.1",
    order=1,
    a=np.ones((1, 1)),
    b=np.ones(1),
    c=np.ones(1),
    dense=np.ones((1, 1)),
)
