"""TR-BDF2: a trapezoidal step and one of BDF2 behind it, order 2, L-stable."""

import math

import numpy as np

from stiffgrad.jax.integrators._butcher import Butcher, hermite, triangle

_GAMMA = 2 - math.sqrt(2)
_D = _GAMMA / 2
_W = math.sqrt(2) / 4
_B = np.array([_W, _W, _D])

TABLEAU = Butcher(
    name="tr-bdf2",
    source=(
        "R. E. Bank et al., IEEE Trans. on Electron Devices 32 (1985), in the form of M. E. Hosea "
        "and L. F. Shampine, Applied Numerical Mathematics 20 (1996), with their error estimate"
    ),
    order=2,
    a=triangle((), (_D, _D), (_W, _W, _D)),
    b=_B,
    c=np.array([0.0, _GAMMA, 1.0]),
    error=_B - np.array([(1 - _W) / 3, (3 * _W + 1) / 3, _D / 3]),
    error_order=2,
    filter=_D,
    dense=hermite(_B),
)
