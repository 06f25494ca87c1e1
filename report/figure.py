"""A figure once: one file of all its panels, as SVG and PDF, and each panel for the page."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from report import svg
from report.svg import Styles, Tag

KINDS = ("svg", "pdf")
# Inches: width of a panel, as wide as a phone on the page; height of its plot and of what is
# above and below it; a line of the legend.
WIDTH, HEIGHT = 4.3, 2.6
LEFT, RIGHT, TOP, BOTTOM = 0.62, 0.2, 0.32, 0.5
LEGEND_LINE = 0.152
# More labels than this run into each other, or hide the order of magnitude.
MOST_TICKS = 7
# Of a logarithmic axis; where there are fewer decades, digits between them are labelled too.
LEAST_SPAN = 4.0
FEW_DECADES = 1.5
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "svg.fonttype": "none",
    "svg.hashsalt": "stiffgrad",
    # letters stay letters, as journals ask for
    "pdf.fonttype": 42,
}


class Tags:
    """Names for artists, by which their groups are found again in the SVG."""

    def __init__(self) -> None:
        self.found: dict[str, Tag] = {}

    def new(self, attributes: dict[str, str], tip: str) -> str:
        """The `gid` for an artist that is to carry the attributes and the hover text."""
        name = f"tag-{len(self.found)}"
        self.found[name] = Tag(attributes, tip)
        return name


@dataclass(frozen=True)
class Panel:
    """A pair of axes: `draw(axes, tags)` draws on it.

    Arguments:
        height: of the plot; left: room for the labels of its rows; right: for a legend beside it;
            below: for slanted labels; all in inches.
        lines: of the legend below it.
    """

    title: str
    draw: Callable[[Any, Tags], None]
    height: float = HEIGHT
    width: float = WIDTH
    left: float = LEFT
    right: float = RIGHT
    below: float = BOTTOM
    lines: int = 0

    @property
    def bottom(self) -> float:
        return self.below + LEGEND_LINE * (self.lines + 0.5 * (self.lines > 0))

    @property
    def whole_height(self) -> float:
        return TOP + self.height + self.bottom


@dataclass(frozen=True)
class Figure:
    """A figure of the report.

    Arguments:
        name: its files' path without ending, below the folder of figures.
        source: the records that it is from, or None where the caption says it.
        shown: whether the page shows it, or only links to its files.
    """

    name: str
    title: str
    caption: str
    panels: list[Panel]
    columns: int = 3
    shown: bool = True


def write(figure: Figure, folder: Path) -> None:
    """Write all panels of a figure together as SVG and PDF below `folder`."""
    stem = folder / figure.name
    stem.parent.mkdir(parents=True, exist_ok=True)
    drawn, tags = _composed(figure.panels, min(figure.columns, len(figure.panels)))
    text = svg.tagged(_svg(drawn), tags.found)
    (stem.parent / f"{stem.name}.svg").write_text(text)
    with _styled():
        drawn.savefig(stem.parent / f"{stem.name}.pdf", metadata={"CreationDate": None})


def inlined(figure: Figure, slug: str, styles: Styles) -> list[str]:
    """Each panel as an SVG element for the page; `slug` begins its ids, `styles` are the page's."""
    found = []
    for number, panel in enumerate(figure.panels):
        drawn, tags = _composed([panel], 1)
        label = f"{figure.title}: {panel.title}"
        found.append(svg.inlined(_svg(drawn), tags.found, f"{slug}-{number}-", label, styles))
    return found


def _composed(panels: list[Panel], columns: int) -> tuple[Any, Tags]:
    """All panels on one canvas, row by row; margins are given, for finding them takes long."""
    from matplotlib.figure import Figure as Canvas

    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(panel.whole_height for panel in row) for row in rows]
    width = max(sum(panel.width for panel in row) for row in rows)
    total = sum(heights)
    tags = Tags()
    with _styled():
        canvas = Canvas(figsize=(width, total))
        top = total
        for row, height in zip(rows, heights, strict=True):
            left = 0.0
            for panel in row:
                across = panel.width - panel.left - panel.right
                bottom = top - TOP - panel.height
                x, y = (left + panel.left) / width, bottom / total
                axes = canvas.add_axes((x, y, across / width, panel.height / total))
                axes.set_title(plain(panel.title))
                panel.draw(axes, tags)
                left += panel.width
            top -= height
    return canvas, tags


def _svg(drawn: Any) -> str:
    file = io.StringIO()
    with _styled():
        drawn.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _styled() -> Any:
    from matplotlib import rc_context

    return rc_context(STYLE)


def plain(text: str) -> str:
    """Text of which matplotlib takes nothing for mathematics or for a label to be left out."""
    return text.replace("$", r"\$").lstrip("_")


def data_limits(values: pd.Series, span: float = LEAST_SPAN) -> tuple[float, float]:
    """Limits of a logarithmic axis with some room around positive finite values.

    They are a factor of `span` apart at least: noise is not to look like a difference.
    """
    least, most = float(values.min()), float(values.max())
    room = max((most / least) ** 0.06, (span * least / most) ** 0.5)
    return least / room, most * room


def logarithmic(axes: Any, *names: str, ticks: int = MOST_TICKS) -> None:
    """Make the axes `x`, `y` logarithmic, with few labels, and those as plain text."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    class Locator(LogLocator):
        def tick_values(self, vmin: float, vmax: float) -> Any:
            few = 0 < vmin < vmax < vmin * 10**FEW_DECADES
            self.set_params(subs=(1.0, 2.0, 5.0) if few else (1.0,))
            return super().tick_values(vmin, vmax)

    for name in names:
        axes.set(**{f"{name}scale": "log"})
        axis = getattr(axes, f"{name}axis")
        axis.set_major_locator(Locator(numticks=ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))


def power(value: float) -> str:
    """A value as a label, in digits or with a power of ten."""
    exponent = math.floor(math.log10(value) + 1e-9) if value > 0 else 0
    if -2 <= exponent <= 3:
        return f"{value:g}"
    digits = f"{value / 10.0**exponent:g}"
    ten = "10" + str(exponent).translate(SUPERSCRIPTS)
    return ten if digits == "1" else f"{digits}·{ten}"


def legend(axes: Any, panel_height: float = HEIGHT, columns: int = 1, handles: Any = None) -> None:
    """A legend below the axes, where it hides nothing."""
    place = {"loc": "upper left", "bbox_to_anchor": (-0.12, -0.43 / panel_height)}
    given = {} if handles is None else {"handles": handles}
    if given or axes.get_legend_handles_labels()[1]:
        axes.legend(
            **given,
            **place,
            ncols=columns,
            borderpad=0,
            handlelength=3,
            labelspacing=0.35,
            columnspacing=1.2,
        )
