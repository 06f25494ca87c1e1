"""What airspeed velocity has on record, and how it moved over the commits of the suite."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from report.figure import Figure, Panel, Tags, data_limits, legend, logarithmic, plain
from report.formats import large, number, text
from report.gather import distinct_slugs, framework_version
from report.looks import Looks, attributes
from report.table import Column, Table
from suite import history
from suite.records import FIELDS, Record

SHOWN = {
    "gradient_seconds": ("ms a gradient", 1e3),
    "gradient_error": ("relative gradient error", 1.0),
    "peak_bytes": ("MiB", 2**-20),
    "reversibility_error": ("relative error of y0", 1.0),
}
# Of these a figure has panels; the tables have all.
DRAWN = ("gradient_seconds", "gradient_error", "peak_bytes")
# As many methods are named in a legend.
NAMED = 12
# A curve that moves by less than this is to look flat.
LEAST_SPAN = 10.0
HASH = 8
UNKNOWN = "not declared any more"
# How `suite.history` calls the present environment, and how it ends the name of one on a GPU.
PRESENT, ON_GPU = "existing", "-gpu"
# The columns of a table that a page has room for: the latest commits.
MOST_COMMITS = 8
CASE = ["method", "environment", "problem", "rtol", "metric"]


def load(folder: Path, found: Sequence[Record]) -> pd.DataFrame:
    """asv's figures of `SHOWN`, one row each; empty where there are none.

    Beside the columns of `suite.history.load` and `explained`: framework, integrator, strategy,
    family; y, the value in the unit of `SHOWN`; platform, the machine with its device; stack, None
    for the present environment; and version, the framework's, of the records `found`.
    """
    if not (folder / "benchmarks.json").exists():
        return pd.DataFrame()
    rows = history.load(folder)
    if rows.empty or "method" not in rows:
        return pd.DataFrame()
    rows = rows[rows["metric"].isin(SHOWN)].dropna(subset=["problem", "method"])
    rows = _placed(_named(history.explained(rows, list(found))))
    scale = rows["metric"].map(lambda name: SHOWN[name][1])
    y = pd.to_numeric(rows["value"], errors="coerce") * scale
    # an asv environment has one version of a framework, whichever case it was that told
    versions = {
        (record["machine"]["name"], record.get("stack"), record["framework"]): version
        for record in sorted(found, key=lambda record: str(record["date"]))
        if (version := framework_version(record)) is not None
    }
    keys = zip(rows["machine"], rows["stack"], rows["framework"], strict=True)
    return rows.assign(y=y.where(np.isfinite(y) & (y > 0)), version=[versions.get(k) for k in keys])


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    from adapters import methods

    words = rows["method"].str.split("/", expand=True).reindex(columns=range(3)).fillna("")
    known = methods()
    family = {name: known[name].family for name in set(rows["method"]) & set(known)}
    strategy = {name: known[name].strategy for name in family}
    return rows.assign(
        framework=words[0],
        integrator=words[1],
        strategy=[strategy.get(name, words.loc[i, 2]) for i, name in rows["method"].items()],
        family=[family.get(name, UNKNOWN) for name in rows["method"]],
    )


def _placed(rows: pd.DataFrame) -> pd.DataFrame:
    names = rows["environment"].str.removesuffix(ON_GPU)
    gpu = names != rows["environment"]
    stack = names.astype(object).where(~names.str.startswith(PRESENT), None)
    return rows.assign(platform=rows["machine"].where(~gpu, rows["machine"] + ", gpu"), stack=stack)


def sources(rows: pd.DataFrame, found: Sequence[Record]) -> pd.DataFrame:
    """The records of the figures `rows`, for their provenance."""
    places = set(zip(rows["machine"], rows["stack"], rows["commit"], strict=True))
    methods = set(rows["method"])
    kept = [
        record
        for record in found
        if (record["machine"]["name"], record.get("stack"), record["commit"]) in places
        and record["method"] in methods
    ]
    return pd.DataFrame.from_records(kept) if kept else pd.DataFrame(columns=list(FIELDS))


def over_commits(
    found: pd.DataFrame, records: Sequence[Record], looks: Looks
) -> list[Figure | Table]:
    """For every platform: a figure a metric, and a table, of environments with several commits."""
    commits = found.groupby(["platform", "environment"])["commit"].transform("nunique")
    several = found[commits > 1].sort_values("date")
    slugs = distinct_slugs(sorted(set(found["platform"])))
    drawn: list[Figure | Table] = []
    for platform, rows in several.groupby("platform"):
        name = f"{slugs[platform]}/commits"
        drawn.append(_figure(name, platform, rows[rows["y"].notna()], looks))
        drawn.append(_table(name, platform, rows, records))
    return drawn


def _figure(name: str, platform: str, good: pd.DataFrame, looks: Looks) -> Figure:
    methods = sorted(set(good["method"]))
    panels = [
        Panel(title, _drawer(part, methods, looks), below=0.75, lines=min(len(methods), NAMED))
        for (problem, rtol), rows in good.groupby(["problem", "rtol"])
        for metric in DRAWN
        for part in [rows[rows["metric"] == metric]]
        for title in [f"{problem}, rtol {rtol:.0e}: {SHOWN[metric][0]}"]
        if not part.empty
    ]
    caption = (
        "Commits of the suite by date, a curve a method and environment. Times are as they were "
        "measured."
    )
    return Figure(name, f"Over commits, {platform}", caption, panels)


def _drawer(rows: pd.DataFrame, methods: list[str], looks: Looks) -> Any:
    ticks = list(dict.fromkeys(rows["commit"]))
    places = {name: place for place, name in enumerate(ticks)}

    def draw(axes: Any, tags: Tags) -> None:
        logarithmic(axes, "y")
        axes.set(xlim=(-0.5, len(ticks) - 0.5), ylim=data_limits(rows["y"], LEAST_SPAN))
        labels = [tick[:HASH] for tick in ticks]
        axes.set_xticks(range(len(ticks)), labels, rotation=30, ha="right", fontsize=7)
        named: set[str] = set()
        for key, curve in rows.groupby(["method", "environment"]):
            method = key[0]
            rank = methods.index(method) + 1
            once = rank <= NAMED and method not in named
            label = plain(f"{rank} {method}") if once else "_"
            named.add(method)
            values = [f"{row['commit'][:HASH]}: {row['y']:.4g}" for row in curve.to_dict("records")]
            gid = tags.new(attributes(curve.iloc[0]), "\n".join([" · ".join(key), *values]))
            x = curve["commit"].map(places)
            axes.plot(x, curve["y"], gid=gid, label=label, **looks.curve(curve.iloc[0]))
        legend(axes)

    return draw


def _table(name: str, platform: str, rows: pd.DataFrame, records: Sequence[Record]) -> Table:
    about = ["framework", "integrator", "strategy", "family"]
    wide = rows.pivot_table(index=[*CASE, *about], columns="commit", values="y", sort=False)
    commits = [commit for commit in dict.fromkeys(rows["commit"]) if commit in wide]
    frame = wide[commits].reset_index()
    first, last = commits[-2:] if len(commits) > 1 else (commits[0], commits[0])
    frame = frame.assign(unit=frame["metric"].map(lambda name: SHOWN[name][0]))
    frame = frame.assign(ratio=frame[last] / frame[first])
    columns: list[Column] = [
        *(text(name, name) for name in ("method", "environment", "problem")),
        number("rtol", "rtol", ".0e"),
        text("figure", "unit"),
        *(number(commit[:HASH], commit, ".3g") for commit in commits[-MOST_COMMITS:]),
        large("last ratio", "ratio"),
    ]
    note = (
        f"Commits by date, the last {MOST_COMMITS} of them; CSV and Parquet have all. Last ratio: "
        "of the last two."
    )
    title = f"Over commits, {platform}"
    return Table(name, title, frame, columns, sources(rows, records), note)
