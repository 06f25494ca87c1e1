"""The gate finds every planted regression and sounds no false alarm; its sides are real commits."""

import json
import math
import stat
import sys
from functools import partial

import numpy as np
import pytest
from rich.console import Console

from problems import UnknownNameError
from suite import _gate_command, _sides, gate, records
from suite._paired import Pairing
from suite._sides import Side, SideError
from suite.cases import BadRequest, Case

RECORD = {
    "problem": "rober",
    "method": "scipy/bdf/forward",
    "rtol": 1e-4,
    "atol": 1e-9,
    "device": "cpu",
    "status": "ok",
    "gradient_seconds": 1e-3,
    "gradient_error": 1e-5,
    "reversibility_error": 1e-3,
    "peak_bytes": 10**6,
    "calibration_seconds": 5e-3,
}
ROUNDS = 20


def noisy_pairs(seed, slowdown=1.0, **changed):
    """What a shared machine gives: drift from round to round, 8 % noise, now and then a hiccup."""
    rng = np.random.default_rng(seed)
    while True:
        drift = math.exp(rng.normal(0, 0.2))
        times = drift * np.exp(rng.normal(0, 0.08, 2)) * np.where(rng.random(2) < 0.05, 2.0, 1.0)
        base = {**RECORD, "gradient_seconds": 1e-3 * times[0]}
        yield base, {**RECORD, "gradient_seconds": 1e-3 * slowdown * times[1], **changed}


def verdicts(source):
    """As the gate's rounds go: until settled, or the last."""
    pairs = []
    for pair in source:
        pairs.append(pair)
        if gate.settled(pairs) or len(pairs) == ROUNDS:
            return {found.figure: found.verdict for found in gate.judge(pairs)}
    raise AssertionError("the source never ends")


def test_identical_code_is_never_accused():
    found = [verdicts(noisy_pairs(seed)) for seed in range(300)]
    assert not [each for each in found if "regression" in each.values()]
    assert sum(each["gradient_seconds"] == "same" for each in found) > 250


def test_a_slowdown_is_found():
    found = [verdicts(noisy_pairs(seed, slowdown=1.3))["gradient_seconds"] for seed in range(100)]
    assert found.count("regression") > 70
    assert set(found) <= {"regression", "undecided"}
    quiet = [(RECORD, {**RECORD, "gradient_seconds": 1.3e-3 * f}) for f in np.linspace(0.97, 1, 6)]
    assert verdicts(iter(quiet))["gradient_seconds"] == "regression"


@pytest.mark.parametrize(
    ("figure", "factor", "verdict"),
    [
        ("gradient_error", 2.0, "regression"),
        ("gradient_error", 1.2, "same"),
        ("gradient_error", 0.1, "improvement"),
        ("reversibility_error", 2.0, "regression"),
        ("peak_bytes", 1.2, "regression"),
        ("peak_bytes", 1.05, "same"),
    ],
)
def test_figures_that_repeat_are_compared_by_their_ratio(figure, factor, verdict):
    source = noisy_pairs(0, **{figure: RECORD[figure] * factor})
    assert verdicts(source)[figure] == verdict


def test_rounding_is_no_regression():
    tiny = [({**RECORD, "gradient_error": 1e-16}, {**RECORD, "gradient_error": 9e-13})] * 6
    assert verdicts(iter(tiny))["gradient_error"] == "same"


@pytest.mark.parametrize(
    ("base", "head", "verdict"),
    [
        ("ok", "diverged", "regression"),
        ("ok", "not-available", "regression"),
        ("diverged", "silently-wrong", "regression"),
        ("diverged", "timeout", "same"),
        ("timeout", "ok", "improvement"),
        ("not-available", "silently-wrong", "same"),
    ],
)
def test_statuses(base, head, verdict):
    pairs = [({**RECORD, "status": base}, {**RECORD, "status": head})] * 2
    assert gate.settled(pairs)
    assert [found.verdict for found in gate.judge(pairs)] == [verdict]


def test_a_status_that_comes_and_goes_is_undecided():
    failed = {**RECORD, "status": "timeout"}
    (found,) = gate.judge([(RECORD, failed), (RECORD, RECORD)])
    assert found.verdict == "undecided"


def test_recorded_runs_are_normalised_by_the_calibration_kernel():
    slower_machine = {**RECORD, "gradient_seconds": 3e-3, "calibration_seconds": 15e-3}
    assert {f.verdict for f in gate.judge_recorded([RECORD], [slower_machine])} == {"same"}
    slower_code = {**RECORD, "gradient_seconds": 3e-3}
    found = {f.figure: f.verdict for f in gate.judge_recorded([RECORD], [slower_code])}
    assert found["gradient_seconds"] == "regression"
    (missing,) = gate.judge_recorded([RECORD], [])
    assert missing.verdict == "regression"


STUB = """#!{python}
import json, sys
arguments = sys.argv[1:]
log = open({log!r}, "a")
log.write({label!r} + " ")
method = arguments[arguments.index("--method") + 1]
if method in {unknown!r}:
    sys.exit(2)
if method == "broken/broken/broken":
    sys.exit("no such disk")
record = dict({record!r}, method=method, problem=arguments[arguments.index("--problem") + 1])
open(arguments[arguments.index("--json") + 1], "w").write(json.dumps(record) + "\\n")
"""


def stub_side(tmp_path, label, unknown=(), **changed):
    """A side whose interpreter writes the record it is told to."""
    python = tmp_path / label
    text = STUB.format(
        python=sys.executable,
        log=str(tmp_path / "log"),
        label=label,
        unknown=unknown,
        record={**RECORD, **changed},
    )
    python.write_text(text)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return Side(label, tmp_path, python)


def pairing(tmp_path, *sides):
    return Pairing(*sides, "smoke", ROUNDS, tmp_path / "records")


def test_sides_are_measured_in_turn_until_they_are_settled(tmp_path):
    base = stub_side(tmp_path, "base")
    head = stub_side(tmp_path, "head", gradient_seconds=1.31e-3)
    case = Case("rober", "scipy/bdf/forward", 1e-4, 1e-9)
    (pairs,) = pairing(tmp_path, base, head).measure([case])
    order = (tmp_path / "log").read_text().split()
    assert order == ["base", "head", "head", "base"] * 3
    found = {finding.figure: finding.verdict for finding in gate.judge(pairs)}
    assert found["gradient_seconds"] == "regression"


def test_a_method_that_only_one_side_knows(tmp_path):
    base = stub_side(tmp_path, "base")
    head = stub_side(tmp_path, "head", unknown=("scipy/bdf/forward",))
    case = Case("rober", "scipy/bdf/forward", 1e-4, 1e-9)
    (pairs,) = pairing(tmp_path, base, head).measure([case])
    (found,) = gate.judge(pairs)
    assert (found.head, found.verdict) == ("not-available", "regression")


def test_a_side_that_cannot_measure_stops_the_gate(tmp_path):
    side = stub_side(tmp_path, "base")
    case = Case("rober", "broken/broken/broken", 1e-4, 1e-9)
    with pytest.raises(SideError, match="base cannot measure: no such disk"):
        list(pairing(tmp_path, side, side).measure([case]))


def gated(base, head, methods=("scipy/lsoda/forward",)):
    request = _gate_command.Request(base, head, ["linear:1"], list(methods), "smoke", 2)
    return partial(_gate_command.run, request, None, Console(quiet=True))


def test_a_planted_failure_is_caught_and_a_repaired_one_is_none(tmp_path, monkeypatch):
    plant = Side("planted", _sides.ROOT, stub_side(tmp_path, "p", status="timeout").python)
    real = Side("real", _sides.ROOT, stub_side(tmp_path, "r").python)
    monkeypatch.setattr(_gate_command, "CACHE", tmp_path)
    monkeypatch.setattr(_gate_command, "side", {"a": real, "b": plant}.__getitem__)
    assert gated("a", "b")() is True
    assert gated("b", "a")() is False


def test_recorded_runs_are_recognised(tmp_path):
    for name, seconds in (("one", 1e-3), ("two", 2e-3)):
        with (tmp_path / f"{name}.jsonl").open("w") as file:
            records.write_line(file, {**RECORD, "gradient_seconds": seconds})
    one, two = str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl")
    assert gated(one, two)() is True
    assert gated(two, one)() is False
    with pytest.raises(BadRequest, match="can only be compared with another"):
        gated(one, ".")()


def test_an_unknown_side_names_the_nearest(monkeypatch):
    monkeypatch.setattr(_sides, "stacks", lambda: {"diffrax-0.6": None})
    with pytest.raises(UnknownNameError, match=r"diffrax-0\.6"):
        _sides.side("difrax-0.6")


def test_a_lock_file_is_held_to(tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("# a stack\nnumpy==0.1\nno-such-package==1\n")
    numpy, missing = _sides.wrong(lock, sys.executable)
    assert numpy == f"numpy {np.__version__}, not 0.1"
    assert missing == "no-such-package missing, not 1"
    lock.write_text("numpy>=2\n")
    with pytest.raises(SideError, match="'numpy>=2' is no exact version"):
        _sides.pins(lock)


def test_the_findings_can_be_read_by_a_program(tmp_path):
    for name in ("one", "two"):
        with (tmp_path / f"{name}.jsonl").open("w") as file:
            records.write_line(file, RECORD)
    request = _gate_command.Request(
        str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl"), [], [], "smoke", 2
    )
    target = tmp_path / "findings.json"
    assert _gate_command.run(request, target, Console(quiet=True)) is False
    figures = [finding["figure"] for finding in json.loads(target.read_text())]
    assert figures == ["status", "gradient_seconds", *gate.RATIO_LIMITS]
