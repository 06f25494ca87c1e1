"""What airspeed velocity has on record: figures by commit, stack and machine."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from report.figure import Figure, Panel, Tags, logarithmic, plain
from report.gather import distinct_slugs
from report.looks import Looks, attributes
from suite import history

SHOWN = {
    "gradient_seconds": ("ms a gradient", 1e3),
    "gradient_error": ("relative gradient error", 1.0),
    "peak_bytes": ("MiB", 2**-20),
    "reversibility_error": ("relative error of y0", 1.0),
}
HASH = 8
UNKNOWN = "not declared any more"


def load(folder: Path) -> pd.DataFrame:
    """asv's figures of `SHOWN`, one row each; empty where there are none.

    Beside the columns of `suite.history.load`: framework, integrator, strategy, family.
    """
    from adapters import methods

    if not (folder / "benchmarks.json").exists():
        return pd.DataFrame()
    found = history.load(folder)
    if found.empty or "method" not in found:
        return pd.DataFrame()
    found = found[found["metric"].isin(SHOWN)].dropna(subset=["problem", "method"])
    words = found["method"].str.split("/", expand=True).reindex(columns=range(3)).fillna("")
    known = methods()
    family = {name: known[name].family for name in set(found["method"]) & set(known)}
    strategy = {name: known[name].strategy for name in family}
    return found.assign(
        framework=words[0],
        integrator=words[1],
        strategy=[strategy.get(name, words.loc[i, 2]) for i, name in found["method"].items()],
        family=[family.get(name, UNKNOWN) for name in found["method"]],
    )


def figures(found: pd.DataFrame, looks: Looks) -> list[Figure]:
    """For every machine and figure: over commits, and over stacks where there are several."""
    drawn = []
    slugs = distinct_slugs([str(name) for name in found["machine"].unique()])
    for machine, rows in found.groupby("machine"):
        for metric, (unit, _) in SHOWN.items():
            good = _good(rows, metric)
            for axis, title in (("commit", "over commits"), ("environment", "over stacks")):
                if good.empty or (axis == "environment" and good[axis].nunique() < 2):
                    continue
                name = f"{slugs[str(machine)]}/history-{metric}-{axis}".replace("_", "-")
                drawn.append(_figure(name, f"{unit} {title}, {machine}", good, axis, unit, looks))
    return drawn


def _good(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    values = rows[rows["metric"] == metric].assign(
        y=lambda frame: pd.to_numeric(frame["value"], errors="coerce") * SHOWN[metric][1]
    )
    return values[np.isfinite(values["y"]) & (values["y"] > 0)].sort_values("date")


def _figure(
    name: str, title: str, good: pd.DataFrame, axis: str, unit: str, looks: Looks
) -> Figure:
    panels = [
        Panel(f"{problem}, rtol {rtol:.0e}", _drawer(rows, axis, unit, looks), below=0.9)
        for (problem, rtol), rows in good.groupby(["problem", "rtol"])
    ]
    if axis == "commit":
        caption = "Commits of the suite by date, a curve a method and stack."
    else:
        caption = "The latest figure of each stack, a curve a method."
    caption += " Times are not normalised."
    return Figure(name, title, caption, panels, columns=2)


def _drawer(rows: pd.DataFrame, axis: str, unit: str, looks: Looks) -> Any:
    ticks = list(dict.fromkeys(rows[axis])) if axis == "commit" else sorted(set(rows[axis]))
    places = {name: place for place, name in enumerate(ticks)}
    labels = [plain(tick[:HASH] if axis == "commit" else tick) for tick in ticks]

    def draw(axes: Any, tags: Tags) -> None:
        logarithmic(axes, "y")
        axes.set(ylabel=unit, xlim=(-0.5, len(ticks) - 0.5))
        axes.set_xticks(range(len(ticks)), labels, rotation=30, ha="right", fontsize=7)
        keys = ["method", "environment"] if axis == "commit" else ["method"]
        for key, found in rows.groupby(keys):
            curve = found.drop_duplicates(axis, keep="last").sort_values(axis, key=_order(places))
            values = [f"{row[axis][:40]}: {row['y']:.4g}" for _, row in curve.iterrows()]
            tip = "\n".join([" · ".join(map(str, key)), *values])
            gid = tags.new(attributes(curve.iloc[0]), tip)
            x = curve[axis].map(places)
            axes.plot(x, curve["y"], gid=gid, **looks.curve(curve.iloc[0]))

    return draw


def _order(places: dict[str, int]) -> Any:
    return lambda column: column.map(places)
