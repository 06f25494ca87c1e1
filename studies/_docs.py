"""docs/studies.md is made of the last full runs; `python -m studies._docs` writes it.

The frames are judged and drawn anew by the present code; what was measured, when and on what stays
as recorded in results/studies.
"""

from pathlib import Path

from studies import _record
from studies._command import provenance
from studies._registry import get_study, study_names
from suite.machine import ROOT
from suite.records import Record

PAGE = ROOT / "docs" / "studies.md"
FIGURES = ROOT / "docs" / "figures"
HEAD = """# The papers, re-run

Each study takes a paper's claims about stiff gradients and measures them: `stiffgrad study NAME`,
with `--quick` for a short version. *Expected* is what our own derivation or an earlier measurement
gives; *measured* is from the run named below each figure; a claim is *confirmed*, *confirmed with
a difference* (which), *refuted* (why) or *not measured* (why).

This page is written by `python -m studies._docs` from `results/studies/`.
"""


def page() -> str:
    """The page as it follows from the last full runs and the present code."""
    names = study_names()
    contents = "\n".join(f"- [`{name}`](#{name}): {get_study(name).title}" for name in names)
    return "\n".join([HEAD, contents, "", *(_section(name) for name in names)])


def _section(name: str) -> str:
    study = get_study(name)
    about = f"## {name}\n\n{study.title}. Source: {study.source}.\n"
    data = _record.FULL / f"{name}.csv"
    if not data.exists():
        return f"{about}\nNo full run is on record yet.\n"
    record = _record.read_record(data.with_suffix(".json"))
    judged = _record.judged(study, _record.read_frame(data))
    figure = f"![{study.title}](figures/studies-{name}.png)\n"
    return "\n".join([about, _table(judged), "", figure, f"{provenance(record)}\n"])


def _table(judged: Record) -> str:
    lines = ["| claimed | expected | measured | verdict |", "| --- | --- | --- | --- |"]
    for row in judged["verdicts"]:
        why = f": {row['why']}" if row["why"] else ""
        cells = (
            f"{row['claimed']} ({row['source']})",
            row["expected"],
            row["measured"],
            f"**{row['outcome']}**{why}",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def write_figures(folder: Path) -> None:
    """A PNG for every study with a full run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in study_names():
        data = _record.FULL / f"{name}.csv"
        if data.exists():
            stem = folder / f"studies-{name}"
            _record.draw(get_study(name), _record.read_frame(data), stem)
            stem.with_suffix(".svg").unlink()


def main() -> None:
    """Judge and draw the recorded frames, and write the page, its figures and the verdicts."""
    for name in study_names():
        path = _record.FULL / f"{name}.json"
        if path.exists():
            frame = _record.read_frame(path.with_suffix(".csv"))
            record = _record.read_record(path) | _record.judged(get_study(name), frame)
            _record.write_record(record, path)
    write_figures(FIGURES)
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
