"""Make the report: gather, draw, write the files, fill the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from report import (
    availability,
    batches,
    claims,
    dots,
    gather,
    listings,
    overtime,
    page,
    precision,
    profiles,
    releases,
    statusmap,
    sweeps,
)
from report import figure as figures
from report import table as tables
from report.figure import Figure
from report.gather import Platform
from report.looks import Looks
from report.table import Table
from suite.machine import RESULTS, commit
from suite.records import Record
from suite.statuses import STATUSES

GENERATOR = 'name="generator" content="stiffgrad report"'
FILTERS = ("framework", "strategy", "family")


@dataclass
class Part:
    """A section of the page below a heading; what is in it has been written to files too."""

    title: str
    slug: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    parts: list["Part"] = field(default_factory=list)

    def add(self, *found: Table | Figure | None) -> "Part":
        """Keep what there is."""
        self.tables += [item for item in found if isinstance(item, Table)]
        self.figures += [item for item in found if isinstance(item, Figure)]
        return self

    @property
    def empty(self) -> bool:
        return not (self.tables or self.figures or self.parts)


@dataclass(frozen=True)
class Sources:
    """Where the report comes from.

    Arguments:
        runs: names of the runs whose records are used; all that are on record for none.
        asv, studies: folders of asv's results and of the studies' full runs.
    """

    runs: Sequence[str] = ()
    asv: Path = RESULTS / "asv"
    studies: Path = RESULTS / "studies"


def build(out: Path, sources: Sources, progress: Callable[[str], None] = lambda what: None) -> Path:
    """Write index.html, tables/ and figures/ into `out`; returns the page.

    `progress` is told what is being made. Raises ReportError where there are no records;
    UnknownNameError for an unknown run.
    """
    recorded = gather.read(sources.runs)
    found = gather.platforms(recorded)
    everything = pd.concat([rows for one in found for rows in (one.data, one.batches)])
    history = overtime.load(sources.asv, recorded)
    known = [everything] if history.empty else [everything, history]
    about = pd.concat([rows[["method", *FILTERS]] for rows in known]).drop_duplicates("method")
    looks = Looks(about)
    parts = [_platform(platform, looks) for platform in found]
    parts += _batches(found, looks)
    parts.append(_history(history, recorded, looks))
    ranked = [platform for platform in found if platform.ranked]
    if len(ranked) > 1:
        parts.append(Part("Platforms side by side", "platforms").add(listings.side_by_side(ranked)))
    _clear(out)
    _write(parts, out, progress)
    progress("the page")
    studies = claims.load(sources.studies)
    content = {
        "generated": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": (commit()[0] or "unknown")[:10],
        "platforms": found,
        "parts": parts,
        "availability": availability.matrix(everything),
        "studies": studies,
        "tally": claims.tally(studies),
        "statuses": STATUSES,
        "looks": looks,
        "choices": {name: sorted(set(about[name])) for name in FILTERS},
        "methods": about.set_index("method").to_dict("index"),
    }
    path = out / "index.html"
    path.write_text(page.render(content))
    return path


def _platform(platform: Platform, looks: Looks) -> Part:
    part = Part(platform.name, platform.slug)
    if not platform.ranked:
        return _empty(part, platform)
    ranked = profiles.ranking(platform.data)
    across = [
        Part("At a glance", "at-a-glance").add(listings.glance(platform, ranked)),
        Part("Failure map", "failure-map").add(
            statusmap.table(platform), statusmap.figure(platform)
        ),
        _profiles(platform, ranked, looks),
        Part("Same integrator, strategies side by side", "same-integrator").add(
            listings.same_integrator(platform, ranked)
        ),
        Part("Same strategy, frameworks side by side", "same-strategy").add(
            listings.same_strategy(platform, ranked)
        ),
        Part("Sweeps", "sweeps").add(*sweeps.figures(platform, looks)),
    ]
    problems = [_problem(platform, problem, ranked, looks) for problem in platform.problems]
    records = Part("Records", "records").add(listings.everything(platform))
    for child in [*across, *problems, records]:
        child.slug = f"{platform.slug}-{child.slug}"
    part.parts = [child for child in [*across, *problems, records] if not child.empty]
    return part


def _profiles(platform: Platform, ranked: Any, looks: Looks) -> Part:
    part = Part("Performance profiles", "profiles")
    for found in profiles.fields(platform.data):
        part.add(profiles.figure(platform, ranked, found, looks))
        part.add(listings.profile(platform, ranked, found))
    return part


def _problem(platform: Platform, problem: str, ranked: Any, looks: Looks) -> Part:
    return Part(problem, f"problem-{platform.problem_slugs[problem]}").add(
        precision.time_figure(platform, problem, looks),
        precision.memory_figure(platform, problem, looks),
        dots.same_integrator(platform, problem, ranked, looks),
        dots.reversibility(platform, problem, looks),
        listings.ranking(platform, problem, ranked),
        listings.failures(platform, problem),
    )


def _empty(part: Part, platform: Platform) -> Part:
    """A platform without a ranking: why, or where else its records are."""
    if platform.absent:
        reasons = {str(r) for rows in (platform.data, platform.batches) for r in rows["reason"]}
        part.text = f"Nothing could be measured: {'; '.join(sorted(reasons))}."
    else:
        part.text = "Batches only, which are compared below."
    return part


def _batches(found: list[Platform], looks: Looks) -> list[Part]:
    shown = batches.shown(found, looks)
    parts = [
        Part(problem, f"batches-{number}").add(*items)
        for number, (problem, items) in enumerate(shown)
    ]
    return [Part("Batches, and devices side by side", "batches", parts=parts)] if parts else []


def _history(found: Any, recorded: list[Record], looks: Looks) -> Part:
    part = Part("Over time", "over-time")
    if found.empty:
        part.text = "airspeed velocity has nothing on record yet."
    else:
        numbers = [
            f"{what}: {found[name].nunique()}"
            for name, what in (
                ("commit", "commits"),
                ("environment", "stacks"),
                ("machine", "machines"),
            )
        ]
        part.text = f"What airspeed velocity has on record; {', '.join(numbers)}."
        for number, track in enumerate(releases.tracks(found)):
            child = Part(f"{track.framework} over versions, {track.platform}", f"versions-{number}")
            child.add(releases.figure(track, looks), releases.changes(track, recorded))
            part.parts.append(child.add(releases.figures_table(track, recorded)))
        commits = Part("Commits", "commits").add(*overtime.over_commits(found, recorded, looks))
        part.parts += [] if commits.empty else [commits]
    return part


def _clear(out: Path) -> None:
    """Remove the files of an earlier report, so that none is taken for this one's."""
    page_file = out / "index.html"
    if not page_file.exists() or GENERATOR not in page_file.read_text(errors="replace"):
        return
    kinds = [("tables", tables.KINDS), ("figures", figures.KINDS)]
    for path in [path for name, _ in kinds for path in (out / name).rglob("*.*")]:
        if path.suffix[1:] in dict(kinds)[path.relative_to(out).parts[0]]:
            path.unlink()


def _write(parts: list[Part], out: Path, progress: Callable[[str], None]) -> None:
    for part in parts:
        for table in part.tables:
            tables.write(table, out / "tables")
        for figure in part.figures:
            progress(figure.title)
            figures.write(figure, out / "figures")
        _write(part.parts, out, progress)
