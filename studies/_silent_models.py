"""Two mechanisms of silent errors in a few lines of NumPy, differentiated by complex step.

A Rosenbrock step whose Jacobian is taken for a constant; an adaptive explicit scheme whose step
sizes are taken for constants, or are not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from studies._study import StudyError

COMPLEX_STEP = 1e-40
# Bogacki & Shampine 1989, Appl. Math. Lett. 2, 321: nodes, weights of order 3, and their
# difference from those of order 2.
_A = ((), (1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9))
_E = (-5 / 72, 1 / 12, 1 / 9, -1 / 8)
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0
_FIRST_STEP, _MOST_STEPS = 0.01, 20000


@dataclass(frozen=True)
class Rosenbrock:
    """Coefficients in the form that solves for the increments (Hairer & Wanner 1996, IV.7)."""

    gamma: float
    a: Any
    C: Any
    m: Any


def ros2() -> Rosenbrock:
    """ROS2 with gamma = 1 - 1/sqrt 2 (Verwer et al. 1999, SIAM J. Sci. Comput. 20, 1456)."""
    g = 1 - 0.5**0.5
    return Rosenbrock(g, [[0, 0], [1 / g, 0]], [[0, 0], [-2 / g, 0]], [1.5 / g, 0.5 / g])


def step(scheme: Any, rate: complex, jacobian: complex) -> complex:
    """One step of size 1 of y' = rate y from y = 1."""
    increments: list[complex] = []
    for a, c in zip(scheme.a, scheme.C, strict=True):
        point = 1 + sum(x * u for x, u in zip(a, increments, strict=False))
        slope = rate * point + sum(x * u for x, u in zip(c, increments, strict=False))
        increments.append(slope / (1 / scheme.gamma - jacobian))
    return 1 + sum(x * u for x, u in zip(scheme.m, increments, strict=True))


def frozen_ratio(scheme: Any, z: float) -> float:
    """dR/dz with the Jacobian taken for a constant, over dR/dz."""
    moved = z + 1j * COMPLEX_STEP
    return float(step(scheme, moved, z).imag / step(scheme, moved, moved).imag)


def adaptive(
    rate: float, source: complex, y0: float, rtol: float, frozen: bool
) -> tuple[complex, int]:
    """y(1) of y' = source - rate y, and the steps that it took.

    An I-controller. A complex `source` carries its tangent through the steps and, unless `frozen`,
    through their sizes; where the error is exactly zero, the growth is a constant.

    Raises StudyError if the end is not reached.
    """
    t, y, h = 0.0 + 0j, y0 + 0j, _FIRST_STEP + 0j
    for count in range(_MOST_STEPS):
        if t.real >= 1.0:
            return y, count
        h = h if h.real < 1.0 - t.real else 1.0 - t
        h = complex(h.real) if frozen else h
        slopes: list[complex] = []
        for weights in _A:
            point = y + h * sum(w * k for w, k in zip(weights, slopes, strict=True))
            slopes.append(source - rate * point)
        gap = h * sum(w * k for w, k in zip(_E, slopes, strict=True))
        largest = point if abs(point.real) > abs(y.real) else y
        error = _absolute(gap) / (rtol * (1 + _absolute(largest)))
        if error.real <= 1:
            t, y = t + h, point
        h = h * _factor(error)
    raise StudyError(f"the adaptive scheme took more than {_MOST_STEPS} steps")


def _absolute(x: complex) -> complex:
    return x if x.real >= 0 else -x


def _factor(error: complex) -> complex:
    if error.real == 0:
        return complex(_GROW)
    wanted = _SAFETY * error ** (-1 / 3)
    return (
        wanted if _SHRINK < wanted.real < _GROW else complex(np.clip(wanted.real, _SHRINK, _GROW))
    )


def sensitivity(rate: float, y0: float, rtol: float, how: str) -> tuple[float, int]:
    """dy(1)/dlog p2 of the equilibrium problem from y0, and the steps taken.

    Arguments:
        how: "skipped" (step sizes held fixed), "differentiated", or "differences" (central, with
            a step of rtol^(1/3), of the program as it is).
    """
    if how == "differences":
        h = rtol ** (1 / 3)
        (up, steps), (down, _) = (
            adaptive(rate, rate * np.exp(s), y0, rtol, frozen=True) for s in (h, -h)
        )
        return (up.real - down.real) / (2 * h), steps
    source = rate * (1 + 1j * COMPLEX_STEP)
    y, steps = adaptive(rate, source, y0, rtol, frozen=how == "skipped")
    return y.imag / COMPLEX_STEP, steps
