"""Verdicts on round trips made up to support and to contradict each claim."""

import numpy as np
import pandas as pd
import pytest

from adapters import get_method
from studies import NotMeasured
from studies import reversibility_linear as study

METHODS = {
    "explicit": "diffrax/tsit5/discrete-recursive",
    "implicit": "scipy/radau/forward",
}
RATES = (1.0, 10.0, 30.0, 50.0, 100.0, 1e4)


def made(errors, forward=1e-7):
    """Round trips with `errors(kind, control, rate)`, None for one that failed."""
    rows = []
    for kind, method in METHODS.items():
        for control in (study.EQUAL, study.PURE):
            for rate in RATES:
                error = errors(kind, control, rate)
                rows.append(
                    {
                        "part": "error",
                        "method": method,
                        "control": control,
                        "rtol": 1e-6,
                        "rate": rate,
                        "forward_error": forward,
                        "error": error,
                        "status": "ok" if error is not None else "diverged",
                    }
                )
    steps = [{"part": "step", "z": z, "growth": abs(study.radau5(z))} for z in (0.1, 1.0, 90.0)]
    return pd.DataFrame(rows + steps).fillna({"method": "", "status": ""})


def as_found(kind, control, rate):
    if rate == 1e4:
        return None if kind == "explicit" else 1.0
    if control == study.PURE:
        return 0.01
    if kind == "implicit" and rate > 20:
        return 1.0
    return 1e-7 * np.exp(rate)


def amplified(kind, control, rate):
    return 1e-7 * np.exp(min(rate, 100.0))


def outcome(judge, errors):
    return judge(made(errors)).outcome


def test_the_methods_of_these_frames_are_what_they_stand_for():
    assert {kind: get_method(name).implicit for kind, name in METHODS.items()} == {
        "explicit": False,
        "implicit": True,
    }


def test_one_percent_needs_purely_relative_control():
    assert outcome(study.judge_hundred, as_found) == "confirmed with a difference"
    assert outcome(study.judge_hundred, lambda *a: 0.01) == "confirmed"
    assert outcome(study.judge_hundred, lambda *a: 1e-9) == "refuted"


def test_ten_thousand_is_impossible_unless_something_comes_back():
    assert outcome(study.judge_ten_thousand, as_found) == "confirmed"
    assert outcome(study.judge_ten_thousand, lambda *a: None) == "confirmed"
    assert outcome(study.judge_ten_thousand, lambda *a: 1e-3) == "refuted"


def test_the_error_model_holds_for_explicit_schemes_alone():
    assert outcome(study.judge_model, as_found) == "confirmed with a difference"
    assert outcome(study.judge_model, amplified) == "confirmed"
    assert outcome(study.judge_model, lambda *a: 1.0) == "refuted"


def test_the_blow_up_is_exponential_with_exponent_one():
    assert outcome(study.judge_exponential, as_found) == "confirmed"
    assert outcome(study.judge_exponential, lambda *a: 1.0) == "refuted"
    with pytest.raises(NotMeasured):
        outcome(study.judge_exponential, lambda *a: None)


def test_divergence_is_silent_where_zero_is_returned():
    assert outcome(study.judge_divergence, as_found) == "confirmed with a difference"
    assert outcome(study.judge_divergence, lambda *a: 1e9) == "confirmed"


def test_radau_grows_a_decay_backwards_by_its_stability_function():
    steps = pd.DataFrame(study.watched_steps())
    np.testing.assert_allclose(steps["growth"], np.abs(study.radau5(steps["z"])), rtol=1e-6)
    assert steps["z"].max() > 20 and steps["growth"].iloc[-1] < 1


def test_the_figure_draws_from_a_frame():
    figure = study.draw(made(as_found))
    assert len(figure.axes) == 4
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in figure.axes)


def test_numbers_are_named_by_integrator():
    assert study.numbers(made(as_found))["diffrax/tsit5"] == pytest.approx(1e-7 * np.exp(30))


@pytest.mark.parametrize("rate", [1.0, 100.0])
def test_a_round_trip_is_measured_through_the_registry(rate):
    row = study.round_trip(
        "error", rate=rate, method="scipy/radau/forward", control=study.EQUAL, rtol=1e-6
    )
    assert row["error"] < 1e-5 if rate == 1.0 else 0.9 < row["error"] < 1.1
    assert row["forward_error"] < 1e-6
