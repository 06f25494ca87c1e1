"""Figures of one dot a method: rows side by side on one logarithmic axis."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from report.figure import Figure, Panel, Tags, legend, logarithmic, plain
from report.gather import Platform
from report.looks import Looks, attributes
from report.profiles import TARGETS
from suite.display import milliseconds

# Inches of a row, and of a letter of its name.
ROW, LETTER = 0.17, 0.062
MOST_LEFT = 2.4
FEW_TICKS = 5
# Where strategies do not matter, colours would say something that is not so.
NEUTRAL = "#444444"
MARK = {"linestyle": "", "markersize": 5, "alpha": 0.85}


def reversibility(platform: Platform, problem: str, looks: Looks) -> Figure | None:
    """Error of the initial state after solving forward and back, a row an integrator."""
    data = platform.of(problem)
    y = pd.to_numeric(data["reversibility_error"], errors="coerce")
    data = data.assign(x=y, row=data["framework"] + "/" + data["integrator"])
    data = data[np.isfinite(y) & (y > 0)].sort_values("rtol", ascending=False)
    if data.empty:
        return None
    # strategies share the solves, so a mark is of no single method, and no filter hides it
    data = data.drop_duplicates(["row", "rtol"]).assign(
        group=lambda frame: frame["row"],
        label=lambda frame: frame["rtol"].map("rtol {:.0e}".format),
    )
    unit = "relative error of y0"
    panel = _panel(
        "one mark a tolerance", data, unit, looks, lambda row: {}, color=NEUTRAL, fillstyle="full"
    )
    caption = (
        "Solve forward, integrate the end state back, compare with y0; 1 is 100 % wrong. A row an "
        "integrator of a framework."
    )
    name = platform.place(problem, "reversibility")
    return Figure(name, f"{problem}: reversibility", caption, [panel])


def same_integrator(
    platform: Platform, problem: str, ranked: pd.DataFrame, looks: Looks
) -> Figure | None:
    """Time of all strategies on the same integrator of the same framework, at equal error."""
    rows = ranked[ranked["problem"] == problem]
    rows = rows.assign(row=rows["framework"] + "/" + rows["integrator"])
    rows = rows[rows.groupby("row")["strategy"].transform("nunique") > 1]
    panels = []
    for target in TARGETS:
        found = rows.assign(
            x=rows[f"at {target:.0e}"] * 1e3, group=rows["method"], label=f"error {target:.0e}"
        )
        found = found[np.isfinite(found["x"])]
        if not found.empty:
            title = f"gradient error {target:.0e}"
            panels.append(_panel(title, found, "ms a gradient", looks, attributes))
    if not panels:
        return None
    caption = (
        "A row an integrator of a framework, a mark each strategy on it: what the strategy alone "
        "costs. Colour and filling: its family."
    )
    name = platform.place(problem, "same-integrator")
    return Figure(name, f"{problem}: same integrator", caption, panels, columns=2)


def same_strategy(ranked: pd.DataFrame) -> pd.DataFrame:
    """The fastest method of each framework for a problem, strategy and error: one row each.

    Columns of `ranked`, and target, seconds, bound, ratio to the strategy's fastest framework.
    Strategies that only one framework has on a problem are left out.
    """
    parts = []
    for target in TARGETS:
        seconds = ranked[f"at {target:.0e}"]
        rows = ranked.assign(target=target, seconds=seconds, bound=ranked[f"bound {target:.0e}"])
        rows = rows[np.isfinite(seconds)].sort_values("seconds")
        rows = rows.drop_duplicates(["problem", "strategy", "framework"])
        groups = rows.groupby(["problem", "strategy"])
        rows = rows.assign(ratio=rows["seconds"] / groups["seconds"].transform("min"))
        parts.append(rows[groups["framework"].transform("nunique") > 1])
    return pd.concat(parts).sort_values(["problem", "strategy", "target", "ratio"])


def same_integrator_rows(ranked: pd.DataFrame) -> pd.DataFrame:
    """All strategies for a problem, framework, integrator and error, `ratio` to the fastest."""
    parts = []
    keys = ["problem", "framework", "integrator"]
    for target in TARGETS:
        seconds = ranked[f"at {target:.0e}"]
        rows = ranked.assign(target=target, seconds=seconds, bound=ranked[f"bound {target:.0e}"])
        rows = rows[np.isfinite(seconds)]
        groups = rows.groupby(keys)
        rows = rows.assign(ratio=rows["seconds"] / groups["seconds"].transform("min"))
        parts.append(rows[groups["method"].transform("nunique") > 1])
    return pd.concat(parts).sort_values([*keys, "target", "ratio"])


def time_text(row: Any) -> str:
    return milliseconds(row["seconds"], row["bound"])


def _panel(
    title: str,
    rows: pd.DataFrame,
    unit: str,
    looks: Looks,
    about: Callable[[Any], dict[str, str]],
    **override: Any,
) -> Panel:
    """Marks at `x` in the rows `row`, those of one `group` together.

    Arguments:
        about: attributes of a group; `override`: what all look like, whatever the method.
    """
    names = sorted(set(rows["row"]), reverse=True)
    left = 0.2 + LETTER * max(map(len, names))

    def draw(axes: Any, tags: Tags) -> None:
        logarithmic(axes, "x", ticks=FEW_TICKS)
        axes.set(xlabel=unit, ylim=(-0.7, len(names) - 0.3))
        axes.set_yticks(range(len(names)), [plain(name) for name in names], fontsize=7.5)
        for group, marks in rows.groupby("group"):
            first = marks.iloc[0]
            values = [f"{row['label']}: {row['x']:.3g}" for row in marks.to_dict("records")]
            gid = tags.new(about(first), "\n".join([f"{group}: {unit}", *values]))
            places = [names.index(row) for row in marks["row"]]
            axes.plot(marks["x"], places, gid=gid, **looks.curve(first) | MARK | override)
        legend(axes, height, handles=keys)

    keys = [] if override else looks.family_keys(rows["family"])
    height = ROW * max(len(names), 4)
    return Panel(title, draw, height=height, left=min(left, MOST_LEFT), lines=len(keys))
