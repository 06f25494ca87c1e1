"""Heun: two explicit stages, order 2(1); the weights are equal, so layers count alike."""

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, continuous_extension, triangle

_A = triangle((), (1.0,))
_B = np.array([0.5, 0.5])
_C = np.array([0.0, 1.0])

TABLEAU = Butcher(
    name="heun",
    source="K. Heun, Zeitschrift fuer Mathematik und Physik 45 (1900); Euler's method is embedded",
    order=2,
    a=_A,
    b=_B,
    c=_C,
    error=_B - [1.0, 0.0],
    error_order=1,
    dense=continuous_extension(_A, _B, _C, 2),
)
