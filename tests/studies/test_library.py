"""Verdicts on frames made up to reach and to miss each aim."""

import pandas as pd
import pytest

from studies import NotMeasured
from studies import library as study
from studies._cost import exponent

THEIRS = "diffrax/kvaerno3/forward-discrete"
FASTER = "scipy/lsoda/forward"


def precision(problem, method, seconds, error=1.0):
    """A curve on which an error of 1e-6 takes `seconds`."""
    return [
        {
            "part": "precision",
            "problem": problem,
            "method": method,
            "rtol": rtol,
            "gradient_error": error * rtol,
            "seconds": seconds * factor,
        }
        for rtol, factor in ((1e-4, 0.5), (1e-6, 1.0), (1e-8, 2.0))
    ]


def made(*rows):
    return pd.DataFrame([{"status": "ok", "reason": "", **row} for row in rows])


def raced(ours, theirs, faster=1.0):
    return made(
        *precision("rober", study.DEFAULT, ours),
        *precision("rober", THEIRS, theirs),
        *precision("rober", FASTER, faster),
    )


def test_speed_is_that_at_an_error_of_a_millionth():
    assert study.judge_speed(raced(0.1e-3, 1.0), "rober").outcome == "confirmed"
    missed = study.judge_speed(raced(0.2e-3, 1.0), "rober")
    assert missed.outcome == "refuted" and "0.2 ms at 1e-06" in missed.measured


def test_a_problem_that_was_not_run_is_not_judged():
    with pytest.raises(NotMeasured, match="not part of this run"):
        study.judge_speed(raced(0.1e-3, 1.0), "pollu")


def test_a_curve_that_stays_above_the_target_is_not_judged():
    frame = made(*precision("rober", study.DEFAULT, 1e-4, error=1e4))
    with pytest.raises(NotMeasured, match="as good as 1e-6"):
        study.judge_speed(frame, "rober")


def test_the_ratio_is_to_the_fastest_of_diffrax_and_names_the_fastest_of_all():
    verdict = study.judge_ratio(raced(1e-3, 0.1, faster=0.01), "rober")
    assert verdict.outcome == "confirmed"
    assert "100 × faster than diffrax/kvaerno3" in verdict.measured
    assert "scipy/lsoda/forward is the fastest with 10 ms, 10 ×" in verdict.measured
    assert study.judge_ratio(raced(1e-3, 0.04), "rober").outcome == "refuted"


def test_peers_are_of_others_and_made_for_stiff_problems():
    names = study.peers()
    assert THEIRS in names and FASTER in names
    assert not [name for name in names if name.startswith("stiffgrad-jax/")]
    assert not [name for name in names if "backsolve" in name or "tsit5" in name]


def first(problem, cache, seconds):
    parts = {"import_seconds": 0.5, "compile_seconds": seconds - 0.6, "run_seconds": 0.1}
    return {"part": "first", "problem": problem, "cache": cache, "seconds": seconds, **parts}


def test_first_calls_have_a_limit_each():
    good = [first("rober", "cold", 2.9), first("rober", "warm", 1.9), first("pollu", "cold", 14.0)]
    assert study.judge_first(made(*good)).outcome == "confirmed"
    missed = study.judge_first(made(*good, first("pollu", "warm", 4.0)))
    assert missed.outcome == "refuted" and missed.why == "not reached: wanted pollu warm 2 s"


def scaled(name, power):
    return [
        {
            "part": "scaling",
            "method": f"stiffgrad-jax/rodas5p/{name}",
            "parameters": m,
            "seconds": 1e-5 * m**power,
        }
        for m in (100, 1000, 10_000)
    ]


def test_linear_in_m_holds_for_the_slowest_of_the_three():
    rows = [row for name in study.LINEAR for row in scaled(name, 1.0)]
    verdict = study.judge_linear(made(*rows, *scaled("interpolating", 3.0)))
    assert verdict.outcome == "confirmed" and "interpolating 3.00 (3.00)" in verdict.measured
    worse = made(*scaled("discrete", 1.0), *scaled("gauss", 1.5))
    verdict = study.judge_linear(worse)
    assert verdict.outcome == "refuted" and "gauss" in verdict.why
    assert "not measured: quadrature" in verdict.measured


def test_a_strategy_that_failed_gives_its_reason():
    row = {**scaled("discrete", 1.0)[0], "status": "error", "reason": "no such adjoint"}
    with pytest.raises(NotMeasured, match="no such adjoint"):
        study.judge_linear(made(row))


def test_the_exponent_is_that_of_a_power():
    assert exponent([1, 10, 100], [2.0, 200.0, 20_000.0]) == pytest.approx(2.0)


def stored(method, seconds, size):
    return {
        "part": "memory",
        "problem": "rober",
        "method": method,
        "seconds": seconds,
        "temporary_bytes": size,
        "max_steps": 1000,
    }


@pytest.mark.parametrize(
    ("seconds", "size", "outcome"),
    [(1.9, 4800, "confirmed"), (2.1, 4800, "refuted"), (1.9, 6000, "refuted")],
)
def test_memory_needs_a_tenth_within_twice_the_time(seconds, size, outcome):
    frame = made(stored(study.DEFAULT, 1.0, 48_000), stored(study.CHECKPOINTED, seconds, size))
    verdict = study.judge_memory(frame)
    assert verdict.outcome == outcome and "48 bytes a step" in verdict.measured


def trained(seconds, epochs=100, **more):
    return {
        "part": "training",
        "integrator": "rosenbrock23",
        "observe": "dense",
        "seconds": seconds,
        "epochs": epochs,
        "compile_seconds": 1.0,
        "first_loss": 0.3,
        "last_loss": 0.2,
        **more,
    }


def test_training_is_as_fast_as_its_fastest_recipe():
    slow = trained(0.5, integrator="rodas5p")
    assert study.judge_training(made(slow, trained(0.09))).outcome == "confirmed"
    assert study.judge_training(made(slow, trained(0.11))).outcome == "refuted"


def map_row(seconds):
    row = {"part": "map", "problem": "rober", "trajectories": 1000, "steps": 80.0, "max_steps": 256}
    return {**row, "seconds": seconds}


def test_a_map_is_measured_in_gradients_a_second():
    assert study.judge_map(made(map_row(0.03))).outcome == "confirmed"
    assert study.judge_map(made(map_row(0.04))).outcome == "refuted"


def everything():
    return made(
        *precision("rober", study.DEFAULT, 1e-4),
        *precision("rober", THEIRS, 1e-2),
        first("rober", "cold", 2.0),
        *scaled("discrete", 1.0),
        trained(0.1),
        map_row(0.02),
    )


def test_numbers_are_named_by_what_they_are_of():
    numbers = study.numbers(everything())
    assert numbers["gradient-rober"] == pytest.approx(1e-4)
    assert numbers["first-cold-rober"] == 2.0
    assert numbers["exponent-discrete"] == pytest.approx(1.0)
    assert numbers["epoch"] == pytest.approx(1e-3)
    assert numbers["map"] == pytest.approx(2e-5)


def test_the_figure_draws_from_a_frame():
    figure = study.draw(everything())
    assert len(figure.axes) == 4
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in figure.axes)


def test_a_gradient_is_measured_by_the_suite():
    from studies._library_parts import precision as measured

    row = measured("precision", "rober", FASTER, 1e-4, timing=0.01)
    assert row["status"] == "ok" and 0 < row["gradient_error"] < 1e-2 and row["seconds"] > 0
