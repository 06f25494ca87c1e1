"""Sweeps: problems that differ in one number only, such as `linear:1e4`."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from report.figure import Figure, Panel, Tags, legend, logarithmic
from report.gather import Platform
from report.looks import Looks, attributes

NUMBER = re.compile(
    r"(?:(?P<key>[a-z]\w*)=)?(?P<value>[+-]?\d+\.?\d*(?:e[+-]?\d+)?)", re.IGNORECASE
)
# What a problem has where the number is not given; it is left out of other sweeps without it.
IMPLIED = {"stiffness": 1.0}


# Errors beyond are drawn here: how wrong a useless gradient is would hide all others.
MOST_ERROR = 10.0


@dataclass(frozen=True)
class Sweep:
    """Problems by the number in which they differ.

    `stem` is the name with `?` for the number, and `values` the number of each problem.
    """

    stem: str
    label: str
    values: dict[str, float]


def sweeps(problems: list[str]) -> list[Sweep]:
    """All sweeps of at least two problems, in the order of their names."""
    found: dict[str, dict[str, float]] = {}
    labels: dict[str, str] = {}
    for problem in problems:
        words = problem.split(":")
        for place, word in enumerate(words[1:], start=1):
            number = NUMBER.fullmatch(word)
            if number is None:
                continue
            key = number["key"]
            slot = f"{key}=?" if key else "?"
            stem = ":".join([*words[:place], slot, *words[place + 1 :]])
            found.setdefault(stem, {})[problem] = float(number["value"])
            labels[stem] = key or "λ"
            base = ":".join(words[:place] + words[place + 1 :])
            if key in IMPLIED and base in problems:
                found[stem][base] = IMPLIED[key]
    return [Sweep(s, labels[s], found[s]) for s in sorted(found) if len(found[s]) > 1]


SHOWN = (
    ("gradient_error", "relative gradient error", 1.0),
    ("gradient_seconds", "ms a gradient", 1e3),
    ("peak_bytes", "MiB", 2**-20),
)


def figures(platform: Platform, looks: Looks) -> list[Figure]:
    """A figure a sweep: error, time and memory at the tightest tolerance that all problems have."""
    drawn = [_figure(platform, sweep, looks) for sweep in sweeps(platform.problems)]
    return [figure for figure in drawn if figure is not None]


def _figure(platform: Platform, sweep: Sweep, looks: Looks) -> Figure | None:
    data = platform.data[platform.data["problem"].isin(sweep.values)]
    common = set.intersection(*(set(group["rtol"]) for _, group in data.groupby("problem")))
    if not common:
        return None
    rtol = min(common)
    rows = data[data["rtol"] == rtol].assign(x=lambda frame: frame["problem"].map(sweep.values))
    keys = -(-(rows["family"].nunique() + rows["framework"].nunique()) // 2)
    panels = [
        Panel(unit, _drawer(rows, name, unit, scale, sweep.label, looks), lines=keys)
        for name, unit, scale in SHOWN
        if not _points(rows, name, scale).empty
    ]
    if not panels:
        return None
    caption = (
        f"At rtol {rtol:.0e}. A curve ends or has a gap where a method gives no gradient; the "
        "failure map says why. Wrong gradients are shown where they are finite, errors over "
        f"{MOST_ERROR:g} as {MOST_ERROR:g}."
    )
    slug = re.sub(r"[^a-z0-9]+", "-", sweep.stem.lower()).strip("-")
    return Figure(f"{platform.slug}/sweep-{slug}", sweep.stem, caption, panels)


def _points(rows: pd.DataFrame, name: str, scale: float) -> pd.DataFrame:
    y = pd.to_numeric(rows[name], errors="coerce") * scale
    if name == "gradient_error":
        y = y.clip(upper=MOST_ERROR)
    return rows.assign(y=y)[np.isfinite(y) & (y > 0) & (rows["x"] > 0)]


def _drawer(
    rows: pd.DataFrame, name: str, unit: str, scale: float, label: str, looks: Looks
) -> Any:
    def draw(axes: Any, tags: Tags) -> None:
        logarithmic(axes, "x", "y")
        axes.set(xlabel=label, ylabel=unit)
        for method, found in _points(rows, name, scale).groupby("method"):
            values = found.sort_values("x")
            points = [f"{row['problem']}: {row['y']:.3g}" for row in values.to_dict("records")]
            gid = tags.new(attributes(values.iloc[0]), "\n".join([str(method), *points]))
            axes.plot(values["x"], values["y"], gid=gid, alpha=0.75, **looks.curve(values.iloc[0]))
        _families(axes, rows, looks)

    return draw


def _families(axes: Any, rows: pd.DataFrame, looks: Looks) -> None:
    """What colours and markers mean, below the axes."""
    from matplotlib.lines import Line2D

    present = set(rows["framework"])
    frameworks = [
        Line2D([], [], color="#444444", marker=marker, linestyle="", label=name)
        for name, marker in looks.markers.items()
        if name in present
    ]
    legend(axes, columns=2, handles=looks.family_keys(rows["family"]) + frameworks)
