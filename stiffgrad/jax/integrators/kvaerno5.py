"""Kvaerno5: seven stages, the first of them explicit, order 5(4), L-stable.

Both solutions of the pair are stiffly accurate, so that its error estimate needs no filter.
"""

from stiffgrad.jax.integrators._butcher import Butcher, hermite, triangle

_GAMMA = 0.26
_A = triangle(
    (),
    (_GAMMA, _GAMMA),
    (0.13, 0.84033320996790809, _GAMMA),
    (0.22371961478320505, 0.47675532319799699, -0.06470895363112615, _GAMMA),
    (0.16648564323248321, 0.10450018841591720, 0.03631482272098715, -0.13090704451073998, _GAMMA),
    (
        0.13855640231268224,
        0.0,
        -0.04245337201752043,
        0.02446657898003141,
        0.61943039072480676,
        _GAMMA,
    ),
    (
        0.13659751177640291,
        0.0,
        -0.05496908796538376,
        -0.04118626728321046,
        0.62993304899016403,
        0.06962479448202728,
        _GAMMA,
    ),
)
_C = _A.sum(axis=1)

TABLEAU = Butcher(
    name="kvaerno5",
    source="A. Kvaerno, BIT Numerical Mathematics 44 (2004), the pair of order 5/4",
    order=5,
    a=_A,
    b=_A[-1],
    c=_C,
    error=_A[-1] - _A[-2],
    error_order=4,
    # One of order 4 on these stages is 30 times less accurate where the problem is stiff (ROBER at
    # rtol 1e-8): the inner ones are right to order 2 alone.
    dense=hermite(_A[-1]),
)
