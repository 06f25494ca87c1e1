"""Explicit midpoint rule: two stages, order 2, all weight on the second."""

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, continuous_extension, triangle

_A = triangle((), (0.5,))
_B = np.array([0.0, 1.0])
_C = np.array([0.0, 0.5])

TABLEAU = Butcher(
    name="midpoint",
    source="C. Runge, Mathematische Annalen 46 (1895)",
    order=2,
    a=_A,
    b=_B,
    c=_C,
    dense=continuous_extension(_A, _B, _C, 2),
)
