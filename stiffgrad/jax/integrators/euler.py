"""Explicit Euler: one stage, order 1."""

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher

TABLEAU = Butcher(
    name="euler",
    source="L. Euler, Institutionum calculi integralis I (1768), section 650",
    order=1,
    a=np.zeros((1, 1)),
    b=np.ones(1),
    c=np.zeros(1),
    dense=np.ones((1, 1)),
)
