"""The command as a user meets it: what is missing is said, and what to do about it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from report import ReportError, _command

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
