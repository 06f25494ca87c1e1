"""Ranking at equal gradient error, failures, comparisons: on records whose answer is known."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from suite import display, tables
from suite.records import FIELDS


def record(method="a/b/discrete", rtol=1e-4, status="ok", error=1e-4, seconds=1e-3, **more):
    return {
        **dict.fromkeys(FIELDS),
        "problem": "rober",
        "method": method,
        "framework": "a",
        "family": "reverse, discrete",
        "rtol": rtol,
        "atol": rtol,
        "status": status,
        "reason": "" if status == "ok" else "because",
        "gradient_error": error,
        "gradient_seconds": seconds,
        "calibration_seconds": 1e-3,
        "versions": {"numpy": "2.0"},
        "machine": {"cpu": "test", "cores": 2, "threads": 1, "python": "3.11"},
        "commit": "c" * 40,
        "clean": True,
        "date": "2026-01-01",
        **more,
    }


@given(
    order=st.floats(1.0, 6.0),
    constant=st.floats(1e-6, 1.0),
    target=st.floats(1e-8, 1e-3),
)
def test_interpolation_is_exact_on_a_power_law(order, constant, target):
    errors = np.array([1e-2, 1e-4, 1e-9])
    seconds = constant * errors ** (-1 / order)
    expected = constant * target ** (-1 / order)
    assert tables.seconds_at(errors, seconds, target) == pytest.approx(expected, rel=1e-9)


def test_a_target_that_is_not_reached_has_no_time():
    assert math.isnan(tables.seconds_at([1e-2, 1e-4], [1.0, 2.0], 1e-5))
    assert math.isnan(tables.seconds_at([], [], 1e-5))


def test_a_target_already_beaten_gives_a_bound():
    assert tables.seconds_at([1e-6, 1e-8], [1.0, 2.0], 1e-3) == 1.0
    assert tables.reached_before([1e-6, 1e-8], 1e-3)
    assert not tables.reached_before([1e-2, 1e-8], 1e-3)


def test_an_error_of_zero_is_ranked():
    assert tables.seconds_at([1e-4, 0.0], [1.0, 2.0], 1e-7) < 2.0


def test_the_faster_at_equal_error_comes_first_whatever_its_tolerance():
    rows = [
        record("slow/b/discrete", 1e-4, error=1e-3, seconds=1e-3),
        record("slow/b/discrete", 1e-6, error=1e-7, seconds=1e-1),
        record("fast/b/discrete", 1e-4, error=1e-8, seconds=5e-3),
    ]
    ranked = tables.ranking(tables.frame(rows))
    assert ranked["method"].tolist() == ["fast/b/discrete", "slow/b/discrete"]


def test_silently_wrong_points_do_not_rank_and_are_listed_as_failures():
    rows = [record(), record("x/y/discrete", status="silently-wrong", error=3.0)]
    data = tables.frame(rows)
    assert tables.ranking(data)["method"].tolist() == ["a/b/discrete"]
    assert tables.failures(data)["method"].tolist() == ["x/y/discrete"]


def test_failures_gather_tolerances_under_one_reason():
    rows = [record(rtol=rtol, status="diverged") for rtol in (1e-6, 1e-4)]
    (row,) = tables.failures(tables.frame(rows)).to_dict("records")
    assert (row["rtols"], row["reason"]) == ("1e-04 1e-06", "because")


def test_comparison_has_ratios_and_changed_and_absent_cases():
    first = tables.frame([record(), record("gone/b/discrete")])
    second = tables.frame([record(seconds=2e-3, status="inaccurate", calibration_seconds=2e-3)])
    found = tables.comparison(first, second).set_index("method")
    row = found.loc["a/b/discrete"]
    assert row["time"] == pytest.approx(2.0)
    assert row["calibrated"] == pytest.approx(1.0)
    assert (row["status_a"], row["status_b"]) == ("ok", "inaccurate")
    assert found.loc["gone/b/discrete", "status_b"] == "absent"


@pytest.mark.parametrize("width", [80, 160])
def test_tables_fit_the_terminal_and_escape_what_methods_say(width):
    rows = [
        record("diffrax/implicit-euler/discrete-recursive", compile_seconds=1.0),
        record("x/y/discrete", status="error", reason="raised [/bold] odd [red]markup"),
    ]
    console = Console(width=width, record=True, force_terminal=False)
    with console.capture() as capture:
        display.show_run(console, tables.frame(rows))
    text = capture.get()
    assert "diffrax/implicit-euler/discrete-recursive" in text
    assert "odd" in text and "[red]" in text
    assert max(map(len, text.splitlines())) <= width


def test_an_empty_ranking_is_a_frame_too():
    assert isinstance(tables.ranking(tables.frame([record(status="timeout")])), pd.DataFrame)
