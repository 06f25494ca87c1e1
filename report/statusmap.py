"""The failure map: how every method ended on every problem, by colour, by sign, and why."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from report.figure import Figure, Panel, Tags, plain
from report.formats import is_number
from report.gather import Platform
from report.looks import attributes, status_colour
from report.table import Column, Table
from suite.statuses import STATUSES

Marks = list[tuple[str, str, str]]
# Inches: a cell, room for the methods' names, and for the legend.
CELL, LEFT, RIGHT = 0.16, 2.5, 1.5
NOT_TRIED = "not measured on this platform"


def sign(status: str) -> str:
    return STATUSES[status][0] if status in STATUSES else "?"  # type: ignore[index]


def marks(data: pd.DataFrame) -> dict[tuple[str, str], Marks]:
    """For (method, problem): sign, status and hover text at each tolerance, loosest first.

    The text does not say again which method and problem it is about: its place does.
    """
    found: dict[tuple[str, str], Marks] = {}
    for row in data.sort_values(["rtol", "atol"], ascending=False).to_dict("records"):
        error = row["gradient_error"]
        why = row["reason"] or (f"relative gradient error {error:.1e}" if is_number(error) else "")
        tip = f"rtol {row['rtol']:.0e}: {row['status']}. {why}"
        cell = found.setdefault((row["method"], row["problem"]), [])
        cell.append((sign(row["status"]), row["status"], tip))
    return found


def table(platform: Platform) -> Table:
    """A row a method, a column a problem, a sign a tolerance."""
    found = marks(platform.data)
    names = ["method", "framework", "strategy", "family"]
    frame = platform.data.drop_duplicates("method")[names].sort_values(["family", "method"])
    for problem in platform.problems:
        cells = [found.get((method, problem), []) for method in frame["method"]]
        frame[problem] = ["".join(part[0] for part in cell) for cell in cells]
    columns = [Column("method", lambda row: row["method"])]
    columns += [_column(problem, found) for problem in platform.problems]
    signs = legend(platform.data["status"])
    note = f"One sign a tolerance, loosest first. Blank: {NOT_TRIED}. {signs}."
    name = f"{platform.slug}/failure-map"
    return Table(name, "By method and problem", frame, columns, platform.data, note)


def _column(problem: str, found: dict[tuple[str, str], Marks]) -> Column:
    return Column(
        problem,
        lambda row: row[problem],
        marks=lambda row: found.get((row["method"], problem), [("", "not-tried", NOT_TRIED)]),
    )


def legend(found: Iterable[str | None]) -> str:
    """The signs of the statuses `found`, and what they mean."""
    present = set(found)
    return "; ".join(
        f"{sign} {name}: {meaning}" for name, (sign, meaning) in STATUSES.items() if name in present
    )


def figure(platform: Platform) -> Figure:
    """The same as a drawing, to be printed."""
    found = marks(platform.data)
    about = platform.data.drop_duplicates("method").sort_values(["family", "method"])
    widths = {
        problem: max(len(cell) for (_, name), cell in found.items() if name == problem)
        for problem in platform.problems
    }
    panel = Panel(
        "How every method ended on every problem",
        lambda axes, tags: _draw(axes, tags, about, widths, found),
        height=CELL * len(about),
        width=LEFT + CELL * (sum(widths.values()) + len(widths)) + RIGHT,
        left=LEFT,
        right=RIGHT,
        below=1.2,
    )
    caption = "One sign a tolerance, loosest first."
    return Figure(
        f"{platform.slug}/failure-map",
        "The map below, to be printed",
        caption,
        [panel],
        shown=False,
    )


def _draw(
    axes: Any,
    tags: Tags,
    about: pd.DataFrame,
    widths: dict[str, int],
    found: dict[tuple[str, str], Marks],
) -> None:
    from matplotlib.patches import Rectangle

    lefts, left = {}, 0
    for problem, width in widths.items():
        lefts[problem] = left
        left += width + 1
    for y, (_, row) in enumerate(about.iterrows()):
        for problem, start in lefts.items():
            for x, (text, status, tip) in enumerate(
                found.get((row["method"], problem), []), start=start
            ):
                colour, white = status_colour(status)
                gid = tags.new(attributes(row), f"{row['method']}, {problem}, {tip}")
                axes.add_patch(Rectangle((x, y), 0.94, 0.94, color=colour, gid=gid))
                ink = "white" if white else "black"
                place = {"ha": "center", "va": "center", "fontsize": 7}
                axes.text(x + 0.47, y + 0.47, text, color=ink, **place)
    axes.set(xlim=(-0.2, left - 0.8), ylim=(len(about) + 0.1, -0.1))
    middles = [lefts[problem] + width / 2 for problem, width in widths.items()]
    axes.set_xticks(middles, [plain(name) for name in widths], rotation=60, ha="right", fontsize=7)
    rows = [plain(name) for name in about["method"]]
    axes.set_yticks([y + 0.5 for y in range(len(rows))], rows, fontsize=7)
    axes.grid(False)
    axes.tick_params(length=0)
    present = {part[1] for cell in found.values() for part in cell}
    keys = [
        Rectangle((0, 0), 1, 1, color=status_colour(name)[0], label=f"{text} {name}")
        for name, (text, _) in STATUSES.items()
        if name in present
    ]
    axes.legend(handles=keys, loc="upper left", bbox_to_anchor=(1.0, 1.0))
