"""Lobatto IIIC of two stages: order 2, L-stable, with a stability function of order z^-2."""

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, continuous_extension

_A = np.array([[0.5, -0.5], [0.5, 0.5]])
_C = np.array([0.0, 1.0])

TABLEAU = Butcher(
    name="lobatto-iiic2",
    source=(
        "F. H. Chipman, BIT 11 (1971); E. Hairer and G. Wanner, Solving Ordinary Differential "
        "Equations II, table IV.5.11"
    ),
    order=2,
    a=_A,
    b=_A[-1],
    c=_C,
    dense=continuous_extension(_A, _A[-1], _C, 2),
)
