"""The tracked benchmarks: found by asv, the same everywhere, one solve a case, storable values."""

import inspect
import json
import math
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import adapters
import suite.run
from adapters import _registry, available, get_method
from adapters._registry import methods
from benchmarks import ROOT, _case, batch, full, smoke
from problems import get_problem
from suite import references
from suite.cases import get_tier, judged

TIERS = [smoke.Gradients, full.Gradients, batch.Gradients]
FIGURES = {
    "forward_seconds": "seconds",
    "gradient_seconds": "seconds",
    "compile_seconds": "seconds",
    "peak_bytes": "bytes",
    "gradient_error": "relative error",
    "finite_difference_error": "relative error",
    "reversibility_error": "relative error",
}
ABSENT_OF_BATCHES = ("finite_difference_error", "reversibility_error")


def test_asv_finds_the_benchmarks_and_accepts_them(tmp_path):
    pytest.importorskip("asv")
    done = subprocess.run(
        [sys.executable, "-m", "asv", "check", "-E", "existing"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No problems found" in done.stdout


@pytest.mark.parametrize("tier", TIERS)
def test_every_figure_is_tracked_with_its_unit_and_a_version(tier):
    assert not inspect.isabstract(tier)
    tracked = {
        name.removeprefix("track_"): function.unit
        for name, function in inspect.getmembers(tier, inspect.isfunction)
        if name.startswith("track_")
    }
    absent = set(ABSENT_OF_BATCHES) if tier is batch.Gradients else set()
    assert tracked == {name: unit for name, unit in FIGURES.items() if name not in absent}
    assert isinstance(tier.version, str)


def test_asv_is_not_given_the_class_that_tiers_share():
    assert inspect.isabstract(_case.Gradients) and inspect.isabstract(_case.Costs)


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_names_what_exists_and_what_has_a_reference(tier):
    problems, chosen, rtols = tier.params
    assert [get_problem(name).name for name in problems] == problems
    assert [get_method(name).name for name in chosen] == chosen
    for problem in (one for name in problems for one in judged(get_problem(name))):
        assert references.load(problem).gradient_p.size
    assert all(0 < rtol < 1 for rtol in rtols)


@pytest.mark.parametrize("tier", TIERS)
def test_asv_waits_longer_than_a_case_may_take(tier):
    limits = get_tier(tier.limits)
    assert tier.timeout >= max(limits.timeout, limits.risky_timeout) + _case.STARTING_SECONDS


def test_parameters_do_not_depend_on_what_is_installed(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_registry, "_version", absent)
    methods.cache_clear()
    assert not any(available(get_method(name))[0] for name in full.own_methods())
    assert full.own_methods() == full.Gradients.params[1]


def test_parameters_do_not_depend_on_a_users_own_adapters(monkeypatch):
    extra = str(ROOT / "tests" / "suite" / "extra_adapters")
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, extra])
    methods.cache_clear()
    try:
        assert any(name.startswith("faulty/") for name in methods())
        assert full.own_methods() == full.Gradients.params[1]
    finally:
        methods.cache_clear()


RECORD = dict.fromkeys([*FIGURES, "finite_difference_floor", "reason"]) | {
    "problem": "linear:1",
    "method": "some/thing/discrete",
    "rtol": 1e-4,
    "status": "ok",
    "forward_seconds": 1e-3,
    "gradient_error": 0.0,
    "finite_difference_error": 1e-9,
    "finite_difference_floor": 1e-7,
    "compile_seconds": 3e-7,
    "reversibility_error": "inf",
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("forward_seconds", 1e-3),
        ("gradient_error", 1e-17),
        ("finite_difference_error", 1e-7),
        ("compile_seconds", 1e-3),
        ("reversibility_error", 1e100),
    ],
)
def test_a_figure_is_a_finite_positive_float(name, value):
    assert _case.figure(RECORD, name) == value
    assert type(_case.figure(RECORD, name)) is float


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("missing", [None, "nan"])
def test_a_figure_that_does_not_exist_is_nan(name, missing):
    assert math.isnan(_case.figure({**RECORD, name: missing}, name))


def test_a_missing_floor_does_not_hide_the_difference():
    assert _case.figure({**RECORD, "finite_difference_floor": None}, "finite_difference_error") == (
        1e-9
    )


class Tracked(_case.Gradients):
    limits = "smoke"
    timeout = 120.0
    params = (["linear:1"], ["some/thing/discrete"], [1e-4])


@pytest.fixture
def solves(monkeypatch, tmp_path):
    """The calls of the measuring function, which answers RECORD, in a folder of their own."""
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_case, "_measure", lambda *case: calls.append(case) or RECORD)
    monkeypatch.setenv(_case.RECORDS_VARIABLE, str(tmp_path / "records.jsonl"))
    return calls


def test_one_solve_answers_for_every_figure(solves, tmp_path):
    case = ("linear:1", "some/thing/discrete", 1e-4)
    for name in FIGURES:
        getattr(Tracked(), f"track_{name}")(*case)
    assert solves == [("smoke", *case, 1)]
    (line,) = (tmp_path / "records.jsonl").read_text().splitlines()
    assert json.loads(line)["status"] == "ok"


def test_other_cases_are_solved_too(solves):
    for rtol in (1e-4, 1e-6, 1e-4):
        Tracked().track_forward_seconds("linear:1", "some/thing/discrete", rtol)
    assert [call[3] for call in solves] == [1e-4, 1e-6]


def test_a_case_that_broke_the_suite_is_not_tried_again(solves, monkeypatch):
    def broken(*case):
        solves.append(case)
        raise OSError("disk full")

    monkeypatch.setattr(_case, "_measure", broken)
    case = ("linear:1", "some/thing/discrete", 1e-4)
    with pytest.raises(OSError, match="disk full"):
        Tracked().track_forward_seconds(*case)
    with pytest.raises(RuntimeError, match="begun before, and did not end"):
        Tracked().track_gradient_error(*case)
    assert len(solves) == 1


@pytest.mark.parametrize(("device", "words"), [("gpu", "runs on the CPU only"), (None, "")])
def test_the_device_comes_from_the_environment(monkeypatch, device, words):
    if device is None:
        monkeypatch.delenv("STIFFGRAD_DEVICE", raising=False)
    else:
        monkeypatch.setenv("STIFFGRAD_DEVICE", device)
    found = _case._measure("smoke", "linear:1", "scipy/bdf/forward", 1e-4, 1)
    assert (found["device"], words in found["reason"]) == (device or "cpu", True)


def test_what_was_compiled_before_is_not_used(monkeypatch):
    folders = []

    class Runner(suite.run.Runner):
        def measure(self, case):
            folders.append(Path(os.environ["STIFFGRAD_COMPILE_CACHE"]))
            assert not list(folders[-1].iterdir())
            (folders[-1] / "compiled").touch()
            return {"method": case.method}

    monkeypatch.setattr(suite.run, "Runner", Runner)
    monkeypatch.setenv("STIFFGRAD_COMPILE_CACHE", "kept")
    for _ in range(2):
        found = _case._measure("smoke", "linear:1", "scipy/bdf/forward", 1e-4, 1)
        assert found == {"method": "scipy/bdf/forward"}
    assert len(set(folders)) == 2
    assert not any(folder.exists() for folder in folders)
