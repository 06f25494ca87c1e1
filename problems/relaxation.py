"""Prothero-Robinson relaxation onto cos t: a slow manifold whose gradient is of order lambda^-2."""

import numpy as np

from problems._losses import LinearLoss
from problems._problem import Problem
from problems.linear import canonical_argument as canonical_argument

OBSERVATIONS = np.linspace(0.1, 1.0, 10)
ARGUMENT = "LAMBDA, the decay rate in 1/s (default 1e4)"
OPTIONS = {"off": "start off the slow manifold, at y(0) = 2 instead of 1"}


def rhs(t, y, p, xp):
    # t may be a plain number, which array namespaces do not take: the sum makes it an array
    return -p[0] * (y - xp.cos(t + 0.0 * y))


def exact(t, y0, p):
    """y = a cos t + b sin t + (y0 - a) exp(-lambda t), a = lambda b, b = lambda/(1 + lambda^2)."""
    # so written the derivatives, of order lambda^-2, lose no digits to cancellation
    a = 1 / (1 + p[0] ** -2)
    b = 1 / (p[0] + 1 / p[0])
    return a * np.cos(t) + b * np.sin(t) + (y0 - a) * np.exp(-p[0] * t)


def make(name: str, argument: str, off: bool = False) -> Problem:
    """y' = -lambda (y - cos t) on [0, 1], L = sum of y at 10 equidistant times."""
    decay = float(argument)
    return Problem(
        name=name,
        title=f"Relaxation onto cos t, lambda = {decay:g}, "
        + ("off" if off else "on")
        + " its slow manifold",
        citation="Prothero & Robinson 1974, Math. Comp. 28, 145",
        states=("y",),
        parameters=("lambda [1/s]",),
        rhs=rhs,
        y0=np.array([2.0 if off else 1.0]),
        p=np.array([decay]),
        t0=0.0,
        times=OBSERVATIONS,
        log_times=False,
        loss=LinearLoss((1.0,)),
        y_scale=np.array([1.0]),
        p_scale=np.array([decay]),
        atol_factor=1e-3,
        stiff_parameters=(0,),
        exact=exact,
    )
