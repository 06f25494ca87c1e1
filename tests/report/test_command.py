"""The command as a user meets it: what is missing is said, and what to do about it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from report import ReportError, _command
from report.build import Sources, build

STIFFGRAD = str(Path(sys.executable).parent / "stiffgrad")


def report(tmp_path, *words):
    """`stiffgrad report` where nothing is on record."""
    return subprocess.run(
        [STIFFGRAD, "report", "--out", str(tmp_path / "out"), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"STIFFGRAD_RECORDS": str(tmp_path)},
    )


def test_nothing_on_record_is_one_line_and_exit_code_3(tmp_path):
    done = report(tmp_path)
    assert done.returncode == 3 and not (tmp_path / "out").exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith("stiffgrad: there are no records") and "stiffgrad run" in line


def test_an_unknown_run_is_one_line_and_exit_code_2(tmp_path):
    done = report(tmp_path, "--records", "no-such-run")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "no-such-run" in line


def test_a_missing_package_is_named_with_its_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(_command.NEEDED, "Nonsense", "no_such_module")
    with pytest.raises(ReportError, match=r"Nonsense not installed; pip install 'stiffgrad\[rep"):
        _command.run(tmp_path, [], None)


def test_a_report_replaces_an_earlier_one_and_nothing_else(tmp_path, record, write_records):
    out = tmp_path / "out"
    (out / "tables").mkdir(parents=True)
    mine = out / "tables" / "mine.csv"
    mine.write_text("not the report's")
    bad = {"status": "error", "gradient_error": None, "reversibility_error": None}
    found = [[record(problem=name, **bad)] for name in ("rober", "another")]
    files = [write_records(rows, tmp_path / f"{i}.jsonl") for i, rows in enumerate(found)]
    sources = [Sources([str(path)], tmp_path / "asv", tmp_path / "studies") for path in files]
    build(out, sources[0])
    assert mine.exists(), "there was no report here yet"
    build(out, sources[1])
    names = {path.name for path in (out / "tables" / "box").iterdir()}
    assert "another-failures.csv" in names and "rober-failures.csv" not in names
