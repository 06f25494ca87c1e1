"""docs/studies.md follows from the records; tracked numbers follow from one quick run a study."""

import inspect
import json
import math

import pytest

from benchmarks import studies as tracked
from studies import _docs, _record, get_study, study_names
from suite import records


def test_the_page_is_that_of_the_last_full_runs():
    assert _docs.PAGE.read_text() == _docs.page()


@pytest.mark.parametrize("name", study_names())
def test_every_recorded_run_is_a_full_one_with_its_figure(name):
    data = _record.FULL / f"{name}.json"
    if not data.exists():
        pytest.skip("no full run is on record")
    record = _record.read_record(data)
    assert record["quick"] is False
    assert len(record["verdicts"]) == len(get_study(name).claims)
    assert (_docs.FIGURES / f"studies-{name}.png").exists()


def benchmarks():
    return [
        cls
        for _, cls in inspect.getmembers(tracked, inspect.isclass)
        if issubclass(cls, tracked.Study) and not inspect.isabstract(cls)
    ]


@pytest.mark.parametrize("cls", benchmarks())
def test_every_benchmark_names_a_study_and_has_units(cls):
    assert cls.study in study_names()
    functions = [f for n, f in inspect.getmembers(cls, inspect.isfunction) if n.startswith("track")]
    assert functions and all(function.unit for function in functions)
    assert len(cls.params) == len(cls.param_names)


@pytest.mark.parametrize("cls", benchmarks())
def test_tracked_parameters_are_numbers_of_the_last_full_run(cls):
    path = _record.FULL / f"{cls.study}.json"
    if not path.exists():
        pytest.skip("no full run is on record")
    numbers = _record.read_record(path)["numbers"]
    first = cls.params[0]
    assert all(any(name in key.split(" ") for key in numbers) for name in first)


def test_every_study_is_tracked():
    assert {cls.study for cls in benchmarks()} == set(study_names())


def test_a_study_is_run_once_for_all_its_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = []

    def measure(name):
        runs.append(name)
        text = json.dumps({"numbers": {"scipy/bdf 1e-06": "nan", "scipy/bdf 1e-08": 0.05}})
        (tmp_path / f"{name}.json").write_text(text)

    monkeypatch.setattr(tracked, "_measure", measure)
    benchmark = tracked.ReversibilityRober()
    assert benchmark.track_reversibility_error("scipy/bdf", 1e-8) == 0.05
    assert math.isnan(benchmark.track_reversibility_error("scipy/bdf", 1e-6))
    assert math.isnan(benchmark.track_reversibility_error("scipy/bdf", 1e-10))
    assert runs == ["reversibility-rober"]


def test_a_measured_study_is_kept_where_a_saved_run_looks_for_it(extra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(tracked.RECORDS_VARIABLE, str(tmp_path / "records.jsonl"))
    assert tracked.study_record("tiny")["numbers"] == {"value": "inf"}
    (kept,) = records.read(tmp_path / "records.jsonl")
    assert set(records.FIELDS) <= set(kept)
    assert (kept["problem"], kept["method"], kept["run"]) == ("tiny", "study", "records")
    assert len(kept["verdicts"]) == 4


def test_a_study_that_was_begun_and_never_ended_is_not_run_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reversibility-rober.begun").touch()
    with pytest.raises(RuntimeError, match="begun before"):
        tracked.ReversibilityRober().track_reversibility_error("scipy/bdf", 1e-8)


def test_errors_are_finite_and_not_zero():
    assert tracked.error({"a": "inf"}, "a") == tracked.LARGEST_ERROR
    assert tracked.error({"a": 0.0}, "a") == tracked.LEAST_ERROR
