"""Verdicts on wrong gradients made up to support and contradict each claim; the mechanisms."""

import numpy as np
import pandas as pd
import pytest

from studies import _silent_models as models
from studies import silent_errors as study
from studies._silent_detectors import (
    BLIND,
    FALSE_ALARM,
    NONE,
    QUIET,
    SEEN,
    UNDERSTATED,
    matrix,
    verdict_on,
)
from studies._silent_problems import collected, problem_named, truth
from studies._silent_runs import SECOND, measure, unrolled_implicit
from studies._silent_ways import Subject, direction

TEXT = ("method", "status", "reason", "warning", "problem", "kind", "role", "how", "scheme")
NUMBERS = ("gradient_error", "loss_error", "reported", "slope", "log_1", "rate", "offset", "z")
NUMBERS += ("ratio", "steps", "loss", "rtol")


def row(part, method, problem="rober:t1=10", **values):
    base = {"part": part, "kind": "plain", "method": method, "problem": problem, "rtol": 1e-6}
    base |= {"role": "itself", "status": "ok", "reason": "", "warning": "", "reported": 0.0}
    return base | {"loss_error": 1e-8, "loss": 1.0} | values


def frame(*rows):
    """With every column that a run has."""
    blank = dict.fromkeys(TEXT, "") | dict.fromkeys(NUMBERS, np.nan)
    return pd.DataFrame([blank | given for given in rows])


def outcome(name, *rows):
    (verdict,) = (
        verdict
        for claim, verdict in zip(study.CLAIMS, study.STUDY.verdicts(frame(*rows)), strict=True)
        if claim.name == name
    )
    return verdict.outcome


@pytest.mark.parametrize(
    ("loss", "error", "expected"),
    [(1e-8, 1e5, "confirmed"), (1e-8, 1e-3, "refuted"), (1.0, 1e5, "refuted")],
)
def test_explicit_gradients_are_wrong_where_the_loss_is_right(loss, error, expected):
    rows = [
        row("matrix", name, gradient_error=error, loss_error=loss)
        for name in (study.DOPRI5, study.TORCH)
    ]
    control = row("matrix", study.RODAS5P, kind="library", gradient_error=1e-6)
    assert outcome("explicit, unrolled", *rows, control) == expected


def test_one_right_explicit_gradient_is_a_difference_and_none_is_not_measured():
    rows = [row("matrix", study.TSIT5, gradient_error=error) for error in (1e5, 1e-4)]
    assert outcome("explicit, unrolled", *rows) == "confirmed with a difference"
    assert outcome("explicit, unrolled", row("matrix", "")) == "not measured"


@pytest.mark.parametrize(
    ("reported", "loss", "error", "expected"),
    [
        (1.0, 1e-2, 0.02, "confirmed"),
        (1.0, np.nan, 0.02, "confirmed with a difference"),
        (1.0, 0.5, 0.5, "confirmed with a difference"),
        (0.0, 1e-9, 1e-9, "refuted"),
    ],
)
def test_truncated_solves(reported, loss, error, expected):
    found = row("matrix", study.KVAERNO5, kind="truncated", gradient_error=error)
    assert outcome("truncated", found | {"loss_error": loss, "reported": reported}) == expected


def test_a_frozen_jacobian_is_as_wrong_as_derived():
    assert outcome("frozen Jacobian", *study.frozen_steps()) == "confirmed"
    harmless = [{**step, "ratio": 1.0} for step in study.frozen_steps()]
    assert outcome("frozen Jacobian", *harmless) == "refuted"
    solves = [
        row("matrix", study.RODAS5P, kind="frozen", gradient_error=error) for error in (0.4, 1e-4)
    ]
    assert outcome("frozen Jacobian", *study.frozen_steps(), *solves).endswith("difference")


@pytest.mark.parametrize(
    ("error", "expected"),
    [(1.0, "confirmed"), (1e20, "confirmed with a difference"), (1e-6, "refuted")],
)
def test_backsolve_on_a_decay(error, expected):
    rows = [
        row("backsolve", "scipy/radau/backsolve", name, gradient_error=error)
        for name in study.DECAYS
    ]
    assert outcome("implicit backsolve", *rows) == expected
    failed = [{**r, "gradient_error": np.nan, "status": "diverged"} for r in rows]
    assert outcome("implicit backsolve", *failed) == "not measured"


def test_an_unrolled_iteration_that_is_not_there_is_not_measured():
    missing = row("unrolled", "", status="unsupported", reason="no implicit_euler")
    assert outcome("unrolled iteration", missing) == "not measured"
    wrong = row("unrolled", "", gradient_error=1e20)
    assert outcome("unrolled iteration", wrong) == "confirmed"
    assert outcome("unrolled iteration", {**wrong, "gradient_error": 1e-3}) == "refuted"


def at_rest(method, *errors):
    return [
        row("equilibrium", method, "equilibrium:5", rtol=rtol, gradient_error=error)
        for rtol, error in zip((1e-6, 1e-14), errors, strict=True)
    ]


def test_errors_that_stay_confirm_that_nothing_converges():
    stuck, falling = at_rest(study.TSIT5, 0.6, 0.6), at_rest(study.RODAS5P, 1e-3, 1e-9)
    assert outcome("no convergence", *stuck) == "confirmed"
    assert outcome("no convergence", *falling) == "refuted"
    assert outcome("no convergence", *stuck, *falling) == "confirmed with a difference"
    fixed = at_rest("torchdiffeq/implicit-adams/discrete", 1e-9, 1e-9)
    assert outcome("no convergence", *fixed) == "not measured"


def test_the_remedy_is_judged_by_the_tolerance():
    right, wrong = at_rest(SECOND, 1e-7, 1e-9), at_rest(study.FORWARD, 0.1, 0.1)
    assert outcome("remedy", *right) == "confirmed"
    assert outcome("remedy", *wrong) == "refuted"
    assert outcome("remedy", *right, *wrong) == "confirmed with a difference"


def test_step_sizes_do_not_matter_at_rest():
    rows = study.controllers(quick=True)
    assert outcome("step sizes", *rows) == "confirmed with a difference"
    off = [{**r, "gradient_error": 9.0} if r["how"] == "differentiated" else r for r in rows]
    assert outcome("step sizes", *off) == "refuted"


@pytest.mark.parametrize(
    ("error", "gap", "verdict"),
    [
        (0.5, 0.3, SEEN),
        (0.5, 0.02, UNDERSTATED),
        (0.5, 0.001, BLIND),
        (1e20, 0.2, SEEN),
        (1e20, 0.05, UNDERSTATED),
        (0.5, np.inf, SEEN),
        (1e-4, 1e-3, QUIET),
        (1e-4, 0.5, FALSE_ALARM),
        (0.5, np.nan, NONE),
    ],
)
def test_a_check_is_judged_by_what_it_reports(error, gap, verdict):
    assert verdict_on(error, gap) == verdict


def checked(error=0.5, **gaps):
    """One wrong gradient (1, 0) and checks that report these gaps."""
    rows = [row("matrix", study.TSIT5, gradient_error=error, log_1=1.0, log_2=0.0, slope=1.0)]
    for role, gap in gaps.items():
        values = {"slope": 1 - gap}
        if role in ("tighter", "second"):
            values |= {"log_1": 1 - gap, "log_2": 0.0}
        elsewhere = role in ("second", "forward")
        part, role = (role, "itself") if elsewhere else ("matrix", role)
        method = SECOND if elsewhere else study.TSIT5
        rows.append(row(part, method, role=role, **values))
    return rows


def test_the_matrix_compares_gradients_or_slopes():
    cells = matrix(frame(*checked(tighter=0.001, differences=0.4, second=0.5)))
    verdicts = dict(zip(cells["detector"], cells["verdict"], strict=True))
    assert verdicts["tighter"] == BLIND
    assert verdicts["differences"] == verdicts["second"] == SEEN
    assert verdicts["halved"] == verdicts["forward"] == NONE
    assert verdicts["status"] == BLIND
    gaps = dict(zip(cells["detector"], cells["gap"], strict=True))
    assert gaps["differences"] == pytest.approx(0.4)


def test_a_solver_that_says_so_is_heard():
    (itself,) = checked()
    cells = matrix(frame({**itself, "reported": 1.0}))
    assert cells.set_index("detector")["verdict"]["status"] == SEEN
    failed = row("matrix", study.TSIT5, role="tighter", status="diverged", reason="too stiff")
    cells = matrix(frame(itself, failed))
    assert cells.set_index("detector")["verdict"]["tighter"] == SEEN


def test_claims_on_checks():
    assert outcome("check: tighter", *checked(tighter=0.4)) == "confirmed"
    assert outcome("check: tighter", *checked(tighter=0.0)) == "refuted"
    assert outcome("check: tighter", *checked()) == "not measured"
    assert study.numbers(frame(*checked(tighter=0.0)))["tighter missed"] == 1.0


def test_a_frozen_jacobian_matters_more_the_stiffer_the_step():
    assert models.frozen_ratio(models.ros2(), -1e-3) == pytest.approx(1, abs=1e-5)
    z, h = -0.7, 1e-6
    up, down = (models.step(models.ros2(), z + s, z + s) for s in (h, -h))
    exact = (up - down) / (2 * h)
    up, down = (models.step(models.ros2(), z + s, z) for s in (h, -h))
    frozen = (up - down) / (2 * h)
    expected = pytest.approx(frozen.real / exact.real, rel=1e-6)
    assert models.frozen_ratio(models.ros2(), z) == expected


def test_the_adaptive_scheme_solves_its_equation():
    y, steps = models.adaptive(5.0, 5.0, 2.0, 1e-9, frozen=True)
    assert y.real == pytest.approx(1 + np.exp(-5.0), rel=1e-7)
    assert steps > 50


def test_differentiated_step_sizes_give_the_derivative_of_the_program():
    """Differences so small that every step is accepted or not as before."""
    h = 1e-7
    up, down = (
        models.adaptive(5.0, 5.0 * np.exp(s), 1.5, 1e-4, frozen=True)[0].real for s in (h, -h)
    )
    value, _ = models.sensitivity(5.0, 1.5, 1e-4, "differentiated")
    skipped, _ = models.sensitivity(5.0, 1.5, 1e-4, "skipped")
    assert value == pytest.approx((up - down) / (2 * h), rel=1e-5)
    assert skipped != pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("name", ["collected:20", "equilibrium:5", "linear:1:final"])
def test_truths_are_derivatives_of_closed_forms(name):
    problem, h = problem_named(name), 1e-6
    loss, slopes = truth(name)

    def value(p):
        ys = np.stack([problem.exact(t, problem.y0, p) for t in problem.times])
        return float(problem.loss.value(ys, np))

    assert loss == value(problem.p)
    for j in range(problem.m):
        p = np.array([problem.p, problem.p])
        p[:, j] *= np.exp([h, -h])
        assert slopes[j] == pytest.approx((value(p[0]) - value(p[1])) / (2 * h), rel=1e-6)


def test_the_collected_decay_solves_its_equation():
    problem = collected(3.0)
    step = 1e-30
    slope = np.imag(problem.exact(0.4 + 1j * step, problem.y0, problem.p)) / step
    expected = problem.f(0.4, problem.exact(0.4, problem.y0, problem.p), problem.p)
    np.testing.assert_allclose(slope, expected, rtol=1e-13)


def test_the_direction_of_slopes_moves_the_equilibrium():
    problem = problem_named("equilibrium:5")
    assert abs(direction(problem) @ truth("equilibrium:5")[1]) > 0.1
    assert np.linalg.norm(direction(problem)) == pytest.approx(1)


def test_checks_are_made_on_a_gradient_that_is_right():
    case = {"part": "matrix", "kind": "plain", "problem": "collected:20", "rtol": 1e-6}
    found = {
        role: measure(**case, method=SECOND, role=role)
        for role in ("itself", "tighter", "differences", "tangent", "halved")
    }
    assert found["itself"]["gradient_error"] < 1e-5
    assert found["halved"]["status"] == "unsupported"
    for role in ("differences", "tangent"):
        assert found[role]["slope"] == pytest.approx(found["itself"]["slope"], rel=1e-2)
    assert found["tighter"]["loss_error"] < found["itself"]["loss_error"] + 1e-12


def test_the_librarys_checks_agree_with_its_gradient():
    pytest.importorskip("jax")
    case = {"part": "matrix", "kind": "library", "method": study.RODAS5P, "rtol": 1e-6}
    found = {
        role: measure(**case, problem="linear:1:final", role=role)
        for role in ("itself", "tangent", "halved")
    }
    assert found["tangent"]["slope"] == pytest.approx(found["itself"]["slope"], rel=1e-12)
    assert found["halved"]["gradient_error"] < found["itself"]["gradient_error"] < 1e-4


def test_an_unknown_scheme_of_torchdiffeq_is_said_to_be_missing():
    pytest.importorskip("torchdiffeq")
    found = unrolled_implicit("unrolled", "torchdiffeq/implicit-adams/discrete", "no_such_scheme")
    assert found["status"] == "unsupported" and "no_such_scheme" in found["reason"]


def test_a_subject_takes_the_problems_own_atol():
    subject = Subject("plain", SECOND, problem_named("equilibrium:5"), 1e-6)
    assert subject.atol == pytest.approx(1e-9)
    assert subject.integrator == "radau"
