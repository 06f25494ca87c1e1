"""Over versions of a framework: what a release changed, in time, in error and in what works."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from report import overtime
from report.figure import Figure, Panel, Tags, data_limits, legend, logarithmic, plain
from report.formats import NONE, formatted, in_thousands, large, number, text
from report.gather import distinct_slugs, parsed
from report.looks import Looks, attributes, status_colour
from report.overtime import DRAWN, HASH, LEAST_SPAN, NAMED, SHOWN
from report.statusmap import legend as signs_legend
from report.statusmap import sign
from report.table import Column, Table
from suite import gate
from suite.history import own_last
from suite.records import Record

# Of the height of a panel: a line of the signs above the curves.
SIGN_LINE = 0.085
FIGURES = {
    "status": ("status", "s", 1.0),
    "gradient_seconds": ("ms a gradient", ".3g", 1e3),
    "gradient_error": ("gradient error", ".1e", 1.0),
    "reversibility_error": ("error of y0", ".1e", 1.0),
    "peak_bytes": ("MiB", ".3g", 2**-20),
}


@dataclass(frozen=True)
class Release:
    """An environment, called by the version of the framework that it has.

    `base`: the place in the list of what it is to be compared with, None for the first.
    """

    environment: str
    label: str
    base: int | None


@dataclass(frozen=True)
class Track:
    """One framework's figures on one platform at one commit, over its releases."""

    framework: str
    platform: str
    commit: str
    slug: str
    rows: pd.DataFrame
    releases: list[Release]


def tracks(found: pd.DataFrame) -> list[Track]:
    """Every framework of which a platform has several versions on record at one commit.

    The commit with most environments is taken, the latest of equals: over different commits a
    release could not be told from a change of the suite.
    """
    made = []
    slugs = distinct_slugs(sorted(set(found["platform"])))
    for platform, everything in found.groupby("platform"):
        environments = everything.groupby(["date", "commit"])["environment"].nunique()
        commit = environments.index[::-1][int(np.argmax(environments.to_numpy()[::-1]))][1]
        at_once = everything[everything["commit"] == commit]
        for framework, rows in at_once.dropna(subset=["version"]).groupby("framework"):
            releases = _releases(str(framework), rows)
            if len(releases) > 1:
                slug = f"{slugs[platform]}/versions-{framework}"
                made.append(Track(framework, platform, commit, slug, rows, releases))
    return made


def _releases(framework: str, rows: pd.DataFrame) -> list[Release]:
    """By version, the present environment last.

    The stacks are those that are about the framework; where there are none, one for each version.
    """
    about = rows.drop_duplicates("environment").sort_values("environment")
    present = about["stack"].isna()
    named = about["environment"].str.startswith(framework)
    about = about.assign(present=present)
    if named.any():
        about = about[named | present]
    else:
        about = about.sort_values("present", ascending=False).drop_duplicates("version")
    kept = about.to_dict("records")
    kept.sort(key=lambda row: (row["present"], parsed(row["version"]), row["environment"]))
    versions = [row["version"] for row in kept]
    made = []
    for place, (row, version) in enumerate(zip(kept, versions, strict=True)):
        first = versions.index(version)
        if first < place:
            made.append(Release(row["environment"], f"{version} ({row['environment']})", first))
        else:
            base = versions.index(versions[place - 1]) if place else None
            made.append(Release(row["environment"], version, base))
    return made


def figure(track: Track, looks: Looks) -> Figure:
    """A panel a problem and metric: a curve a method over versions, a sign where it is not ok."""
    methods = sorted(set(track.rows["method"]))
    panels = [
        Panel(
            f"{problem}, rtol {rtol:.0e}: {SHOWN[metric][0]}",
            _drawer(track, part, methods, looks),
            below=0.75,
            lines=min(len(methods), NAMED),
        )
        for (problem, rtol), rows in track.rows.groupby(["problem", "rtol"])
        for metric in DRAWN
        for part in [rows[rows["metric"] == metric]]
        if part["y"].notna().any()
    ]
    caption = (
        f"By version of {track.framework}, the present environment last; a curve a method. Above "
        "the curves, by number: versions with which it is not ok, and how it ended. All at commit "
        f"{track.commit[:HASH]} on {track.platform}. Times are as they were measured; "
        "what is said to have changed is judged in units of the calibration kernel."
    )
    return Figure(track.slug, f"{track.framework} over versions", caption, panels)


def _drawer(track: Track, part: pd.DataFrame, methods: list[str], looks: Looks) -> Any:
    places = {release.environment: i for i, release in enumerate(track.releases)}
    part = part.assign(x=part["environment"].map(places)).dropna(subset=["x"]).sort_values("x")
    bad = part[part["outcome"].ne("ok") | part["y"].isna()]
    lines = list(dict.fromkeys(sorted(bad["method"])))

    def draw(axes: Any, tags: Tags) -> None:
        logarithmic(axes, "y")
        low, high = data_limits(part["y"].dropna(), LEAST_SPAN)
        room = 1 - SIGN_LINE * (len(lines) + 0.3 * bool(lines))
        axes.set(xlim=(-0.6, len(places) - 0.4), ylim=(low, low * (high / low) ** (1 / room)))
        labels = [plain(release.label.replace(" (", "\n(")) for release in track.releases]
        axes.set_xticks(range(len(places)), labels, fontsize=6.5)
        for method, curve in part.groupby("method"):
            rank = methods.index(method) + 1
            values = [f"{track.releases[int(x)].label}: {y:.4g}" for x, y in _points(curve)]
            gid = tags.new(attributes(curve.iloc[0]), "\n".join([str(method), *values]))
            label = plain(f"{rank} {method}") if rank <= NAMED else "_"
            axes.plot(curve["x"], curve["y"], gid=gid, label=label, **looks.curve(curve.iloc[0]))
        for row in bad.to_dict("records"):
            _sign(axes, tags, row, 1 - SIGN_LINE * (lines.index(row["method"]) + 0.5), track)
        for line, method in enumerate(lines):
            place = {"transform": axes.transAxes, "va": "center", "ha": "left"}
            number = str(methods.index(method) + 1)
            axes.text(0.005, 1 - SIGN_LINE * (line + 0.5), number, fontsize=7, **place)
        legend(axes)

    return draw


def _points(curve: pd.DataFrame) -> Any:
    known = curve.dropna(subset=["y"])
    return zip(known["x"], known["y"], strict=True)


def _sign(axes: Any, tags: Tags, row: dict[str, Any], height: float, track: Track) -> None:
    mark = _mark(row)
    colour, white = ("white", False) if mark == NONE else status_colour(row["outcome"])
    why = f"{row['outcome'] or 'no figure'}. {row['reason'] or ''}"
    tip = f"{row['method']}, {track.releases[int(row['x'])].label}: {why}"
    axes.text(
        row["x"],
        height,
        mark,
        gid=tags.new(attributes(row), tip),
        transform=axes.get_xaxis_transform(),
        color="white" if white else "black",
        fontsize=6.5,
        ha="center",
        va="center",
        bbox={"facecolor": colour, "edgecolor": "#999999", "linewidth": 0.4, "pad": 1.6},
    )


def _mark(row: dict[str, Any]) -> str:
    """The sign of a case that is not ok, `–` where a figure alone is missing, nothing else."""
    if row["outcome"] not in ("ok", None):
        return sign(row["outcome"])
    return NONE if pd.isna(row["y"]) else ""


def figures_table(track: Track, records: Sequence[Record]) -> Table:
    """A row a method, problem and metric; a column a version."""
    about = ["method", "framework", "integrator", "strategy", "family", "problem", "rtol", "metric"]
    rows = [
        dict(zip(about, key, strict=True)) | _cells(part, track.releases)
        for key, part in track.rows.groupby(about)
    ]
    rows.sort(key=lambda row: (row["method"], row["problem"], list(SHOWN).index(row["metric"])))
    frame = pd.DataFrame(rows)
    frame.insert(len(about), "unit", [SHOWN[name][0] for name in frame["metric"]])
    columns = [
        *(text(name, name) for name in ("method", "problem")),
        number("rtol", "rtol", ".0e"),
        text("figure", "unit"),
        *(_column(release.label) for release in track.releases),
        large("last over first", "ratio"),
    ]
    note = (
        f"A sign beside or in place of a figure: how the case ended. {NONE}: this figure alone is "
        f"missing. {signs_legend(track.rows['outcome'])}."
    )
    title = f"{track.framework} over versions, {track.platform}, commit {track.commit[:HASH]}"
    return Table(track.slug, title, frame, columns, _sources(track, records), note)


def _cells(part: pd.DataFrame, releases: list[Release]) -> dict[str, Any]:
    by = part.set_index("environment").to_dict("index")
    none = {"y": np.nan, "outcome": None, "reason": None}
    found = {release.label: by.get(release.environment, none) for release in releases}
    known = [cell["y"] for cell in found.values() if not pd.isna(cell["y"])]
    return {
        **{label: cell["y"] for label, cell in found.items()},
        "ratio": known[-1] / known[0] if len(known) > 1 else np.nan,
        **{f"outcome {label}": cell["outcome"] for label, cell in found.items()},
        **{f"reason {label}": cell["reason"] for label, cell in found.items()},
    }


def _column(label: str) -> Column:
    def cell(row: Any) -> str:
        mark = _mark({"y": row[label], "outcome": row[f"outcome {label}"]})
        figure = "" if pd.isna(row[label]) else in_thousands(row[label])
        return f"{figure} {mark}".strip()

    return Column(label, cell, lambda row: None if pd.isna(row[label]) else row[label])


def changes(track: Track, records: Sequence[Record]) -> Table | None:
    """What a release changed, by the gate's verdicts on recorded runs: worse first."""
    kept = _records(track, records)
    rows = []
    for release in track.releases:
        if release.base is not None:
            base = track.releases[release.base]
            pair = (kept.get(one.environment, []) for one in (base, release))
            for finding in gate.judge_recorded(*pair):
                if finding.verdict in ("regression", "improvement"):
                    rows.append({"from": base.label, "to": release.label, **vars(finding)})
    if not rows:
        return None
    about = track.rows.drop_duplicates("method")[["method", "framework", "strategy", "family"]]
    frame = pd.DataFrame(rows).merge(about, on="method", how="left")
    size = np.log(pd.to_numeric(frame["ratio"])).abs().fillna(np.inf)
    frame = frame.assign(better=frame["verdict"] == "improvement", size=size)
    frame = frame.sort_values(["better", "size"], ascending=[True, False], kind="stable")
    frame = frame.drop(columns=["better", "size"])
    for name in ("base", "head"):
        frame[f"{name}_text"] = [
            _readable(*row) for row in zip(frame["figure"], frame[name], strict=True)
        ]
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    columns = [
        *(text(name, name) for name in ("from", "to", "method", "problem")),
        number("rtol", "rtol", ".0e"),
        Column("figure", lambda row: FIGURES[row["figure"]][0]),
        text("before", "base_text"),
        text("after", "head_text"),
        large("ratio", "ratio"),
        text("verdict", "verdict"),
    ]
    note = (
        "By the rules of stiffgrad gate for recorded runs: times in units of the calibration "
        f"kernel count from a factor of {gate.RECORDED_TOLERATED:g} on, errors and memory from "
        f"{gate.RATIO_LIMITS['gradient_error']:g} and {gate.RATIO_LIMITS['peak_bytes']:g}."
    )
    title = f"What a release of {track.framework} changed"
    return Table(f"{track.slug}-changes", title, frame, columns, _sources(track, records), note)


def _readable(figure: str, value: Any) -> str:
    _, spec, scale = FIGURES[figure]
    return str(value) if figure == "status" else formatted(value, spec, scale)


def _records(track: Track, records: Sequence[Record]) -> dict[str, list[Record]]:
    """The track's own records by environment, the last of each case."""
    cases = track.rows[["machine", "stack", "method", "problem", "rtol", "environment"]]
    names = {tuple(case[:-1]): case[-1] for case in cases.itertuples(index=False)}
    found: dict[str, dict[Any, Record]] = {}
    for record in own_last(records):
        case = tuple(record[name] for name in ("method", "problem", "rtol"))
        environment = names.get((record["machine"]["name"], record.get("stack"), *case))
        if environment is not None and record["commit"] == track.commit:
            found.setdefault(environment, {})[case] = record
    return {environment: list(cases.values()) for environment, cases in found.items()}


def _sources(track: Track, records: Sequence[Record]) -> pd.DataFrame:
    shown = {release.environment for release in track.releases}
    return overtime.sources(track.rows[track.rows["environment"].isin(shown)], records)
