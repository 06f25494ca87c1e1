"""Injected faults: every way a method can go wrong becomes a record with the true status."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from problems import get_problem
from suite import records
from suite.cases import Case
from suite.measure import Effort
from suite.records import FIELDS
from suite.run import Limits, Runner, run_cases

LIMITS = Limits(timeout=6.0, risky_timeout=6.0, effort=Effort(0.01, 1.0), memory_bytes=4 * 2**30)


def case(fault, problem="linear:1", rtol=1e-6):
    integrator = fault if fault.startswith("forward") else "exact"
    return Case(problem, f"faulty/{integrator}/discrete-{fault}", rtol, 1e-9)


@pytest.fixture(scope="module")
def runner(faulty):
    with Runner(LIMITS) as runner:
        yield runner


@pytest.fixture
def measured(runner):
    return lambda fault, **kwargs: runner.measure(case(fault, **kwargs))


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("right", "ok", ""),
        ("rubbish", "ok", ""),
        ("wrong", "silently-wrong", "relative gradient error 1.0e+00"),
        ("inaccurate", "inaccurate", "relative gradient error 5.0e-02"),
        ("warned", "inaccurate", "it warned: results may be inaccurate"),
        ("nan", "non-finite", "1 of 2 gradient components are NaN"),
        ("raise", "error", "raised KeyError: 'something unforeseen'"),
        ("diverge", "diverged", "Required step size is less than spacing between numbers."),
        ("unsupported", "unsupported", "no stiff problems, please"),
        ("import-error", "error", "the framework cannot be imported"),
        ("memory", "out-of-memory", "asked for more memory than its limit"),
        ("abort", "out-of-memory", "asked for more memory than its limit"),
        ("exit", "crashed", "exit code 3"),
        ("segfault", "crashed", "killed by signal 11"),
        ("forward-diverge", "diverged", "the forward solve failed: maximum number of steps"),
        ("forward-nan", "non-finite", "the forward solve failed: its states are NaN"),
        ("absent", "not-installed", "no-such-package-at-all is not installed"),
        ("old", "not-installed", "needs numpy>=999, installed is"),
        ("hang", "timeout", "did not end within 6 s"),
    ],
)
def test_every_fault_becomes_a_record_with_its_status(measured, fault, status, words):
    record = measured(fault)
    assert record["status"] == status
    assert words in record["reason"]
    assert set(FIELDS) <= set(record)
    assert json.loads(json.dumps(records._plain(record)))["problem"] == "linear:1"


def test_a_worker_serves_on_after_every_death(measured):
    for fault in ("exit", "right", "segfault", "right"):
        assert measured(fault)["status"] == ("ok" if fault == "right" else "crashed")


def test_the_figures_of_a_healthy_case_are_the_true_ones(measured):
    record = measured("right")
    problem = get_problem("linear:1")
    decay = np.exp(-problem.times)
    assert record["loss"] == pytest.approx(decay.sum(), rel=1e-14)
    assert record["gradient_p"] == pytest.approx([-(problem.times * decay).sum()], rel=1e-14)
    assert record["gradient_error"] < 1e-12
    assert record["finite_difference_error"] < 1e-7
    assert record["finite_difference_floor"] < 1e-5
    assert record["reversibility_error"] < 1e-14
    assert (record["steps"], record["rhs_evaluations"]) == (7, 11)
    assert record["gradient_seconds_q25"] <= record["gradient_seconds"]
    assert record["gradient_seconds_count"] >= 5
    assert record["peak_bytes"] is not None
    assert record["versions"]["numpy"] == np.__version__


def test_a_wrong_gradient_is_caught_by_finite_differences_too(measured):
    record = measured("wrong")
    assert record["finite_difference_error"] > 0.1 > record["finite_difference_floor"]


def test_seconds_are_seconds(measured):
    record = measured("slow")
    assert 0.05 <= record["gradient_seconds"] < 0.5
    assert record["forward_seconds"] < 0.01


def test_what_was_measured_before_a_hang_stands(measured):
    record = measured("reverse-hang", problem="linear:1e2")
    assert record["status"] == "ok"
    assert record["gradient_error"] < 1e-12
    assert record["reversibility_error"] is None
    assert record["reversibility_error_reason"] == "did not end within 6 s"


def test_after_a_timeout_tighter_tolerances_are_not_tried_and_say_so(measured):
    assert measured("hang", rtol=1e-6)["status"] == "timeout"
    record = measured("hang", rtol=1e-8)
    assert record["status"] == "timeout"
    assert "at rtol 1e-06 did not end within 6 s" in record["reason"]


def test_equal_forward_solves_are_measured_once(measured):
    first, second = measured("right", problem="linear:1e3"), measured("slow", problem="linear:1e3")
    assert second["forward_from"] == first["method"]
    assert second["forward_seconds"] == first["forward_seconds"]
    assert second["reversibility_error"] == first["reversibility_error"]


def test_continuous_sensitivities_do_not_need_the_plain_forward_solve(measured, runner):
    assert measured("forward-nan")["status"] == "non-finite"
    record = runner.measure(Case("linear:1", "faulty/forward-nan/forward-right", 1e-6, 1e-9))
    assert record["status"] == "ok"
    assert record["forward_seconds_reason"] == "its states are NaN or infinite"


def test_a_run_continues_after_records_already_there(runner):
    cases = [case(fault, problem="linear:1e4") for fault in ("right", "nan")]
    first = list(run_cases(cases[:1], [], runner, lambda record: None))
    kept = []
    second = list(run_cases(cases, first, runner, kept.append))
    assert [record["status"] for record in second] == ["non-finite"]
    assert kept == second


SCRIPT = """
import sys
from pathlib import Path
from suite import records
from suite.cases import Case
from suite.measure import Effort
from suite.run import Limits, Runner, run_cases

if __name__ == "__main__":
    cases = [
        Case("linear:1", "faulty/exact/discrete-right", 1e-6 / number, 1e-9)
        for number in range(1, 31)
    ]
    file = records.open_run("test", "12345678", len(cases), False, Path(sys.argv[1]))
    with file, Runner(Limits(30.0, 30.0, Effort(0.01, 1.0))) as runner:
        for record in run_cases(cases, file.done, runner, file.append):
            pass
"""


def start(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {
        **os.environ,
        "STIFFGRAD_ADAPTERS": os.path.join(os.path.dirname(__file__), "extra_adapters"),
    }
    return subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "records")],
        env=environment,
        start_new_session=True,
    )


def whole_lines(folder):
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def test_a_killed_run_loses_at_most_the_case_in_flight_and_resumes(tmp_path):
    folder = tmp_path / "records"
    process = start(tmp_path)
    while whole_lines(folder) < 5:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = whole_lines(folder)
    assert 5 <= kept < 30
    assert start(tmp_path).wait() == 0
    (path,) = folder.glob("*.jsonl")
    found = records.read(path)
    assert len(found) == 30
    assert len({record["rtol"] for record in found}) == 30
    assert all(record["status"] == "ok" for record in found)


def test_two_runs_at_once_write_two_whole_files(tmp_path):
    folder = tmp_path / "records"
    processes = [start(tmp_path), start(tmp_path)]
    assert [process.wait() for process in processes] == [0, 0]
    found = [records.read(path) for path in folder.glob("*.jsonl")]
    assert [len(rows) for rows in found] == [30, 30]
