"""Tsit5: seven explicit stages, order 5(4); for problems that are not stiff.

On a stiff problem its gradient can be wrong by orders of magnitude while its states look right.
"""

import numpy as np
from numpy.polynomial import Polynomial

from stiffgrad.jax.integrators._butcher import Butcher, triangle

_B = np.array(
    [
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
        0.0,
    ]
)
_B_EMBEDDED = np.array(
    [
        0.09468075576583945,
        0.009183565540343254,
        0.4877705284247616,
        1.234297566930479,
        -2.7077123499835256,
        1.866628418170587,
        1 / 66,
    ]
)


def _interpolant() -> np.ndarray:
    """The polynomials b_i(theta) of section 4, from their factors; powers of theta by row."""
    x = Polynomial([0.0, 1.0])
    by_stage = [
        -1.0530884977290216
        * x
        * (x - 1.3299890189751412)
        * (x**2 - 1.4364028541716351 * x + 0.7139816917074209),
        0.1017 * x**2 * (x**2 - 2.1966568338249754 * x + 1.2949852507374631),
        2.490627285651252793 * x**2 * (x**2 - 2.38535645472061657 * x + 1.57803468208092486),
        -16.54810288924490272 * (x - 1.21712927295533244) * (x - 0.61620406037800089) * x**2,
        47.37952196281928122 * (x - 1.203071208372362603) * (x - 0.658047292653547382) * x**2,
        -34.87065786149660974 * (x - 1.2) * (x - 2 / 3) * x**2,
        2.5 * (x - 1) * (x - 0.6) * x**2,
    ]
    return np.array([b.coef[1:] for b in by_stage]).T


TABLEAU = Butcher(
    name="tsit5",
    source="Ch. Tsitouras, Computers and Mathematics with Applications 62 (2011), tables 1 and 2",
    order=5,
    a=triangle(
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.028269050394068383,
        ),
        (*_B[:6],),
    ),
    b=_B,
    c=np.array([0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0]),
    error=_B - _B_EMBEDDED,
    error_order=4,
    dense=_interpolant(),
)
