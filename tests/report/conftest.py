"""A small report of made-up records, with strings in them that nobody should trust.

It is built once for all processes of a test run.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from report.build import Sources, build
from suite.records import FIELDS, write_line

HOSTILE = "<script>alert('x')</script> & 100% | a_b $x^2$ {c} \\d `e` \"f\" ~"
COMMIT = "c0ffee" + "0" * 34
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
        "commit": COMMIT,
        "clean": True,
        "date": "2026-01-02T03:04:05+00:00",
        "reference": problem,
        **more,
    }


PROBLEMS = ("novelty:n=2", "novelty:n=3", "rober")
METHODS = ("newcomer/euler/discrete", "newcomer/euler/backsolve", "scipy/bdf/discrete")


def some_records():
    """Two machines, three problems, three methods, of which one fails; an old stack; batches."""
    # drawing takes most of the time: what makes no other figure is left out
    less = {"reversibility_error": None, "peak_bytes": None}
    found = [
        a_record(method, problem, rtol, gradient_seconds=(1 + i) * 1e-3 * rtol**-0.2)
        | (less if problem != "rober" else {})
        for problem in PROBLEMS
        for i, method in enumerate(METHODS)
        for rtol in (1e-4, 1e-6, 1e-8)
    ]
    bad = {"status": "diverged", "reason": HOSTILE, "message": HOSTILE, "gradient_error": None}
    found[-1] |= bad | {"gradient_seconds": None}
    other = a_record()["machine"] | {"name": HOSTILE, "cpu": HOSTILE}
    found += [a_record(machine=other), a_record(problem="novelty:n=2", machine=other, **less)]
    old = {"stack": "old", "versions": {"scipy": "0.9"}} | bad
    found.append(a_record("scipy/bdf/discrete", gradient_seconds=None, **old))
    return found + [
        a_record(problem=f"rober:batch={size}", batch=size, device=device)
        for device in ("cpu", "gpu")
        for size in (10, 100)
    ]


def save(found, path: Path) -> Path:
    with path.open("w") as file:
        for row in found:
            write_line(file, row)
    return path


def write_asv(folder: Path) -> Path:
    """asv's own files: two commits, two stacks, a method that is not declared any more."""
    names = ["problem", "method", "rtol"]
    titles = [f"smoke.Gradients.track_{name}" for name in ("gradient_seconds", "gradient_error")]
    (folder / "box").mkdir(parents=True)
    about = {title: {"param_names": names, "unit": "seconds"} for title in titles}
    (folder / "benchmarks.json").write_text(json.dumps(about | {"version": 2}))
    params = [["'rober'"], ["'scipy/bdf/gone'", "'scipy/bdf/discrete'"], ["0.0001"]]
    runs = [("a" * 40, "existing-py3.11"), (COMMIT, "existing-py3.11"), (COMMIT, "old")]
    for number, (commit, stack) in enumerate(runs):
        last = float("nan") if stack == "old" else 0.002
        found = {
            "commit_hash": commit,
            "date": 1767225600000 + 1000 * (commit == COMMIT),
            "env_name": stack,
            "params": {"machine": "box"},
            "result_columns": ["result", "params", "version"],
            "results": {title: [[0.001, last], params, "1"] for title in titles},
        }
        (folder / "box" / f"{number}-{stack}.json").write_text(json.dumps(found))
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
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / "report"
    page = folder / "out" / "index.html"
    runs = [str(folder / "run.jsonl")]
    sources = Sources(runs, folder / "asv", folder / "studies")
    with FileLock(root / "report.lock"):
        # the page is written last
        if not page.exists():
            folder.mkdir()
            save(some_records(), Path(runs[0]))
            write_asv(sources.asv)
            write_study(sources.studies)
            build(folder / "out", sources)
    return SimpleNamespace(out=folder / "out", page=page, html=page.read_text(), sources=sources)
