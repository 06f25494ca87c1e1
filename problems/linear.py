"""The linear test equation y' = -lambda y: everything about it is known in closed form."""

import numpy as np

from problems._losses import LinearLoss
from problems._problem import Problem, ProblemError, log_spaced

# From 1e-6 to 1 the observations see the decay itself for every lambda up to 1e6.
OBSERVATIONS = log_spaced(1e-6, 1.0, 13)
DEFAULT_LAMBDA = "1e4"
ARGUMENT = "LAMBDA, the decay rate in 1/s (default 1e4)"


def rhs(t, y, p, xp):
    del t, xp
    return -p[0] * y


def exact(t, y0, p):
    return y0 * np.exp(-p[0] * t)


def canonical_argument(argument: str | None) -> str:
    """The decay rate after the colon, in 1/time, in its shortest form; 1e4 where none is given.

    Raises ProblemError for anything but a positive number.
    """
    try:
        value = float(DEFAULT_LAMBDA if argument is None else argument)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ProblemError(f"lambda must be a positive number, such as 1e4, not {argument!r}")
    mantissa, exponent = f"{value:.16e}".split("e")
    scientific = f"{float(mantissa):.15g}e{int(exponent)}"
    plain = f"{value:.15g}"
    return plain if len(plain) < len(scientific) else scientific


def make(name: str, argument: str) -> Problem:
    """y' = -lambda y on [0, 1], y(0) = 1, L = sum of y at 13 log-spaced times."""
    decay = float(argument)
    return Problem(
        name=name,
        title=f"Linear test equation, lambda = {decay:g}",
        citation="Dahlquist 1963, BIT 3, 27; as a reversibility test: Kim et al. 2021, Chaos 31, "
        "093122, section II",
        states=("y",),
        parameters=("lambda [1/s]",),
        rhs=rhs,
        y0=np.array([1.0]),
        p=np.array([decay]),
        t0=0.0,
        times=OBSERVATIONS,
        log_times=True,
        loss=LinearLoss((1.0,)),
        y_scale=np.array([1.0]),
        p_scale=np.array([decay]),
        atol_factor=1e-3,
        stiff_parameters=(0,),
        exact=exact,
    )
