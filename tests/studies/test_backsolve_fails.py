"""Verdicts on adjoints made up to support and contradict each claim; resets; the mechanism."""

import numpy as np
import pandas as pd
import pytest

from problems import get_problem
from studies import backsolve_fails as study
from studies._legs import with_resets
from studies._mechanism import Y2_ERROR, amplification, y2_in_small_steps
from suite import metrics, references

BACKSOLVE = "scipy/bdf/backsolve"
TRUE = (-3.6765, -1.5789, 3.1580)
STOPPED = "Required step size is too small. (backward from t = 100000, at 0.08 of 37494.5)"


@pytest.fixture(scope="module")
def mechanism():
    return y2_in_small_steps() + amplification()


def made(mechanism, status="diverged", error=None, reason=STOPPED, off=0.0, free=1e-9):
    rows = [
        {
            "part": part,
            "method": BACKSOLVE,
            "factor": study.EQUAL,
            "rtol": 1e-6,
            "status": status,
            "gradient_error": error,
            "reason": reason,
        }
        for part in ("backsolve", "reset")
    ]
    for factor in (study.EQUAL, study.SMALL):
        for method, gap in (
            ("scipy/radau/interpolating", 0.0),
            ("scipy/bdf/interpolating", 0.0),
            ("stiffgrad-jax/rodas5p/discrete", off),
        ):
            row = {"part": "working", "method": method, "factor": factor, "rtol": 1e-6}
            slopes = zip(("log_k1", "log_k2", "log_k3"), TRUE, strict=True)
            slopes = {name: value + gap for name, value in slopes}
            rows.append({**row, "status": "ok", "reason": "", "gradient_error": 1e-7, **slopes})
    rows += [
        {"part": "way back", "method": BACKSOLVE, "rtol": 1e-6, "status": "ok", "s": s}
        | {"t": 1e5 - s, "y2_error": free}
        for s in (1e-4, study.DISTANCE, 9e4)
    ]
    return pd.DataFrame(rows + mechanism).fillna({"method": "", "status": "", "reason": ""})


def outcomes(frame):
    return {
        claim.name: verdict.outcome
        for claim, verdict in zip(study.CLAIMS, study.STUDY.verdicts(frame), strict=True)
    }


def test_failures_that_say_so_confirm_the_claim(mechanism):
    found = outcomes(made(mechanism))
    for name in ("backsolve fails", "resets do not help", "near the start", "adjoints that work"):
        assert found[name] == "confirmed"


@pytest.mark.parametrize("status", ["non-finite", "silently-wrong", "timeout"])
def test_failures_that_do_not_say_so_are_a_difference(mechanism, status):
    found = outcomes(made(mechanism, status=status, error=3.0))
    assert found["backsolve fails"] == "confirmed with a difference"


def test_one_usable_gradient_refutes_it(mechanism):
    found = outcomes(made(mechanism, status="ok", error=1e-5))
    assert found["backsolve fails"] == found["resets do not help"] == "refuted"


def test_what_was_not_tried_counts_for_nothing(mechanism):
    frame = made(mechanism, status="timeout", reason="not tried: a case before it hung")
    assert outcomes(frame)["backsolve fails"] == "not measured"


def test_a_stop_far_from_the_start_is_noticed(mechanism):
    far = STOPPED.replace("100000, at 0.08", "40, at 1.5")
    assert outcomes(made(mechanism, reason=far))["near the start"] == "refuted"
    silent = made(mechanism, reason="The maximum number of solver steps was reached.")
    assert outcomes(silent)["near the start"] == "not measured"


@pytest.mark.parametrize(
    ("reason", "t"),
    [
        (STOPPED, 99999.92),
        ("reverse solve stopped near t = 44.3356: SciPy's BDF gave up", 44.3356),
        ("The maximum number of solver steps was reached.", None),
    ],
)
def test_where_a_solve_stopped_is_read_from_its_message(reason, t):
    assert study.stopped_at(reason) == (t if t is None else pytest.approx(t))


def test_adjoints_that_do_not_agree_refute_the_claim(mechanism):
    assert outcomes(made(mechanism, off=1.0))["adjoints that work"] == "refuted"


def test_an_error_of_y2_is_amplified_by_2_k2_and_grows_with_the_eigenvalue(mechanism):
    rows = pd.DataFrame(mechanism)
    value = rows[rows["part"] == "mechanism"].set_index("quantity")["value"]
    assert value["amplification"] == pytest.approx(6e7, rel=1e-6)
    assert value["adjoint slope error"] == pytest.approx(6e7 * Y2_ERROR, rel=0.01)
    small = rows[rows["part"] == "small steps"]
    slope = np.polyfit(small["s"], np.log(small["y2_error"]), 1)[0]
    assert slope == pytest.approx(value["growth rate backward"], rel=0.02)


def test_growth_in_small_steps_alone_is_a_difference_and_none_refutes(mechanism):
    assert outcomes(made(mechanism))["explosion"] == "confirmed with a difference"
    assert outcomes(made(mechanism, free=1e-3))["explosion"] == "confirmed"
    still = [{**row, "y2_error": 1e-10} if "y2_error" in row else row for row in mechanism]
    assert outcomes(made(still))["explosion"] == "refuted"


def test_the_amplification_differs_in_where_it_arrives(mechanism):
    assert outcomes(made(mechanism))["amplification"] == "confirmed with a difference"
    weak = [
        {**row, "value": 1.0} if row.get("quantity") == "amplification" else row
        for row in mechanism
    ]
    assert outcomes(made(weak))["amplification"] == "refuted"


def test_the_figure_draws_from_a_frame(mechanism):
    figure = study.draw(made(mechanism))
    assert len(figure.axes) == 3


def test_resets_leave_a_gradient_right_where_backsolve_works():
    problem = get_problem("linear:1")
    found = with_resets(problem, "scipy/radau/backsolve", 1e-8, 1e-10)
    true = references.load(problem)
    error = metrics.gradient_error(
        problem,
        found.p,
        found.y0,
        true.gradient_p,
        true.gradient_y0,
        true.digits_p,
        true.digits_y0,
    )
    assert error.total < 1e-5
    assert found.loss == pytest.approx(true.loss, rel=1e-6)


def test_every_registered_backsolve_is_tried_at_every_tolerance_of_the_paper():
    from adapters import methods

    cases = study._backsolves(study.RTOLS, quick=False)
    wanted = {name for name, method in methods().items() if method.strategy == "backsolve"}
    assert {case["method"] for case in cases} == wanted
    assert {case["rtol"] for case in cases} == {float(f"1e-{i}") for i in range(6, 15)}


def test_a_working_gradient_is_judged_like_every_other():
    row = study.gradient("working", "scipy/radau/interpolating", study.SMALL, 1e-6)
    assert row["status"] == "ok" and row["gradient_error"] < 1e-6
    assert row["log_k1"] == pytest.approx(-3.67650891, rel=1e-6)
