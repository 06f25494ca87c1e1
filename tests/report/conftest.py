"""A small report of made-up records, with strings in them that nobody should trust."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from report.build import Sources, build
from suite.records import FIELDS, write_line

HOSTILE = "<script>alert('x')</script> & 100% | a_b $x^2$ {c} \\d `e` \"f\" ~"
FAMILIES = {"discrete": "reverse, discrete", "backsolve": "reverse, continuous"}


def a_record(method="newcomer/euler/discrete", problem="rober", rtol=1e-4, **more):
    """A record as the suite writes it; `newcomer` is a framework that no adapter declares."""
    framework, integrator, strategy = method.split("/")
    return {
        **dict.fromkeys(FIELDS),
        "problem": problem,
        "method": method,
        "framework": framework,
        "integrator": integrator,
        "strategy": strategy,
        "family": FAMILIES.get(strategy, "forward, continuous"),
        "rtol": rtol,
        "atol": rtol * 1e-3,
        "status": "ok",
        "reason": "",
        "gradient_error": rtol,
        "gradient_error_worst": rtol,
        "gradient_seconds": 1e-3 * rtol**-0.1,
        "gradient_seconds_count": 7,
        "forward_seconds": 1e-4,
        "compile_seconds": 0.5,
        "peak_bytes": 2**20,
        "reversibility_error": 1e-3,
        "steps": 100,
        "calibration_seconds": 1e-3,
        "versions": {framework: "1.0", "numpy": "2.4"},
        "machine": {"name": "box", "cpu": "a CPU", "cores": 2, "threads": 1, "python": "3.11"},
        "device": "cpu",
        "commit": "c0ffee" + "0" * 34,
        "clean": True,
        "date": "2026-01-02T03:04:05+00:00",
        "reference": problem,
        **more,
    }


PROBLEMS = ("novelty:n=2", "novelty:n=3", "rober")
METHODS = ("newcomer/euler/discrete", "newcomer/euler/backsolve", "scipy/bdf/discrete")


def some_records():
    """Two machines, three problems, three methods, of which one fails."""
    found = [
        a_record(method, problem, rtol, gradient_seconds=(1 + i) * 1e-3 * rtol**-0.2)
        for problem in PROBLEMS
        for i, method in enumerate(METHODS)
        for rtol in (1e-4, 1e-6, 1e-8)
    ]
    bad = {"status": "diverged", "reason": HOSTILE, "message": HOSTILE, "gradient_error": None}
    found[-1] |= bad | {"gradient_seconds": None}
    other = a_record()["machine"] | {"name": HOSTILE, "cpu": HOSTILE}
    return [*found, a_record(machine=other), a_record(problem="novelty:n=2", machine=other)]


def save(found, path: Path) -> Path:
    with path.open("w") as file:
        for row in found:
            write_line(file, row)
    return path


def write_asv(folder: Path) -> Path:
    """asv's own files: two commits, two stacks."""
    name = "smoke.Gradients.track_gradient_seconds"
    names = ["problem", "method", "rtol"]
    (folder / "box").mkdir(parents=True)
    about = {name: {"param_names": names, "unit": "seconds"}, "version": 2}
    (folder / "benchmarks.json").write_text(json.dumps(about))
    for number, (commit, stack) in enumerate((("a" * 40, "old"), ("b" * 40, "new"))):
        found = {
            "commit_hash": commit,
            "date": 1767225600000 + number,
            "env_name": stack,
            "params": {"machine": "box"},
            "result_columns": ["result", "params", "version"],
            "results": {name: [[0.001], [["'rober'"], ["'scipy/bdf/gone'"], ["0.0001"]], "1"]},
        }
        (folder / "box" / f"{commit[:8]}-{stack}.json").write_text(json.dumps(found))
    return folder


def write_study(folder: Path) -> Path:
    folder.mkdir()
    verdict = {"claim": "a", "source": "someone", "expected": "1", "measured": "2", "why": "so"}
    made = a_record()
    study = {
        "study": "a-study",
        "title": f"A study {HOSTILE}",
        "source": "a paper",
        "quick": False,
        "seconds": 1.0,
        "libraries": ["numpy"],
        "verdicts": [verdict | {"claimed": HOSTILE, "outcome": "confirmed"}],
        **{name: made[name] for name in ("date", "commit", "clean", "machine", "versions")},
    }
    (folder / "a-study.json").write_text(json.dumps(study))
    return folder


@pytest.fixture(scope="session")
def record():
    """The function that makes a record."""
    return a_record


@pytest.fixture(scope="session")
def write_records():
    """The function that writes records to a file."""
    return save


@pytest.fixture(scope="session")
def hostile():
    return HOSTILE


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The report's folder `out`, its page as `html` and the sources."""
    folder = tmp_path_factory.mktemp("report")
    runs = [str(save(some_records(), folder / "run.jsonl"))]
    sources = Sources(runs, write_asv(folder / "asv"), write_study(folder / "studies"))
    page = build(folder / "out", sources)
    return SimpleNamespace(out=folder / "out", page=page, html=page.read_text(), sources=sources)
