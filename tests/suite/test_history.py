"""Saving a tier in a repository of its own, publishing it with asv, and loading it."""

import json
import math
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from rich.console import Console

from suite import history, records
from suite._asv_run import Run, merged
from suite.cli import CannotProceed
from suite.history import explained, load
from suite.machine import ROOT, machine

pytest.importorskip("asv")

TINY = """
from benchmarks import _case


class Gradients(_case.Gradients):
    limits = "smoke"
    timeout = 120.0
    params = (
        ["linear:1"],
        [f"faulty/exact/discrete-{fault}" for fault in ("right", "diverge", "absent")],
        [1e-6],
    )


class Broken:
    version = "1"

    def track_error(self):
        raise RuntimeError("not the method's fault")


class Zero:
    version = "1"

    def track_gradient_error(self):
        return _case.figure({"gradient_error": 0.0}, "gradient_error")
"""


def call(repository, *command):
    """Run a command in the repository, with an empty home folder."""
    home = repository.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        command,
        cwd=repository,
        env={**os.environ, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def save(repository, tier="tiny", *more):
    return call(repository, sys.executable, "-m", "suite.history", "save", "--tier", tier, *more)


STACKED = """
from benchmarks import _case


class One:
    version = "1"
    timeout = 120.0
    param_names = ("problem", "method", "rtol")
    params = (["linear:1"], ["faulty/exact/discrete-right"], [1e-6])

    def track_gradient_error(self, problem, method, rtol):
        return _case.figure(_case.record("smoke", problem, method, rtol, 1), "gradient_error")
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """This repository's code with a tier of three quick cases, committed."""
    path = tmp_path_factory.mktemp("clone") / "repository"
    unwanted = shutil.ignore_patterns("__pycache__", "*.lock")
    for name in ("problems", "stiffgrad", "adapters", "suite", "benchmarks", "results/references"):
        shutil.copytree(ROOT / name, path / name, ignore=unwanted)
    for name in ("asv.conf.json", ".gitignore"):
        shutil.copy(ROOT / name, path)
    faulty = Path(__file__).parent / "extra_adapters" / "faulty.py"
    shutil.copy(faulty, path / "adapters")
    (path / "benchmarks" / "tiny.py").write_text(TINY)
    (path / "benchmarks" / "stacked.py").write_text(STACKED)
    (path / "stacks").mkdir()
    (path / "stacks" / "present.txt").write_text(f"numpy=={metadata.version('numpy')}\n")
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-qm", "All")):
        assert call(path, "git", *words).returncode == 0
    return path


@pytest.fixture(scope="module")
def saved(repository):
    """The finished process of a save, whose results are in the repository."""
    return save(repository)


@pytest.fixture
def frame(repository, saved):
    return load(repository / "results" / "asv")


def test_a_fault_of_the_suite_itself_is_told_after_saving(saved):
    assert saved.returncode == 3
    assert "no value, through a fault of the suite itself: tiny.Broken.track_error" in saved.stderr


def test_saving_leaves_the_home_folder_alone_and_cleans_up(repository, saved):
    assert not list((repository.parent / "home").iterdir())
    left = {path.name for path in (repository / ".cache" / "asv").iterdir()}
    assert left <= {"log.txt", "save.lock"}
    changed = call(repository, "git", "status", "--porcelain", "--", ".", ":!results").stdout
    assert changed == ""


def test_results_do_not_say_where_they_were_made(repository, saved):
    files = list((repository / "results" / "asv").rglob("*"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert any(path.name.endswith(f"-existing-py{version}.json") for path in files)
    for path in filter(Path.is_file, files):
        text = path.read_text().replace("_", os.sep)
        assert str(repository) not in text
        assert str(Path(sys.prefix)) not in text


def test_one_record_a_case_lies_beside_and_belongs_to_the_commit(repository, saved):
    head = call(repository, "git", "rev-parse", "HEAD").stdout.strip()
    (path,) = (repository / "results" / "records").glob(f"*-asv-tiny-{head[:8]}.jsonl")
    found = records.read(path)
    assert [record["status"] for record in found] == ["ok", "diverged", "not-installed"]
    assert {(record["commit"], record["clean"]) for record in found} == {(head, True)}
    assert {(record["run"], record["run_cases"]) for record in found} == {(path.stem, 3)}


def test_the_loader_gives_one_tidy_row_a_figure(frame):
    tracked = frame[frame["benchmark"].str.startswith("tiny.Gradients.")]
    assert len(tracked) == 7 * 3
    assert set(tracked["machine"]) == {machine()["name"]}
    assert set(tracked["problem"]) == {"linear:1"}
    assert set(tracked["rtol"]) == {1e-6}
    units = dict(zip(tracked["metric"], tracked["unit"], strict=True))
    assert units["peak_bytes"] == "bytes"
    assert units["gradient_error"] == "relative error"
    row = tracked.set_index(["metric", "method"]).loc[
        ("gradient_error", "faulty/exact/discrete-right")
    ]
    assert row["status"] == "ok"
    assert 1e-17 <= row["value"] < 1e-12
    assert row["date"].year >= 2026


def test_the_loader_tells_failed_from_skipped(frame):
    status = frame.set_index(["metric", "method"])["status"]
    assert status.loc["error"].tolist() == ["failed"]
    assert status["gradient_error", "faulty/exact/discrete-diverge"] == "skipped"
    assert status["forward_seconds", "faulty/exact/discrete-diverge"] == "ok"
    assert set(status.xs("faulty/exact/discrete-absent", level="method")) == {"skipped"}


def test_every_skipped_figure_has_its_reason(repository, frame):
    (path,) = (repository / "results" / "records").glob("*.jsonl")
    told = explained(frame, records.read(path))
    skipped = told[told["status"] == "skipped"]
    assert skipped["reason"].notna().all()
    reason = skipped.set_index(["metric", "method"])["reason"]
    assert "step size" in reason["gradient_error", "faulty/exact/discrete-diverge"]
    assert "not installed" in reason["gradient_error", "faulty/exact/discrete-absent"]
    assert reason["peak_bytes", "faulty/exact/discrete-diverge"] == "there is no gradient"


def test_asv_publishes_what_was_saved(repository, frame):
    assert {"ok", "failed", "skipped"} == set(frame["status"])
    assert frame["value"].min() > 0
    assert frame.set_index("benchmark")["value"]["tiny.Zero.track_gradient_error"] == 1e-17
    done = call(repository, sys.executable, "-m", "asv", "publish")
    assert done.returncode == 0, done.stdout + done.stderr
    index = json.loads((repository / "html" / "index.json").read_text())
    assert "tiny.Gradients.track_gradient_error" in index["benchmarks"]
    assert index["params"]["machine"] == [machine()["name"]]
    (graph,) = (repository / "html" / "graphs").rglob(
        "python-*/**/tiny.Gradients.track_gradient_error.json"
    )
    ((_, values),) = json.loads(graph.read_text())
    assert values[0] < 1e-12
    assert values[1:] == [None, None]


def test_a_dirty_tree_is_refused(repository, saved):
    before = sorted((repository / "results").rglob("*"))
    changed = repository / "suite" / "uncommitted.py"
    changed.write_text("")
    try:
        done = save(repository)
    finally:
        changed.unlink()
    assert done.returncode == 3
    assert "uncommitted changes outside results/" in done.stderr
    assert sorted((repository / "results").rglob("*")) == before


def test_an_unknown_tier_is_bad_usage(repository):
    done = save(repository, "tinny")
    assert done.returncode == 2
    assert done.stderr.startswith("stiffgrad: unknown tier 'tinny'; nearest known: tiny")


def test_results_of_code_that_changed_meanwhile_are_not_kept(tmp_path):
    run = Run("smoke", "a" * 40, None, tmp_path, Console())
    run.records = tmp_path / "records.jsonl"
    for clean, head in ((False, "a" * 40), (True, "b" * 40)):
        with run.records.open("w") as file:
            records.write_line(file, {"commit": head, "clean": clean})
        with pytest.raises(CannotProceed, match="changed while it was measured"):
            run._check_tree()


def test_saving_again_replaces_a_tier_and_keeps_the_others():
    def result(results):
        return {"result_columns": ["result"], "durations": {}, "results": results}

    both = merged(result({"smoke.a": [[1.0]], "full.a": [[2.0]]}), result({"smoke.a": [[3.0]]}))
    assert both["results"] == {"smoke.a": [[3.0]], "full.a": [[2.0]]}
    with pytest.raises(CannotProceed, match="another version of asv"):
        merged(result({}), {**result({}), "result_columns": ["result", "params"]})


def test_an_entirely_failed_benchmark_is_one_failed_row_a_case(tmp_path):
    folder = tmp_path / "some-machine"
    folder.mkdir()
    (tmp_path / "benchmarks.json").write_text('{"version": 2}')
    found = {
        "params": {"machine": "some-machine"},
        "commit_hash": "a" * 40,
        "date": 0,
        "env_name": "existing-py3.11",
        "result_columns": ["result", "params", "version"],
        "results": {"old.track_x": [None, [["'a'", "<object>"]], "1"]},
    }
    (folder / "aaaaaaaa-existing-py3.11.json").write_text(json.dumps(found))
    frame = load(tmp_path)
    assert frame["param1"].tolist() == ["a", "<object>"]
    assert frame["status"].tolist() == ["failed", "failed"]
    assert all(map(math.isnan, frame["value"]))


def test_a_stack_is_measured_under_its_name_and_with_its_versions(repository, saved):
    environments = repository / ".cache" / "stacks"
    environments.mkdir(parents=True)
    # as if installed: what is there has the version that the lock file asks for
    (environments / "present").symlink_to(sys.prefix)
    done = save(repository, "stacked", "--stack", "present")
    assert done.returncode == 0, done.stderr
    (path,) = (repository / "results" / "asv").glob("*/*-present.json")
    assert json.loads(path.read_text())["requirements"] == {"numpy": metadata.version("numpy")}
    (path,) = (repository / "results" / "records").glob("*-asv-stacked-*.jsonl")
    (record,) = records.read(path)
    assert (record["status"], record["stack"]) == ("ok", "present")
    frame = load(repository / "results" / "asv")
    told = explained(frame[frame["environment"] == "present"], [record])
    assert set(told["outcome"]) == {"ok"}


def test_a_gpus_results_are_an_environment_of_their_own(repository, saved, tmp_path, monkeypatch):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho NVIDIA H200\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = save(repository, "stacked", "--device", "gpu")
    assert done.returncode == 0, done.stderr
    (path,) = (repository / "results" / "asv").glob("*-nvidia-h200/*-gpu.json")
    assert json.loads(path.read_text())["env_vars"] == {"STIFFGRAD_DEVICE": "gpu"}
    found = map(records.read, (repository / "results" / "records").glob("*-asv-stacked-*.jsonl"))
    (record,) = (row for rows in found for row in rows if row["device"] == "gpu")
    # the tests' framework runs on the CPU alone
    assert record["status"] == "unsupported"
    frame = load(repository / "results" / "asv")
    told = explained(frame[frame["environment"].str.endswith("-gpu")], [record])
    assert told["outcome"].tolist() == ["unsupported"]


def test_without_a_gpu_no_history_of_one_is_kept(repository, monkeypatch):
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine may have a GPU")
    done = save(repository, "tiny", "--device", "gpu")
    assert done.returncode == 3
    assert "names no GPU here" in done.stderr


def test_an_unknown_device_is_bad_usage(repository):
    done = save(repository, "tiny", "--device", "tpu")
    assert done.returncode == 2
    assert done.stderr.startswith("stiffgrad: unknown device 'tpu'; known: cpu, gpu")


def test_an_unknown_stack_is_bad_usage(repository):
    done = save(repository, "stacked", "--stack", "presnt")
    assert done.returncode == 2
    assert done.stderr.startswith("stiffgrad: unknown stack 'presnt'; nearest known: present")


def test_of_several_records_of_a_case_those_of_asvs_runs_count():
    runs = ["2026-asv-smoke-1", "2026-quick-2", None]
    found = history.own_last([{"run": run} for run in runs])
    assert [record["run"] for record in found] == ["2026-quick-2", None, "2026-asv-smoke-1"]
