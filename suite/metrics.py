"""How far off a gradient is: pure functions of numbers already computed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from problems import Problem, consistent

Array = NDArray[np.float64]

# A block (parameters, initial states) that is this small a part of the whole gradient is weighed
# against this part of the whole: its relative error alone would say nothing.
BLOCK_FLOOR = 1e-3
# A gradient below this part of the loss's natural size is compared absolutely: the true gradient
# of a decayed transient is zero, and no tolerance promises digits of it.
LOSS_FLOOR = 1e-8
# Components with fewer certified digits are left out of the worst component.
WORST_DIGITS = 6.0

# The finite-difference check: one seeded direction a block, and its largest step as a power of
# rtol, large enough to drown the noise that step-size control puts on the loss.
DIRECTION_SEED = 314159
BLOCKS = 2
STEP_POWER = 0.25
# Six steps are the fewest with which numdifftools' own error estimate bounds the error of a noisy
# function (checked with noise from 0 to 1e-6).
STEPS = 6


@dataclass(frozen=True)
class GradientError:
    """Relative errors in log parameters and scaled initial states; `total` is the larger one."""

    total: float
    p: float
    y0: float
    worst: float


def gradient_error(
    problem: Problem,
    p: Array,
    y0: Array,
    true_p: Array,
    true_y0: Array,
    digits_p: Array,
    digits_y0: Array,
) -> GradientError:
    """Errors of dL/dp (m,) and dL/dy0 (n,) against the certified ones.

    The norm of each block's error is taken relative to the norm of the true block, but at least
    to BLOCK_FLOOR of the whole gradient and to LOSS_FLOOR of the loss's natural size.
    """
    blocks = [(p - true_p) * problem.p_scale, (y0 - true_y0) * problem.y_scale]
    true = [true_p * problem.p_scale, true_y0 * problem.y_scale]
    of_p, of_y0 = (
        _norm(block) / size for block, size in zip(blocks, _sizes(problem, true), strict=True)
    )
    certified = np.concatenate([digits_p, digits_y0]) >= WORST_DIGITS
    size = np.abs(np.concatenate(true))
    counted = certified & (size > LOSS_FLOOR * problem.loss_scale * np.finfo(float).eps)
    relative = np.abs(np.concatenate(blocks))[counted] / size[counted]
    worst = float(relative.max()) if relative.size else float("nan")
    return GradientError(max(of_p, of_y0), of_p, of_y0, worst)


def _sizes(problem: Problem, blocks: list[Array]) -> list[float]:
    """What the errors of the blocks of a scaled gradient are taken relative to."""
    floor = max(LOSS_FLOOR * problem.loss_scale, BLOCK_FLOOR * _norm(np.concatenate(blocks)))
    return [max(_norm(block), floor) for block in blocks]


def _norm(vector: Array) -> float:
    return float(np.linalg.norm(vector))


def reversibility_error(problem: Problem, recovered: Array) -> float:
    """‖y recovered at t0 - y0‖ / ‖y0‖ in the states' own units (Kim et al. 2021, figure 1)."""
    return _norm(recovered - problem.y0) / _norm(problem.y0)


def directions(problem: Problem) -> list[Array]:
    """A direction in log parameters (m,) and one in scaled initial states (n,).

    Unit vectors whose components differ in sign only, so that every component is probed.
    """
    generator = np.random.default_rng(DIRECTION_SEED)
    return [generator.choice([-1.0, 1.0], size) / size**0.5 for size in (problem.m, problem.n)]


@dataclass(frozen=True)
class Differences:
    """Central differences of the loss along `directions`, with their estimated errors."""

    slopes: tuple[float, ...]
    errors: tuple[float, ...]


def finite_differences(
    problem: Problem, loss: Callable[[Array, Array], float], rtol: float
) -> Differences:
    """Differentiate `loss(y0, p)` along the directions by Richardson-extrapolated differences.

    `loss` is the method's own forward solve at `rtol`, so that what is differentiated is the
    discrete map, step-size control included (numdifftools; Brodtkorb & D'Errico). With a mass
    matrix every solve starts where the algebraic equations hold.
    """
    import numdifftools

    def from_consistent(y0: Array, p: Array) -> float:
        return loss(consistent(problem, y0, p), p)

    of_p, of_y0 = directions(problem)
    lines = (
        lambda h: from_consistent(problem.y0, problem.p + h * problem.p_scale * of_p),
        lambda h: from_consistent(problem.y0 + h * problem.y_scale * of_y0, problem.p),
    )
    slopes, errors = [], []
    for line in lines:
        steps = numdifftools.MaxStepGenerator(
            base_step=rtol**STEP_POWER, step_ratio=2, num_steps=STEPS, use_exact_steps=True
        )
        derivative = numdifftools.Derivative(_scalar(line), step=steps, order=2, full_output=True)
        result = derivative(0.0)
        slopes.append(float(result.estimate))
        errors.append(float(result.error_estimate))
    return Differences(tuple(slopes), tuple(errors))


def _scalar(line: Callable[[float], float]) -> Callable[[Array], float]:
    """numdifftools hands over 0-d arrays."""
    return lambda h: line(float(np.squeeze(h)))


def difference_error(
    problem: Problem, p: Array, y0: Array, differences: Differences
) -> tuple[float, float]:
    """(error, floor): the gradient's slopes against the differences', and the error of those.

    Relative as in `gradient_error`, the larger of the two blocks.
    """
    blocks = [p * problem.p_scale, y0 * problem.y_scale]
    sizes = np.array(_sizes(problem, blocks))
    slopes = [d @ block for d, block in zip(directions(problem), blocks, strict=True)]
    gaps = np.abs(np.array(slopes) - np.array(differences.slopes))
    return float(np.max(gaps / sizes)), float(np.max(np.array(differences.errors) / sizes))
