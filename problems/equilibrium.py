"""A decay started at rest: the state stands still, and shows nothing of what its gradient does."""

import numpy as np

from problems._losses import LinearLoss
from problems._problem import Problem
from problems.linear import canonical_argument as canonical_decay

DEFAULT_RATE = "20"
ARGUMENT = "P1, the decay rate in 1/s (default 20)"
OPTIONS = {"off": "start off the equilibrium, at y(0) = 2 instead of 1"}


def rhs(t, y, p, xp):
    del t, xp
    return p[1] - p[0] * y


def exact(t, y0, p):
    """y = p2/p1 + (y0 - p2/p1) exp(-p1 t)."""
    rest = p[1] / p[0]
    return rest + (y0 - rest) * np.exp(-p[0] * t)


def canonical_argument(argument: str | None) -> str:
    """The decay rate after the colon, in 1/time; 20 where none is given.

    Raises ProblemError for anything but a positive number.
    """
    return canonical_decay(DEFAULT_RATE if argument is None else argument)


def make(name: str, argument: str, off: bool = False) -> Problem:
    """y' = p2 - p1 y on [0, 1], p2 = p1, y(0) = 1 = p2/p1, L = y(1).

    f vanishes in floating point too, so that an error estimate of the states is 0 at any step,
    while dy/dlog p2 = 1 - exp(-p1 t) has a transient that the steps ought to resolve.
    """
    rate = float(argument)
    return Problem(
        name=name,
        title=f"Decay started {'off' if off else 'at'} its equilibrium, rate {rate:g}",
        citation="a linear ODE on which AD of adaptive solvers does not converge is reported at "
        "WCCM-ECCOMAS 2026, 'Automatic Differentiation of Adaptive Solvers Does Not Always "
        "Converge to the Correct Derivatives'",
        states=("y",),
        parameters=("p1 [1/s]", "p2 [1/s]"),
        rhs=rhs,
        y0=np.array([2.0 if off else 1.0]),
        p=np.array([rate, rate]),
        t0=0.0,
        times=np.array([1.0]),
        log_times=False,
        loss=LinearLoss((1.0,)),
        y_scale=np.array([1.0]),
        p_scale=np.array([rate, rate]),
        atol_factor=1e-3,
        stiff_parameters=(0, 1),
        exact=exact,
    )
