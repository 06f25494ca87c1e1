"""Work-precision figures: what a gradient costs against how good it is, a panel a family."""

from typing import Any

import numpy as np
import pandas as pd

from report.figure import Figure, Panel, Tags, data_limits, legend, logarithmic, plain
from report.gather import Platform
from report.looks import PLAIN, Looks, attributes
from suite.tables import LEAST_ERROR, USABLE

# As many methods are named in a panel: those that no other of the family beats.
NAMED = 6


def time_figure(platform: Platform, problem: str, looks: Looks) -> Figure | None:
    """Time for a gradient against its error."""
    points = usable(platform.of(problem), "gradient_seconds", 1e3)
    caption = (
        "One curve a method over its tolerances, time against the relative error of the gradient; "
        "down and to the right is better. Grey: the least time of all methods to be at least so "
        "accurate. Numbered: the methods that no other of their family beats in both."
    )
    name = platform.place(problem, "work-precision")
    return _figure(name, f"{problem}: time", "ms a gradient", caption, points, looks)


def memory_figure(platform: Platform, problem: str, looks: Looks) -> Figure | None:
    """Memory of a gradient against its error."""
    points = usable(platform.of(problem), "peak_bytes", 2**-20)
    caption = (
        "The same for memory: the high-water mark of allocations during one gradient. Grey: the "
        "least of all methods."
    )
    name = platform.place(problem, "memory")
    return _figure(name, f"{problem}: memory", "MiB", caption, points, looks)


def usable(data: pd.DataFrame, name: str, scale: float) -> pd.DataFrame:
    """Records with a point on the curve: `x` the gradient error, `y` the figure `name` scaled."""
    x = pd.to_numeric(data["gradient_error"], errors="coerce").clip(lower=LEAST_ERROR)
    y = pd.to_numeric(data[name], errors="coerce") * scale
    good = data["status"].isin(USABLE) & np.isfinite(x) & np.isfinite(y) & (y > 0)
    kept = data[["method", "framework", "strategy", "family", "rtol"]]
    return kept.assign(x=x, y=y)[good].sort_values(["method", "rtol"], ascending=[True, False])


def _figure(
    name: str, title: str, unit: str, caption: str, points: pd.DataFrame, looks: Looks
) -> Figure | None:
    if points.empty:
        return None
    parts = {family: points[points["family"] == family] for family in looks.families}
    lines = max(len(frontier_methods(part)[:NAMED]) for part in parts.values())
    panels = [
        Panel(family, _drawer(points, family, unit, looks), lines=lines)
        for family, part in parts.items()
        if not part.empty
    ]
    return Figure(name, title, caption, panels)


def _drawer(points: pd.DataFrame, family: str, unit: str, looks: Looks) -> Any:
    def draw(axes: Any, tags: Tags) -> None:
        logarithmic(axes, "x", "y")
        axes.set(xlabel="relative gradient error", ylabel=unit)
        axes.set_ylim(data_limits(points["y"]))
        axes.set_xlim(data_limits(points["x"])[::-1])
        best = least_so_far(points)
        axes.plot(best["x"], best["y"], color=PLAIN, linewidth=3, alpha=0.4, zorder=1)
        mine = points[points["family"] == family]
        named = frontier_methods(mine)[:NAMED]
        curves = dict(iter(mine.groupby("method")))
        for method in [*named, *sorted(set(curves) - set(named))]:
            curve = curves[method]
            last = curve.iloc[-1]
            lines = [f"{method}", f"rtol: gradient error, {unit}"]
            tip = "\n".join([*lines, *map(_point, curve.to_dict("records"))])
            gid = tags.new(attributes(last), tip)
            rank = f"{named.index(method) + 1} " if method in named else ""
            label = plain(f"{rank}{method}") if rank else "_"
            axes.plot(curve["x"], curve["y"], gid=gid, label=label, **looks.curve(last))
            if rank:
                gid = tags.new(attributes(last), str(method))
                place = {"xytext": (4, 3 if int(rank) % 2 else -8), "textcoords": "offset points"}
                look = {"fontsize": 8}
                axes.annotate(rank.strip(), (last["x"], last["y"]), gid=gid, **place, **look)
        legend(axes)

    return draw


def least_so_far(points: pd.DataFrame) -> pd.DataFrame:
    """The least `y` of all points at least as accurate as each `x`, from the least `x` on."""
    ordered = points.sort_values("x")
    return ordered.assign(y=ordered["y"].cummin()).drop_duplicates("y")[["x", "y"]]


def frontier_methods(points: pd.DataFrame) -> list[str]:
    """Methods with a point that no other is better than in both, the most accurate first."""
    ordered = points.sort_values(["x", "y"])
    best = ordered["y"].cummin().shift(fill_value=np.inf)
    return list(dict.fromkeys(ordered.loc[ordered["y"] < best, "method"]))


def _point(row: Any) -> str:
    return f"{row['rtol']:.0e}: {row['x']:.1e}, {row['y']:.3g}"
