"""Rosenbrock23: three stages, order 2(3), L-stable; for loose tolerances.

The method of Matlab's ode23s, whose third stage serves the error estimate alone. Written here in
the product-free form: with `k` the stages of the paper, `h gamma k_1 = u_1`,
`h gamma (k_2 - k_1) = u_2` and `h gamma (k_3 - e_32 (k_2 - k_1) - 2 k_1) = u_3`.
"""

import math

import numpy as np

from stiffgrad.jax.integrators._tableau import RosenbrockTableau, lower

_GAMMA = 1 / (2 + math.sqrt(2))
_E32 = 6 + math.sqrt(2)

TABLEAU = RosenbrockTableau(
    name="rosenbrock23",
    source=(
        "L. F. Shampine and M. W. Reichelt, The MATLAB ODE suite, SIAM J. Sci. Comput. 18 (1997), "
        "section 2.2"
    ),
    order=2,
    error_order=2,
    gamma=_GAMMA,
    a=lower((0.5 / _GAMMA,), (1 / _GAMMA, 1 / _GAMMA)),
    C=lower((-1 / _GAMMA,), (-2 / _GAMMA, -_E32 / _GAMMA)),
    c=np.array([0.0, 0.5, 1.0]),
    d=np.array([_GAMMA, 0.0, -_GAMMA]),
    m=np.array([1 / _GAMMA, 1 / _GAMMA, 0.0]),
    e=np.array([1.0, _E32 - 2.0, 1.0]) / (6 * _GAMMA),
    dense=np.array([[1 - 2 * _GAMMA, -2 * _GAMMA, 0.0], [0.0, 1.0, 0.0]])
    / (_GAMMA * (1 - 2 * _GAMMA)),
)
