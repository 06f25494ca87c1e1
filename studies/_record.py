"""What is kept of a run: the frame as CSV, verdicts and provenance as JSON, the figure."""

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from adapters import get_method
from studies import _figures, _journal
from studies._study import DataFrame, Study, StudyError
from suite import records
from suite.machine import RESULTS, ROOT, commit, machine, versions

FULL = RESULTS / "studies"
QUICK = ROOT / ".cache" / "studies"
ALWAYS = ("numpy", "pandas", "scipy", "matplotlib", "stiffgrad")


def check_drawing() -> None:
    """Raise StudyError if there is nothing to draw with, before anything is measured."""
    try:
        version("matplotlib")
    except PackageNotFoundError:
        raise StudyError("matplotlib is not installed; pip install 'stiffgrad[studies]'") from None


def measure(study: Study, quick: bool, folder: Path) -> records.Record:
    """Run a study, write NAME.csv, .json, .svg and .png into `folder`, and return the record.

    What is measured meanwhile is kept under `folder`/unfinished, and a run that was interrupted
    is continued from there.
    """
    from threadpoolctl import threadpool_limits

    folder.mkdir(parents=True, exist_ok=True)
    with _journal.keeping(study.name, quick, folder / _journal.FOLDER) as journal:
        with threadpool_limits(1):
            frame = study.run(quick)
        seconds = journal.seconds
        write_frame(frame, folder / f"{study.name}.csv")
        kept = read_frame(folder / f"{study.name}.csv")
        record = {
            "study": study.name,
            "title": study.title,
            "source": study.source,
            "quick": quick,
            "date": journal.date,
            "seconds": seconds,
            **_provenance(study, kept),
            **judged(study, kept),
        }
        write_record(record, folder / f"{study.name}.json")
        draw(study, kept, folder / study.name)
    return record


def draw(study: Study, frame: DataFrame, stem: Path) -> None:
    """The figure of a frame, as `stem`.svg and `stem`.png."""
    with _figures.styled():
        _figures.write(study.draw(frame), stem)


def judged(study: Study, frame: DataFrame) -> records.Record:
    """`verdicts`, each with its claim, and `numbers`, of a frame as it is read back."""
    verdicts = [
        {
            "claim": claim.name,
            "claimed": claim.text,
            "source": claim.source,
            "expected": claim.expected,
            **asdict(verdict),
        }
        for claim, verdict in zip(study.claims, study.verdicts(frame), strict=True)
    ]
    return {"verdicts": verdicts, "numbers": study.numbers(frame)}


def _provenance(study: Study, frame: DataFrame) -> records.Record:
    head, clean = commit()
    chosen = [get_method(name) for name in frame.get("method", ()) if name]
    named = {*ALWAYS, *study.requires}
    named |= {Requirement(text).name for method in chosen for text in method.requires}
    found = {name: version(name) for name in ALWAYS + study.requires}
    for method in chosen:
        found |= versions(method)
    return {
        "commit": head,
        "clean": clean,
        "machine": machine(),
        "libraries": sorted(named & found.keys()),
        "versions": dict(sorted(found.items())),
    }


def write_record(record: records.Record, path: Path) -> None:
    with path.open("w") as file:
        records.hand_over(file, record)


def read_record(path: Path) -> records.Record:
    """The record of a run; raises ValueError for anything else."""
    return records.parse_line(path.read_text())


def write_frame(frame: DataFrame, path: Path) -> None:
    """As CSV with every digit of every number."""
    if frame.empty:
        raise StudyError(f"{path.stem}: nothing was measured")
    frame.to_csv(path, index=False)


def read_frame(path: Path) -> Any:
    """A frame as judges see it: text columns with "" for nothing, others with NaN."""
    import pandas as pd

    frame = pd.read_csv(path)
    text = frame.select_dtypes(exclude=["number", "bool"]).columns
    return frame.assign(**{name: frame[name].fillna("") for name in text})
