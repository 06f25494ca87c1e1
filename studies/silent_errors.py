"""Right solutions with wrong gradients, and which check sees which.

Each way found to such a gradient is measured beside the checks that a user could make on it. An
error counts where it is above 1 %; a check sees it if it reports a tenth of it or more, understates
it if it reports less but at least 1 %, and is blind to it otherwise.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from adapters import methods
from studies import Claim, Row, Study, attempts
from studies._silent_detectors import BLIND, DETECTORS, UNDERSTATED, matrix
from studies._silent_models import frozen_ratio, ros2, sensitivity
from studies._silent_runs import FORWARD, SECOND, measure, unrolled_implicit
from studies._silent_verdicts import (
    CONTINUOUS,
    DISCRETE,
    RATIO_AT,
    ROBER,
    judge_backsolve,
    judge_controller,
    judge_detector,
    judge_equilibrium,
    judge_explicit,
    judge_frozen,
    judge_remedy,
    judge_truncated,
    judge_unrolled,
)
from studies._study import DataFrame, Figure

ROLES = ("itself", "tighter", "tangent", "differences", "halved")
TOL = 1e-4
DOPRI5, TSIT5 = "diffrax/dopri5/discrete-recursive", "diffrax/tsit5/discrete-recursive"
KVAERNO5, TORCH = "diffrax/kvaerno5/discrete-recursive", "torchdiffeq/dopri5/discrete"
RODAS5P, ROS23 = "stiffgrad-jax/rodas5p/discrete", "stiffgrad-jax/rosenbrock23/discrete"
OUR_TSIT5 = "stiffgrad-jax/tsit5/discrete"
# kind, method, problem, rtol, whether it is part of a quick study.
SUBJECTS = (
    ("plain", TORCH, ROBER, TOL, False),
    ("default", DOPRI5, ROBER, TOL, False),
    ("plain", DOPRI5, ROBER, TOL, False),
    ("plain", TSIT5, ROBER, TOL, False),
    ("library", OUR_TSIT5, ROBER, TOL, True),
    ("truncated", KVAERNO5, "rober", 1e-8, False),
    ("truncated", KVAERNO5, "rober:final", 1e-8, False),
    ("frozen", RODAS5P, "relaxation:1e4", 1e-6, True),
    ("frozen", RODAS5P, ROBER, 1e-6, False),
    ("plain", "scipy/radau/backsolve", "collected:20", 1e-4, False),
    ("plain", "scipy/radau/backsolve", "collected:100", 1e-6, True),
    ("plain", "torchdiffeq/scipy-bdf/backsolve", "collected:100", 1e-6, False),
    ("plain", TSIT5, "equilibrium:1:t1=5", 1e-6, True),
    ("plain", TORCH, "equilibrium:20", 1e-6, True),
    ("plain", KVAERNO5, "equilibrium:20", 1e-6, False),
    ("library", ROS23, "equilibrium:5", 1e-6, True),
    ("library", OUR_TSIT5, "equilibrium:20", 1e-6, True),
    ("library", RODAS5P, "equilibrium:20", 1e-6, False),
    ("library", RODAS5P, ROBER, TOL, True),
    ("library", RODAS5P, "relaxation:1e4", 1e-6, False),
)
RATES = (5.0, 20.0)
QUICK_RTOLS, FULL_RTOLS = (1e-6, 1e-14), (1e-6, 1e-8, 1e-10, 1e-12, 1e-14)
TRACKED_RTOL = 1e-6
# Solved with error control, these take thousands of steps at 1e-14.
CONTINUOUS_RTOLS = (1e-6, 1e-10)
QUICK_DISCRETE = (TSIT5, TORCH, RODAS5P, ROS23, "stiffgrad-jax/radau5/discrete", OUR_TSIT5)
QUICK_CONTINUOUS = (FORWARD,)
DECAYS = ("linear:20:final", "linear:1e2:final", "collected:20", "collected:100")
QUICK_BACKSOLVE = ("scipy/radau/backsolve",)
BACKSOLVE_RTOLS = (1e-4, 1e-6)
OFFSETS = (0.0, 1e-9, 1e-3)
HOWS = ("skipped", "differentiated", "differences")
QUICK_SECONDS, FULL_SECONDS = 60.0, 180.0
REPORT = (
    "'Automatic Differentiation of Adaptive Solvers Does Not Always Converge to the Correct "
    "Derivatives', WCCM-ECCOMAS 2026, abstract"
)
OWN = "no paper: seen with torchdiffeq 0.2.5 and diffrax 0.7.2"
OURS = "no paper: derived here"


def run(quick: bool) -> DataFrame:
    """Rows of `part` "matrix", "second" and "forward", "equilibrium", "backsolve", "unrolled",
    "controller" and "frozen step".
    """
    import pandas as pd

    limit = QUICK_SECONDS if quick else FULL_SECONDS
    cases = [*_matrix(quick), *_equilibrium(quick), *_backsolves(quick)]
    rows = attempts(measure, cases, limit, at_once=2)
    unrolled = {"part": "unrolled", "scheme": "implicit_euler"}
    rows += attempts(
        unrolled_implicit, [{**unrolled, "method": "torchdiffeq/implicit-adams/discrete"}], limit
    )
    return pd.DataFrame(rows + controllers(quick) + frozen_steps())


def _matrix(quick: bool) -> list[Row]:
    chosen = [subject[:4] for subject in SUBJECTS if subject[4] or not quick]
    names = ("kind", "method", "problem", "rtol")
    rows = [
        {"part": "matrix", **dict(zip(names, subject, strict=True)), "role": role}
        for subject in chosen
        for role in ROLES
    ]
    for problem, rtol in dict.fromkeys(subject[2:] for subject in chosen):
        for role, method in (("second", SECOND), ("forward", FORWARD)):
            case = {"kind": "plain", "method": method, "problem": problem, "rtol": rtol}
            rows.append({"part": role, **case, "role": "itself"})
    return rows


def _equilibrium(quick: bool) -> list[Row]:
    problems = [f"equilibrium:{rate:g}" for rate in RATES]
    discrete: Sequence[str] = QUICK_DISCRETE if quick else _named(DISCRETE)
    continuous: Sequence[str] = QUICK_CONTINUOUS if quick else _named(CONTINUOUS)
    rows = _each("equilibrium", discrete, problems, QUICK_RTOLS if quick else FULL_RTOLS)
    return rows + _each("equilibrium", continuous, problems, CONTINUOUS_RTOLS)


def _named(strategies: tuple[str, ...]) -> list[str]:
    return [name for name, method in methods().items() if method.strategy in strategies]


def _backsolves(quick: bool) -> list[Row]:
    names = [n for n, m in methods().items() if m.strategy == "backsolve" and m.implicit]
    return _each("backsolve", QUICK_BACKSOLVE if quick else names, DECAYS, BACKSOLVE_RTOLS)


def _each(
    part: str, names: Sequence[str], problems: Sequence[str], rtols: Sequence[float]
) -> list[Row]:
    """The gradient of every method on every problem at every tolerance."""
    return [
        {"part": part, "kind": "plain", "method": name, "problem": problem, "rtol": rtol}
        | {"role": "itself"}
        for name in names
        for problem in problems
        for rtol in rtols
    ]


def controllers(quick: bool) -> list[Row]:
    """Errors of dy(1)/dlog p2 of an adaptive scheme whose step sizes are differentiated or not."""
    rows = []
    for rate in RATES:
        true = -np.expm1(-rate)
        for offset in OFFSETS:
            for rtol in QUICK_RTOLS if quick else FULL_RTOLS:
                for how in HOWS:
                    value, steps = sensitivity(rate, 1 + offset, rtol, how)
                    error = float(abs(value / true - 1))
                    case = {"part": "controller", "status": "ok", "rate": rate, "offset": offset}
                    rows.append(
                        {**case, "rtol": rtol, "how": how, "gradient_error": error, "steps": steps}
                    )
    return rows


def frozen_steps() -> list[Row]:
    """dR/dz with the Jacobian held constant over dR/dz, of one Rosenbrock step."""
    from stiffgrad.jax.integrators import ROSENBROCK

    schemes: dict[str, Any] = {"ros2": ros2(), **ROSENBROCK}
    grid = sorted({*RATIO_AT, *(-np.geomspace(1e-2, 1e2, 81)).tolist()})
    return [
        {"part": "frozen step", "status": "ok", "scheme": name, "z": z}
        | {"ratio": frozen_ratio(scheme, z)}
        for name, scheme in schemes.items()
        for z in grid
    ]


def _detector_claim(name: str, text: str, expected: str) -> Claim:
    return Claim(f"check: {name}", text, OURS, expected, judge_detector(name))


CLAIMS = (
    Claim(
        "explicit, unrolled",
        "Backpropagation through an adaptive explicit scheme at its stability limit (ROBER to "
        "t = 10, 1e-4) has the loss right to 6 digits and the gradient wrong by 1e5 to 1e22",
        OWN,
        "dL/dk1 = +2.3e5 (torchdiffeq dopri5), +1.5e5 (diffrax Dopri5), -5e22 (Tsit5); true -2.80",
        judge_explicit,
    ),
    Claim(
        "truncated",
        "diffrax with throw=False, stopped by its default of 4096 steps, returns a plausible "
        "gradient 2 % off",
        OWN,
        "2 % with Kvaerno5 at 1e-8 on ROBER",
        judge_truncated,
    ),
    Claim(
        "frozen Jacobian",
        "A Rosenbrock adjoint that takes the Jacobian for a constant is 58 times wrong at z = -10 "
        "and 110 times at z = -100",
        "derived here; the derivative belongs to the adjoint: Sandu, Daescu & Carmichael 2003, "
        "Atmos. Environ. 37, 5083",
        "Ratios 1.0000, 0.999, 0.862, 57.9, 110 for ROS2",
        judge_frozen,
    ),
    Claim(
        "implicit backsolve",
        "An implicit backsolve on y' = -lambda y is silently 100 % wrong at usual tolerances",
        "derived here, after Kim et al. 2021, Chaos 31, 093122, III.A",
        "Damped states would make the gradient 0; a state beside them has to remember the start "
        "for the gradient to be of a size that counts",
        judge_backsolve,
    ),
    Claim(
        "unrolled iteration",
        "Differentiating an unrolled Broyden iteration gives 1e20 where every step converged",
        "torchdiffeq after 0.2.5, commit 657943a: implicit_euler",
        "Gradient 1e20 for 12 on ROBER to t = 100",
        judge_unrolled,
    ),
    Claim(
        "no convergence",
        "With tolerances of 1e-14 the derivative of an adaptive solve of a linear ODE is 60 % "
        "wrong, and the error does not decrease with the tolerance",
        REPORT,
        "y' = p2 - p1 y from rest: the same error at all tolerances; 64 % for diffrax Tsit5 with "
        "p1 = 1, T = 5 (the first step is fixed, so the time unit matters), a few percent and less "
        "for implicit schemes",
        judge_equilibrium,
    ),
    Claim(
        "step sizes",
        "The cause is that error control ignores the sensitivities, not how the step-size "
        "controller is differentiated",
        REPORT,
        "At rest the error estimate is 0 and growth is at its limit: both ways are alike",
        judge_controller,
    ),
    Claim(
        "remedy",
        "Error-controlled sensitivities and continuous adjoints converge",
        REPORT,
        "Errors of the order of the tolerance",
        judge_remedy,
    ),
    _detector_claim(
        "tighter",
        "Solving again at a tenth of the tolerance exposes a wrong gradient",
        "Blind at the equilibrium, where nothing changes",
    ),
    _detector_claim(
        "tangent",
        "A dot-product test against the forward-mode derivative exposes a wrong gradient",
        "Blind wherever the gradient is the exact derivative of the wrong thing",
    ),
    _detector_claim(
        "differences",
        "Finite differences of the solve expose a wrong gradient",
        "They see it: the perturbed solves choose steps of their own",
    ),
    _detector_claim(
        "halved",
        "stiffgrad.jax.gradient_error exposes a wrong gradient of the library",
        "It sees what shorter steps change, the equilibrium included",
    ),
    _detector_claim(
        "forward",
        'A second solve with adjoint="forward" exposes a wrong gradient',
        "It sees all: its steps answer for the sensitivities",
    ),
    _detector_claim(
        "second",
        "A second method (SciPy's Radau with an interpolating adjoint) exposes a wrong gradient",
        "It sees all: other steps, and an error control of the adjoint's own",
    ),
)


def draw(frame: DataFrame) -> Figure:
    """The matrix of errors and checks; the equilibrium; one frozen step; step sizes."""
    from studies import _silent_figure

    return _silent_figure.draw(frame)


def numbers(frame: DataFrame) -> dict[str, float]:
    """By method: the error at p1 T = 20 and rtol 1e-6; `DETECTOR missed`: wrong gradients."""
    rows = frame[(frame["part"] == "equilibrium") & (frame["rtol"] == TRACKED_RTOL)]
    rows = rows[rows["problem"] == f"equilibrium:{RATES[-1]:g}"]
    found = {row.method: float(row.gradient_error) for row in rows.itertuples()}
    cells = matrix(frame)
    missed = cells[cells["verdict"].isin([BLIND, UNDERSTATED])]
    return found | {
        f"{name} missed": float((missed["detector"] == name).sum()) for name in DETECTORS
    }


STUDY = Study(
    name="silent-errors",
    title="Right solutions with wrong gradients, and the checks that see them",
    source=REPORT + "; Kim et al. 2021; own findings",
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
)
