"""Members of a problem: itself and neighbours with other parameters, one alone or many at once.

Member 0 is the problem itself; member k has the parameters p exp(0.1 z_k), z_k being standard
normal numbers that depend on k alone. A mass matrix has its algebraic equations satisfied anew.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from problems._mass import consistent
from problems._problem import Problem, ProblemError

Array = NDArray[np.float64]

# Size and seed of the perturbation of log p.
PERTURBATION = 0.1
SEED = 20261122
# Parameters are kept for every member.
MOST = 10**6


def member(problem: Problem, value: str | None) -> Problem:
    """The variant `member=K`: that one alone."""
    number = _whole("member", value)
    factors = _factors(problem, number + 1)[number]
    p = problem.p * factors
    y0 = consistent(problem, problem.y0, p)
    return replace(problem, p=p, y0=y0, p_scale=problem.p_scale * factors)


def batch(problem: Problem, value: str | None) -> Problem:
    """The variant `batch=N`: members 0 to N - 1, with `p` of shape (N, m) and `y0` (N, n)."""
    p = problem.p * _factors(problem, _whole("batch", value))
    y0 = np.broadcast_to(problem.y0, (len(p), problem.n))
    if problem.mass is not None:
        y0 = np.stack([consistent(problem, problem.y0, row) for row in p])
    return replace(problem, p=p, y0=y0)


def _factors(problem: Problem, count: int) -> Array:
    """What multiplies the parameters of the first `count` members, shape (count, m)."""
    draws = np.random.default_rng(SEED).standard_normal((count - 1, problem.m))
    return np.exp(PERTURBATION * np.vstack([np.zeros(problem.m), draws]))


def _whole(variant: str, value: str | None) -> int:
    if value is None or not value.isascii() or not value.isdecimal() or value.startswith("0"):
        number = 0
    else:
        number = int(value)
    if not 1 <= number <= MOST:
        own = "; member 0 is the problem itself" if variant == "member" else ""
        raise ProblemError(
            f"variant {variant}={value or ''}: needs a whole number from 1 to {MOST}{own}, "
            f"for example {variant}=3"
        )
    return number
