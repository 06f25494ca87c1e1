"""Trapezoidal rule: order 2, A-stable and not L-stable; damps no stiff component."""

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, hermite, triangle

_B = np.array([0.5, 0.5])

TABLEAU = Butcher(
    name="trapezoid",
    source="J. Crank and P. Nicolson, Proc. Cambridge Philosophical Society 43 (1947)",
    order=2,
    a=triangle((), (0.5, 0.5)),
    b=_B,
    c=np.array([0.0, 1.0]),
    dense=hermite(_B),
)
