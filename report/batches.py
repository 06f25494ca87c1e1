"""Many problems at once: gradients per second over the size of the batch, device beside device."""

from typing import Any

import numpy as np
import pandas as pd

from report.figure import Figure, Panel, Tags, data_limits, legend, logarithmic, plain
from report.formats import NONE, large, number, text
from report.gather import Platform, distinct_slugs
from report.looks import LINES, Looks, attributes
from report.statusmap import legend as signs_legend
from report.statusmap import sign
from report.table import Table
from suite.tables import USABLE

WORD = "batch="
# As many methods are named in a panel: those that give most gradients a second.
NAMED = 6
UNIT = "gradients per second"
ABOUT = ["method", "framework", "integrator", "strategy", "family", "platform", "rtol"]
CASE = ["platform", "single", "method", "rtol", "atol"]


def rows(found: list[Platform]) -> pd.DataFrame:
    """All batched records, and the single problems that they are batches of as a batch of one.

    Columns beside those of records: single, the name of the problem without its batch; batch;
    rate, gradients per second, NaN where there is no usable gradient.
    """
    batched = pd.concat([platform.batches for platform in found])
    batched = batched.assign(single=batched["problem"].map(single))
    alone = pd.concat([platform.data for platform in found])
    alone = alone.assign(single=alone["problem"], batch=1)
    alone = alone.merge(batched[CASE].drop_duplicates(), on=CASE)
    both = pd.concat([batched, alone]).drop_duplicates([*CASE, "batch"])
    seconds = pd.to_numeric(both["gradient_seconds"], errors="coerce")
    rate = (both["batch"].astype(float) / seconds).where(both["status"].isin(USABLE))
    return both.assign(batch=both["batch"].astype(int), rate=rate).sort_values([*CASE, "batch"])


def single(problem: str) -> str:
    """The name of a batched problem without its batch."""
    return ":".join(word for word in problem.split(":") if not word.startswith(WORD))


def shown(found: list[Platform], looks: Looks) -> list[tuple[str, list[Figure | Table | None]]]:
    """Every problem that there are batches of: its figure, its rates and what failed."""
    if all(platform.batches.empty for platform in found):
        return []
    batched = rows(found)
    slugs = distinct_slugs(sorted(set(batched["single"])))
    return [
        (name, [_figure(f"batches/{slugs[name]}", name, data, looks), *_tables(slugs[name], data)])
        for name, data in batched.groupby("single")
    ]


def _figure(place: str, problem: str, data: pd.DataFrame, looks: Looks) -> Figure | None:
    points = data[np.isfinite(data["rate"])]
    # a batch of one says nothing where there is no other
    points = points[points.groupby(CASE)["batch"].transform("max") > 1]
    if points.empty:
        return None
    platforms = list(dict.fromkeys(points["platform"]))
    lines = NAMED + (len(platforms) if len(platforms) > 1 else 0)
    panels = [
        Panel(_title(family, rtol), _drawer(points, part, platforms, looks), lines=lines)
        for (family, rtol), part in points.groupby(["family", "rtol"])
    ]
    caption = (
        "One curve a method and device: the size of the batch over the time of its gradient, which "
        "is that of every member; up is better. A batch of one without a batched program is the "
        "problem itself. Numbered: the methods of most gradients a second. A curve ends where a "
        "batch fails; the table says how. Times of different machines are as they were measured, "
        "and make no ranking."
    )
    return Figure(f"{place}-rates", f"{problem}: {UNIT}", caption, panels)


def _title(family: str, rtol: float) -> str:
    return f"{family}, rtol {rtol:.0e}"


def _drawer(points: pd.DataFrame, part: pd.DataFrame, platforms: list[str], looks: Looks) -> Any:
    def draw(axes: Any, tags: Tags) -> None:
        logarithmic(axes, "x", "y")
        axes.set(xlabel="problems in the batch", ylabel=UNIT)
        axes.set(xlim=data_limits(points["batch"]), ylim=data_limits(points["rate"]))
        best = part.groupby("method")["rate"].max().sort_values(ascending=False)
        named = list(best.index[:NAMED])
        for (method, atol, platform), curve in part.groupby(["method", "atol", "platform"]):
            last = curve.iloc[-1]
            lines = [f"{method}, {platform}", f"atol {atol:.0e}; batch: {UNIT}, gradient error"]
            tip = "\n".join([*lines, *(_point(row) for row in curve.to_dict("records"))])
            gid = tags.new(attributes(last), tip)
            look = looks.curve(last) | _device(platforms.index(platform))
            axes.plot(curve["batch"], curve["rate"], gid=gid, **look)
            if method in named:
                place = {"xytext": (4, -3), "textcoords": "offset points"}
                rank = str(named.index(method) + 1)
                end = (last["batch"], last["rate"])
                axes.annotate(rank, end, fontsize=8, **place)
        legend(axes, handles=_keys(part, named, platforms, looks))

    return draw


def _device(place: int) -> dict[str, Any]:
    """Lines say the platform here, and so do hollow markers: the first is drawn full."""
    look = {"linestyle": LINES[place % len(LINES)], "fillstyle": "full"}
    return look if place == 0 else look | {"markerfacecolor": "white"}


def _keys(part: pd.DataFrame, named: list[str], platforms: list[str], looks: Looks) -> list[Any]:
    from matplotlib.lines import Line2D

    about = part.drop_duplicates("method").set_index("method", drop=False)
    keys = [
        Line2D(
            [],
            [],
            **looks.curve(about.loc[name]) | {"linestyle": "", "fillstyle": "full"},
            label=plain(label),
        )
        for rank, name in enumerate(named, start=1)
        for label in [f"{rank} {name}"]
    ]
    if len(platforms) > 1:
        look = {"color": "#444444", "marker": "o"}
        keys += [
            Line2D([], [], **look | _device(place), label=plain(name))
            for place, name in enumerate(platforms)
        ]
    return keys


def _point(row: Any) -> str:
    return f"{row['batch']}: {row['rate']:.3g}, {row['gradient_error']:.1e}"


def _tables(slug: str, data: pd.DataFrame) -> list[Table | None]:
    return [_rates(f"batches/{slug}-rates", data), _failures(f"batches/{slug}-failures", data)]


def _rates(name: str, data: pd.DataFrame) -> Table:
    """A row a method, platform and tolerance; a column a size of the batch."""
    sizes = sorted(set(data["batch"]))
    parts = [_row(part, sizes) for _, part in data.groupby(CASE)]
    frame = pd.DataFrame(parts).sort_values([str(sizes[-1]), str(sizes[0])], ascending=False)
    columns = [
        text("method", "method"),
        text("on", "platform"),
        number("rtol", "rtol", ".0e"),
        text("", "signs"),
        *(large(f"batch {size}", str(size)) for size in sizes),
        large("times batch 1", "gain"),
        number("error", "error", ".0e"),
        number("MiB", "peak_bytes", ".3g", 2**-20),
    ]
    title = f"{data['single'].iloc[0]}: {UNIT}, by the size of the batch"
    note = (
        f"One sign a size, the smallest first; {NONE}: no gradient. Times batch 1: the most "
        "gradients a second over those of a batch of one. Error and memory are of the largest "
        f"batch with a usable gradient. {signs_legend(data['status'])}."
    )
    return Table(name, title, frame, columns, data, note)


def _row(part: pd.DataFrame, sizes: list[int]) -> dict[str, Any]:
    rates = part.set_index("batch")["rate"]
    good = part[np.isfinite(part["rate"])]
    last = good.iloc[-1] if not good.empty else {"gradient_error": None, "peak_bytes": None}
    signs = dict(zip(part["batch"], map(sign, part["status"]), strict=True))
    one = rates.get(1, np.nan)
    return {
        **part.iloc[0][[*ABOUT, "atol"]].to_dict(),
        "signs": "".join(signs.get(size, " ") for size in sizes).rstrip(),
        **{str(size): rates.get(size, np.nan) for size in sizes},
        "gain": rates.max() / one,
        "error": last["gradient_error"],
        "peak_bytes": last["peak_bytes"],
    }


def _failures(name: str, data: pd.DataFrame) -> Table | None:
    bad = data[data["status"] != "ok"]
    if bad.empty:
        return None
    keys = [*ABOUT, "status"]
    frame = bad.groupby(keys, sort=False).agg(
        batches=("batch", lambda sizes: " ".join(map(str, sizes))), reason=("reason", "first")
    )
    columns = [
        text("method", "method"),
        text("on", "platform"),
        number("rtol", "rtol", ".0e"),
        *(text(word, word) for word in ("status", "batches", "reason")),
    ]
    title = f"{data['single'].iloc[0]}: batches not ok, and why"
    return Table(name, title, frame.reset_index(), columns, data)
