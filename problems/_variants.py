"""Variants: transforms that make a new problem out of any problem, composed by name.

They are applied in the order of `VARIANTS`, whatever the order in the name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems._losses import FitLoss, like
from problems._mass import consistent, ordinary
from problems._members import batch, member
from problems._problem import Problem, ProblemError, log_spaced

Array = NDArray[np.float64]

# Relative size and seed of the perturbation of log p that makes the data of `fit`.
FIT_PERTURBATION = 0.1
FIT_SEED = 20210329
# Far below any tolerance that a method is run at; digits kept so that the data do not depend on
# the integrator's version.
FIT_RTOL = 1e-11
FIT_DIGITS = 8
# Every nondimensional state is of order one, the transient ones for a small part of the span.
SCALED_ATOL_FACTOR = 1e-2


@dataclass(frozen=True)
class Variant:
    """One transform: `apply(problem, value)`; `value` is None for a variant without `=`."""

    apply: Callable[[Problem, str | None], Problem]
    help: str


def _number(variant: str, value: str | None, least: float) -> float:
    try:
        number = float(value or "")
    except ValueError:
        number = float("nan")
    if not least < number < float("inf"):
        raise ProblemError(
            f"variant {variant}={value}: needs a finite number above {least:g}, "
            f"for example {variant}=10"
        )
    return number


def _nothing(variant: str, value: str | None) -> None:
    if value is not None:
        raise ProblemError(f"variant {variant} takes no value; write {variant}, not {variant}=...")


def _spread(problem: Problem, t1: float, count: int) -> Array:
    if not problem.log_times:
        return problem.t0 + (t1 - problem.t0) * np.arange(1, count + 1) / count
    first = float(problem.times[0])
    if t1 <= first:
        raise ProblemError(
            f"{problem.name}: t1 = {t1:g} lies before the first observation at {first:g}; "
            "choose a later end"
        )
    return log_spaced(first, t1, count)


def horizon(problem: Problem, value: str | None) -> Problem:
    t1 = _number("t1", value, problem.t0)
    return replace(problem, times=_spread(problem, t1, problem.times.size))


def observations(problem: Problem, value: str | None) -> Problem:
    number = _number("observations", value, 1)
    if number != int(number):
        raise ProblemError(f"variant observations={value}: needs a whole number of at least 2")
    return replace(problem, times=_spread(problem, problem.t1, int(number)))


def final(problem: Problem, value: str | None) -> Problem:
    _nothing("final", value)
    return replace(problem, times=problem.times[-1:])


def stiffness(problem: Problem, value: str | None) -> Problem:
    factor = _number("stiffness", value, 0)
    scale = np.ones(problem.m)
    scale[list(problem.stiff_parameters)] = factor
    if not problem.stiff_parameters:
        raise ProblemError(
            f"{problem.name} names no parameters behind its fast modes, so it has no stiffness=X; "
            "declare stiff_parameters in its file"
        )
    return replace(problem, p=problem.p * scale, p_scale=problem.p_scale * scale)


def fit(problem: Problem, value: str | None) -> Problem:
    kind: Any = value or "mae"
    if kind not in ("mae", "least-squares"):
        raise ProblemError(f"variant fit={value}: known are fit=mae and fit=least-squares")
    data = _perturbed_data(problem)
    extent = np.ptp(np.vstack([problem.y0, data]), axis=0)
    scale = np.where(extent > 0, extent, problem.y_scale)
    return replace(problem, loss=FitLoss(tuple(map(tuple, data.tolist())), tuple(scale), kind))


def _perturbed_data(problem: Problem) -> Array:
    """What is fitted, shape (N, n): the same for a problem and the one it is another form of."""
    if problem.reference != problem.name:
        from problems._registry import get_problem

        return _perturbed_data(get_problem(problem.reference))
    generator = np.random.default_rng(FIT_SEED)
    p = problem.p * np.exp(FIT_PERTURBATION * generator.standard_normal(problem.m))
    ys = _states(problem, p)
    digits = FIT_DIGITS - 1 - np.floor(np.log10(np.maximum(np.abs(ys), 1e-300)))
    return np.array(
        [round(y, int(d)) for y, d in zip(ys.ravel(), digits.ravel(), strict=True)]
    ).reshape(ys.shape)


def _states(problem: Problem, p: Array) -> Array:
    if problem.exact is not None:
        return np.stack([problem.exact(t, problem.y0, p) for t in problem.times])
    from scipy.integrate import solve_ivp

    slope, matrix = ordinary(problem, p)
    solution = solve_ivp(
        slope,
        (problem.t0, problem.t1),
        consistent(problem, problem.y0, p),
        method="Radau",
        t_eval=problem.times,
        rtol=FIT_RTOL,
        atol=FIT_RTOL * 1e-4 * problem.y_scale,
        jac=matrix,
    )
    if not solution.success:
        raise ProblemError(f"{problem.name}: no data to fit, {solution.message}")
    return solution.y.T


def scaled(problem: Problem, value: str | None) -> Problem:
    """States divided by their magnitudes, time by the span (Kim et al. 2021, eq. 13).

    Every equation keeps its place: a mass matrix has its columns multiplied and its rows divided
    by the magnitudes.
    """
    _nothing("scaled", value)
    scale, span, t0 = problem.y_scale, problem.t1 - problem.t0, problem.t0

    def rhs(t: Any, y: Any, p: Any, xp: Any) -> Any:
        units = like(scale, y, xp)
        return problem.rhs(t0 + span * t, units * y, p, xp) * span / units

    def jacobian(t: float, y: Array, p: Array) -> Array:
        return problem.jacobian(t0 + span * t, scale * y, p) * span * scale / scale[:, None]

    def parameter_jacobian(t: float, y: Array, p: Array) -> Array:
        return problem.parameter_jacobian(t0 + span * t, scale * y, p) * span / scale[:, None]

    def exact(t: float, y0: Array, p: Array) -> Array:
        assert problem.exact is not None
        return problem.exact(t0 + span * t, scale * y0, p) / scale

    return replace(
        problem,
        rhs=rhs,
        y0=problem.y0 / scale,
        t0=0.0,
        times=(problem.times - t0) / span,
        loss=problem.loss.scaled(scale),
        y_scale=np.ones(problem.n),
        given_jacobian=jacobian,
        given_parameter_jacobian=parameter_jacobian,
        exact=exact if problem.exact is not None else None,
        invariants=tuple(tuple(np.asarray(w) * scale) for w in problem.invariants),
        atol_factor=SCALED_ATOL_FACTOR,
        mass=None if problem.mass is None else problem.mass * scale / scale[:, None],
        reference_y0=(problem.reference_y0.T * scale).T,
    )


def log_parameters(problem: Problem, value: str | None) -> Problem:
    """Parameters replaced by their logarithms."""
    _nothing("logp", value)
    if np.any(problem.p <= 0):
        raise ProblemError(f"{problem.name}: logp needs positive parameters")

    def rhs(t: Any, y: Any, p: Any, xp: Any) -> Any:
        return problem.rhs(t, y, xp.exp(p), xp)

    def jacobian(t: float, y: Array, p: Array) -> Array:
        return problem.jacobian(t, y, np.exp(p))

    def parameter_jacobian(t: float, y: Array, p: Array) -> Array:
        return problem.parameter_jacobian(t, y, np.exp(p)) * np.exp(p)

    def exact(t: float, y0: Array, p: Array) -> Array:
        assert problem.exact is not None
        return problem.exact(t, y0, np.exp(p))

    return replace(
        problem,
        rhs=rhs,
        p=np.log(problem.p),
        p_scale=np.ones(problem.m),
        given_jacobian=jacobian,
        given_parameter_jacobian=parameter_jacobian,
        exact=exact if problem.exact is not None else None,
        reference_p=problem.reference_p * problem.p,
    )


VARIANTS: dict[str, Variant] = {
    "t1": Variant(horizon, "t1=X: end at X, the observations spread anew up to it"),
    "stiffness": Variant(stiffness, "stiffness=X: the parameters behind the fast modes times X"),
    "observations": Variant(observations, "observations=N: N instead of the standard number"),
    "final": Variant(final, "final: only the last observation"),
    "fit": Variant(fit, "fit[=mae|least-squares]: misfit to data from perturbed parameters"),
    "member": Variant(member, "member=K: its K-th neighbour, with parameters about a tenth off"),
    "batch": Variant(batch, "batch=N: it and its first N - 1 neighbours at once, a gradient each"),
    "scaled": Variant(scaled, "scaled: nondimensional states and time"),
    "logp": Variant(log_parameters, "logp: logarithms of the parameters"),
}
# Variants whose gradient follows from the base problem's by the chain rule.
CHAIN_RULE = ("scaled", "logp")
EXCLUSIVE = (("final", "observations"), ("member", "batch"))
