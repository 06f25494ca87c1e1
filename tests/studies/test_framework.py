"""Studies by name, verdicts, attempts that fail in every way, and what is kept of a run."""

import io
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import studies
from problems import UnknownNameError
from studies import (
    Claim,
    Study,
    StudyError,
    Verdict,
    _attempts,
    _command,
    _journal,
    _record,
    attempts,
    confirmed,
    get_study,
    study_names,
)

EXTRA = str(Path(__file__).parent / "extra_studies")
BROKEN = str(Path(__file__).parent / "broken_studies")
STIFFGRAD = str(Path(sys.executable).parent / "stiffgrad")


def stiffgrad(*words, folder=EXTRA):
    environment = {**os.environ, "STIFFGRAD_STUDIES": folder, "COLUMNS": "160"}
    return subprocess.run(
        [STIFFGRAD, "study", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize("name", study_names())
def test_every_study_is_whole(name):
    study = get_study(name)
    assert study.claims
    for claim in study.claims:
        assert claim.name and claim.text and claim.source and claim.expected


def test_names_are_those_of_the_files_and_unknown_ones_list_the_nearest(extra):
    assert {"tiny", "reversibility-linear"} <= set(study_names())
    with pytest.raises(UnknownNameError, match="reversibility-linear"):
        get_study("reversability-linear")


@pytest.mark.parametrize(("name", "fault"), [("misnamed", "other"), ("no-study", "STUDY")])
def test_a_file_that_is_no_study_says_why(monkeypatch, name, fault):
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, BROKEN])
    with pytest.raises(StudyError, match=fault):
        get_study(name)


def test_a_verdict_other_than_confirmed_needs_its_reason():
    with pytest.raises(ValueError, match="reason"):
        Verdict("refuted", "0")


def test_two_claims_of_one_name_are_refused():
    claim = Claim("a", "x", "y", "z", lambda frame: confirmed(""))
    with pytest.raises(StudyError, match="two claims are called a"):
        Study("s", "", "", (claim, claim), lambda quick: None, lambda frame: None)


def test_every_claim_has_its_verdict_also_where_nothing_was_measured(extra):
    outcomes = [v.outcome for v in get_study("tiny").verdicts(pd.DataFrame({"value": [1.0]}))]
    assert outcomes == ["confirmed", "confirmed with a difference", "refuted", "not measured"]


def test_every_way_to_fail_is_a_row_and_the_others_go_on(extra):
    from studies import tiny

    ways = ["well", "raise", "hang", "die", "warn", "twice"]
    rows = attempts(tiny.work, [{"way": way, "n": n} for n, way in enumerate(ways)], 3.0)
    assert [row["way"] for row in rows] == [*ways, "twice"]
    statuses = ["ok", "error", "timeout", "crashed", "ok", "ok", "ok"]
    assert [row["status"] for row in rows] == statuses
    by_way = {row["way"]: row for row in rows}
    assert by_way["raise"]["reason"] == "raised ValueError: cannot [do] this"
    assert by_way["hang"]["reason"] == "did not end within 3 s"
    assert by_way["die"]["reason"] == "the process ended with exit code 3"
    assert by_way["warn"]["warning"] == "careful" and by_way["well"]["warning"] == ""
    assert [row["value"] for row in rows[-2:]] == [1.0, 2.0]


def test_what_hung_once_is_not_tried_again(extra):
    from studies import tiny

    cases = [{"way": "hang", "k": 1}, {"way": "hang", "k": 2}, {"way": "well", "k": 3}]
    rows = attempts(tiny.work, cases, 1.0, give_up=("way",))
    assert [row["status"] for row in rows] == ["timeout", "timeout", "ok"]
    assert rows[1]["reason"] == "not tried: a case before it did not end within 1 s"


def test_a_method_that_is_not_installed_is_a_row_with_the_reason(extra, monkeypatch):
    from studies import tiny

    monkeypatch.setattr(_attempts, "available", lambda method: (False, "scipy is not installed"))
    (row,) = attempts(tiny.work, [{"way": "well", "method": "scipy/bdf/forward"}], 5.0)
    assert (row["status"], row["reason"]) == ("not-installed", "scipy is not installed")


def test_a_frame_survives_its_file(tmp_path):
    frame = pd.DataFrame(
        {"name": ["a", ""], "x": [0.1 + 0.2, math.inf], "y": [math.nan, 1e-300], "z": [None, "b"]}
    )
    _record.write_frame(frame, tmp_path / "f.csv")
    kept = _record.read_frame(tmp_path / "f.csv")
    pd.testing.assert_frame_equal(kept, frame.fillna({"z": ""}), check_dtype=False)


def test_a_frame_with_nothing_in_it_is_refused(tmp_path):
    with pytest.raises(StudyError, match="nothing was measured"):
        _record.write_frame(pd.DataFrame(), tmp_path / "f.csv")


def test_the_command_prints_a_verdict_a_claim_and_writes_every_file(tmp_path):
    done = stiffgrad("tiny", "--quick", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    for words in ("A [tiny] study", "2 rows", "refuted: it is not so", "it was [not] tried"):
        assert words in done.stdout
    written = sorted(path.suffix for path in (tmp_path / "out").glob("tiny.*"))
    assert written == [".csv", ".json", ".png", ".svg"]
    record = _record.read_record(tmp_path / "out" / "tiny.json")
    assert record["quick"] is True and record["numbers"] == {"value": math.inf}
    assert len(record["verdicts"]) == 4 and record["machine"]["threads"] == 1
    assert {"numpy", "matplotlib"} <= set(record["versions"])
    assert record["date"] and "commit" in record and "clean" in record


def test_the_command_lists_and_complains_in_one_line():
    listed = stiffgrad("list")
    assert listed.returncode == 0
    assert "tiny" in listed.stdout and "reversibility-linear" in listed.stdout
    unknown = stiffgrad("tinny")
    assert unknown.returncode == 2 and "tiny" in unknown.stderr
    broken = stiffgrad("misnamed", folder=BROKEN)
    assert broken.returncode == 3 and len(broken.stderr.splitlines()) == 1


def test_all_is_every_study(extra, tmp_path, monkeypatch):
    monkeypatch.setattr(_command, "study_names", lambda: ["tiny"])
    console = Console(file=io.StringIO(), width=160)
    _command.run("all", True, tmp_path, console)
    assert "A [tiny] study" in console.file.getvalue() and (tmp_path / "tiny.json").exists()


def test_without_matplotlib_nothing_is_measured(monkeypatch):
    def missing(name):
        raise _record.PackageNotFoundError(name)

    monkeypatch.setattr(_record, "version", missing)
    with pytest.raises(StudyError, match=r"stiffgrad\[studies\]"):
        _record.check_drawing()


def test_help_imports_no_study():
    code = "import sys, suite.cli; sys.exit('studies' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def kept(folder):
    return list((folder / "unfinished").glob("*.jsonl"))


@pytest.fixture
def clean(monkeypatch):
    monkeypatch.setattr(_journal, "commit", lambda: ("0" * 40, True))


def interrupt(ways, folder):
    """Measure every way, then be interrupted; what was returned until then."""
    from studies import tiny

    with pytest.raises(KeyboardInterrupt), _journal.keeping("tiny", True, folder / "unfinished"):
        rows = attempts(tiny.work, [{"way": way, "k": (1, 2)} for way in ways], 3.0)
        raise KeyboardInterrupt
    return rows


def test_an_interrupted_run_is_continued(extra, clean, tmp_path, monkeypatch):
    from studies import tiny

    before = interrupt(("well", "twice", "hang"), tmp_path)
    assert len(kept(tmp_path)) == 1
    # whoever would measure again would find other values
    monkeypatch.setattr(_attempts._Worker, "rows", lambda self, case: [{"status": "ok"}])
    cases = [{"way": way, "k": (1, 2)} for way in ("well", "twice", "hang", "raise")]
    with _journal.keeping("tiny", True, tmp_path / "unfinished") as journal:
        rows = attempts(tiny.work, cases, 3.0)
        assert journal.seconds > sum({row["attempt_seconds"] for row in before})
    assert rows[:-1] == before and "reason" not in rows[-1]
    assert not (tmp_path / "unfinished").exists()


def test_what_hung_before_the_interruption_is_not_tried_after_it(extra, clean, tmp_path):
    from studies import tiny

    interrupt(("hang",), tmp_path)
    cases = [{"way": "hang", "k": (1, 2)}, {"way": "hang", "k": (3,)}]
    with _journal.keeping("tiny", True, tmp_path / "unfinished"):
        rows = attempts(tiny.work, cases, 3.0, give_up=("way",))
    assert rows[1]["reason"] == "not tried: a case before it did not end within 3 s"


@pytest.mark.parametrize(
    ("head", "tree", "quick"),
    [("1" * 40, True, True), ("0" * 40, False, True), ("0" * 40, True, False)],
)
def test_a_run_that_differs_starts_anew_and_leaves_the_other_alone(
    extra, clean, tmp_path, monkeypatch, head, tree, quick
):
    interrupt(("well",), tmp_path)
    (path,) = kept(tmp_path)
    before = path.read_text()
    monkeypatch.setattr(_journal, "commit", lambda: (head, tree))
    with _journal.keeping("tiny", quick, tmp_path / "unfinished"):
        assert len(kept(tmp_path)) == 2
    assert kept(tmp_path) == [path] and path.read_text() == before


def test_what_runs_here_is_kept_too(clean, tmp_path):
    asked = []

    def work(n):
        asked.append(n)
        return [{"value": np.float64(n), "good": np.bool_(True), "none": math.inf}]

    for cases in ([{"n": 1}], [{"n": 1}, {"n": 2}]):
        with pytest.raises(OSError), _journal.keeping("tiny", True, tmp_path):
            rows = _journal.here(work, *cases)
            raise OSError
    assert asked == [1, 2]
    assert [row["value"] for row in rows] == [1.0, 2.0] and rows[0]["none"] == math.inf


def test_the_command_says_where_an_unfinished_run_is(tmp_path):
    folder = tmp_path / "unfinished"
    folder.mkdir()
    left = folder / "2026-01-01T000000.000-tiny-0123abcd.jsonl"
    left.write_text("")
    done = stiffgrad("tiny", "--quick", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert str(left) in done.stdout and left.exists()
