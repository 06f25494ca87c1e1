"""Verdicts on frames made up to support and contradict each claim, and the constrained network."""

import numpy as np
import pandas as pd
import pytest

from studies import NotMeasured, _constrained
from studies import dae as study

METHODS = ("stiffgrad-jax/rodas5p/discrete", "stiffgrad-jax/radau5/discrete")


def gradients(ratio=1.0, fails=(), ode_fails=()):
    """Errors of the ODE at the tolerance, those of the DAE `ratio` times them."""
    rows = []
    for method in METHODS:
        for rtol in (1e-4, 1e-6):
            for problem in study.PROBLEMS:
                bad = method in (fails if problem == "rober-dae" else ode_fails)
                error = rtol * (ratio if problem == "rober-dae" else 1.0)
                rows.append(
                    {
                        "part": "gradient",
                        "method": method,
                        "problem": problem,
                        "rtol": rtol,
                        "error": np.nan if bad else error,
                        "status": "diverged" if bad else "ok",
                    }
                )
    return pd.DataFrame(rows)


def perturbed(power=1.0, growth=0.0):
    rows = [
        {
            "part": "perturbed",
            "epsilon": epsilon,
            "error": max(epsilon**power, 1e-9),
            "steps": 200 * epsilon**-growth,
            "status": "ok",
        }
        for epsilon in (1e-1, 1e-2, 1e-3, 1e-6, 1e-9, 1e-12)
    ]
    return pd.DataFrame(rows)


def training(off=1e-16, end=0.1, spikes=(), failures=()):
    """Three blocks of falling loss for every form and units; `spikes` and `failures` among them."""
    rows = []
    for units in study.UNITS:
        for form in study.FORMS:
            for number, loss in enumerate((0.4, 0.3, end if form == "constrained" else 0.1)):
                last = number == 2
                rows.append(
                    {
                        "part": "training",
                        "units": units,
                        "form": form,
                        "seed": 0,
                        "epoch": 20 * (number + 1),
                        "loss": loss,
                        "worst_loss": 5.0 if last and (units, form) in spikes else loss,
                        "best_loss": loss,
                        "violation": off if form == "constrained" else 1e-2,
                        "failed": last and (units, form) in failures,
                        "status": "ok",
                    }
                )
    return pd.DataFrame(rows)


def test_gradients_are_equal_when_their_errors_are():
    assert study.judge_gradients(gradients()).outcome == "confirmed"
    assert study.judge_gradients(gradients(ratio=50)).outcome == "refuted"
    both = gradients(fails=METHODS[:1], ode_fails=METHODS[:1])
    assert study.judge_gradients(both).outcome == "confirmed"
    alone = study.judge_gradients(gradients(fails=METHODS[:1]))
    assert alone.outcome == "confirmed with a difference"
    assert METHODS[0] in alone.why


def test_one_method_that_is_worse_on_the_dae_is_named():
    frame = gradients()
    worse = (frame["method"] == METHODS[1]) & (frame["problem"] == "rober-dae")
    frame.loc[worse, "error"] *= 1000
    verdict = study.judge_gradients(frame)
    assert verdict.outcome == "confirmed with a difference" and METHODS[1] in verdict.why


def test_the_limit_is_regular_when_it_is_approached_like_epsilon():
    assert study.judge_limit(perturbed()).outcome == "confirmed"
    assert study.judge_limit(perturbed(power=0.4)).outcome == "refuted"
    assert study.judge_limit(perturbed(growth=0.2)).outcome == "confirmed with a difference"


def test_the_constraint_holds_to_the_tolerance():
    assert study.judge_constraint(training()).outcome == "confirmed"
    assert study.judge_constraint(training(off=1e-4)).outcome == "refuted"
    frame = training()
    frame["violation"] = 1e-12
    assert study.judge_constraint(frame).outcome == "confirmed with a difference"


def test_training_is_as_good_with_the_constraint():
    assert study.judge_training(training()).outcome == "confirmed"
    assert study.judge_training(training(end=0.25)).outcome == "confirmed with a difference"
    assert study.judge_training(training(end=0.4)).outcome == "refuted"


def test_instabilities_are_looked_for_in_every_training():
    constrained = [(units, "constrained") for units in study.UNITS]
    every = [(units, form) for units in study.UNITS for form in study.FORMS]
    for kind in ("spikes", "failures"):
        assert study.judge_instabilities(training(**{kind: every})).outcome == "confirmed"
        only_plain = study.judge_instabilities(training(**{kind: constrained[1:]}))
        assert only_plain.outcome == "confirmed with a difference" and "eq. 13" in only_plain.why
        not_free = study.judge_instabilities(training(**{kind: constrained}))
        assert not_free.outcome == "confirmed with a difference" and "alone" in not_free.why
    assert study.judge_instabilities(training()).outcome == "refuted"


def test_verdicts_need_rows():
    empty = training().iloc[:0]
    for claim in study.CLAIMS:
        with pytest.raises(NotMeasured):
            claim.judge(empty)


def test_the_figure_draws_from_a_frame():
    figure = study.draw(pd.concat([gradients(), perturbed(), training()]))
    assert all(axis.get_ylabel() for axis in figure.axes)


def test_numbers_are_errors_and_losses():
    found = study.numbers(pd.concat([gradients(), perturbed(), training()]))
    assert found[f"error {METHODS[0]}"] == pytest.approx(1e-6)
    assert found["loss constrained"] == pytest.approx(0.1)


def test_a_gradient_of_the_dae_is_measured_through_the_registry():
    row = study.gradient(METHODS[0], "rober-dae", 1e-4)
    assert row["error"] < 1e-3 and row["steps"] > 10


def test_a_constrained_training_goes_down_and_keeps_the_sum(monkeypatch):
    monkeypatch.setattr(_constrained, "BLOCK", 5)
    _constrained._block.cache_clear()
    rows = _constrained.train("constrained", "scaled", 0, 10)
    _constrained._block.cache_clear()
    assert [row["epoch"] for row in rows] == [5, 10]
    assert rows[1]["loss"] < rows[0]["worst_loss"]
    assert max(row["violation"] for row in rows) < 1e-12
    assert not any(row["failed"] for row in rows)


def test_a_training_ends_with_the_solve_that_fails(monkeypatch):
    monkeypatch.setattr(_constrained, "MAX_STEPS", 3)
    _constrained._block.cache_clear()
    rows = _constrained.train("free", "scaled", 0, 40)
    _constrained._block.cache_clear()
    assert len(rows) == 1 and rows[0]["failed"]
    assert rows[0]["epoch"] == 0 and rows[0]["cause"] == "MAX_STEPS"
