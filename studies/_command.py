"""The command `stiffgrad study`: what it does, between the name and the table."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from studies import _journal, _record
from studies._registry import get_study, study_names
from suite.records import Record

ALL = "all"
STYLES = {
    "confirmed": "green",
    "confirmed with a difference": "yellow",
    "refuted": "red",
    "not measured": "dim",
}


def show_studies(console: Console) -> None:
    """All studies with their titles and sources."""
    table = Table(title="Studies")
    for name in ("name", "title", "source", "claims"):
        table.add_column(name, no_wrap=name == "name", overflow="fold")
    for name in study_names():
        study = get_study(name)
        table.add_row(name, escape(study.title), escape(study.source), str(len(study.claims)))
    console.print(table)


def run(name: str, quick: bool, folder: Path | None, console: Console) -> None:
    """Measure a study or, by the name "all", every one; print verdicts and where everything is.

    Raises UnknownNameError, or StudyError where it cannot be run.
    """
    for one in study_names() if name == ALL else [name]:
        _run(one, quick, folder, console)


def _run(name: str, quick: bool, folder: Path | None, console: Console) -> None:
    study = get_study(name)
    _record.check_drawing()
    target = folder or (_record.QUICK if quick else _record.FULL)
    if left := _journal.unfinished(name, target / _journal.FOLDER):
        console.print(
            f"Runs that did not end: {', '.join(map(str, left))}. The last is continued if commit, "
            "machine, libraries and settings are the same and the tree is clean.",
            highlight=False,
            soft_wrap=True,
        )
    record = _record.measure(study, quick, target)
    console.print(verdicts(record))
    console.print(escape(provenance(record)), highlight=False)
    files = ", ".join(f"{name}.{kind}" for kind in ("csv", "json", "svg", "png"))
    console.print(f"{target}: {files}", highlight=False, soft_wrap=True)


def verdicts(record: Record) -> Table:
    """Claimed, expected, measured, verdict: one line a claim."""
    table = Table(title=escape(record["title"]), show_lines=True)
    for name in ("claimed", "expected", "measured", "verdict"):
        table.add_column(name, overflow="fold", ratio=1)
    for row in record["verdicts"]:
        style = STYLES[row["outcome"]]
        verdict = f"[{style}]{row['outcome']}[/{style}]"
        table.add_row(
            f"{escape(row['claimed'])}\n[dim]{escape(row['source'])}[/dim]",
            escape(row["expected"]),
            escape(row["measured"]),
            f"{verdict}: {escape(row['why'])}" if row["why"] else verdict,
        )
    return table


def provenance(record: Record) -> str:
    """When, on what and with what it was measured, in a sentence or two."""
    machine, commit = record["machine"], record["commit"] or "unknown"
    tree = {True: "clean", False: "with uncommitted changes", None: "outside a repository"}
    libraries = ", ".join(f"{name} {record['versions'][name]}" for name in record["libraries"])
    kind = "A quick run" if record["quick"] else "A full run"
    return (
        f"{kind} of {record['seconds']:.0f} s, {record['date']}, at commit {commit[:10]} "
        f"({tree[record['clean']]}), on {machine['cpu']} ({machine['cores']} cores), "
        f"{machine['threads']} thread, Python {machine['python']}, {libraries}."
    )
