"""Performance profiles whose values are known, and sweeps by their names."""

import numpy as np
import pandas as pd
import pytest

from report import gather, listings, profiles
from report.profiles import Field
from report.sweeps import sweeps
from suite import tables


def test_ratios_and_shares_of_a_known_race():
    seconds = pd.DataFrame(
        {"a": [1.0, 4.0, np.inf, np.inf], "b": [2.0, 2.0, 3.0, np.inf]}, index=list("wxyz")
    )
    ratios = profiles.ratios(seconds)
    assert list(ratios.index) == ["w", "x", "y"], "a problem that nobody solves says nothing"
    assert ratios["a"].tolist() == [1.0, 2.0, np.inf]
    assert ratios["b"].tolist() == [2.0, 1.0, 1.0]
    factors, shares = profiles.profile(ratios["a"])
    assert factors.tolist() == [1.0, 1.0, 2.0]
    assert shares.tolist() == [0.0, 1 / 3, 2 / 3], "a failure is an infinite time"
    best, worse = profiles.summary(ratios).to_dict("records")
    assert (best["method"], best["solved"], best["within 2"]) == ("b", 1.0, 1.0)
    assert (worse["solved"], worse["fastest"], worse["within 10"]) == (2 / 3, 1 / 3, 2 / 3)


def test_fields_hold_only_methods_that_were_tried_on_every_problem(record):
    all_four = [record("a/b/discrete", problem) for problem in "wxyz"]
    three = [record(f"{name}/b/discrete", problem) for name in "cd" for problem in "xyz"]
    largest, *others = profiles.fields(tables.frame([*all_four, *three]))
    everyone = ["a/b/discrete", "c/b/discrete", "d/b/discrete"]
    assert (largest.problems, largest.methods) == (["x", "y", "z"], everyone)
    assert others == []
    two = [record("e/b/discrete", problem) for problem in "wx"]
    assert len(profiles.fields(tables.frame([*all_four, *three, *two]))) == 1, "a share of few"


def test_an_error_that_is_not_reached_is_a_failure(record):
    data = tables.frame([record(problem=name, rtol=1e-5) for name in "xyz"])
    field = Field(list("xyz"), ["newcomer/euler/discrete"])
    ranked = profiles.ranking(data)
    assert np.isfinite(profiles.times(ranked, field, 1e-4)).all(axis=None)
    assert np.isinf(profiles.times(ranked, field, 1e-6)).all(axis=None)


def test_sweeps_are_found_by_name_alone():
    names = ["linear:1", "linear:1e4", "relaxation:1e4", "novelty:n=2:final", "novelty:n=3:final"]
    names += ["rober", "rober:stiffness=100", "rober:t1=10", "rober:final"]
    found = {sweep.stem: sweep.values for sweep in sweeps(names)}
    assert found == {
        "linear:?": {"linear:1": 1.0, "linear:1e4": 1e4},
        "novelty:n=?:final": {"novelty:n=2:final": 2.0, "novelty:n=3:final": 3.0},
        "rober:stiffness=?": {"rober": 1.0, "rober:stiffness=100": 100.0},
    }


def test_a_glance_takes_the_fastest_method_of_each_framework(record):
    found = [
        record("a/slow/discrete", gradient_seconds=0.2),
        record("a/fast/discrete", gradient_seconds=0.1, gradient_error=1e-5),
        record("b/only/discrete", status="silently-wrong", gradient_error=2.0),
    ]
    (platform,) = gather.platforms(found)
    table = listings.glance(platform, profiles.ranking(platform.data))
    assert [line[:6] for line in table.lines()] == [
        ["rober", "a", "2", "2", "0", "≤100 fast/discrete"],
        ["rober", "b", "1", "0", "1", "–"],
    ]
    assert table.frame["at 1e-04"].tolist()[0] == pytest.approx(0.1)
