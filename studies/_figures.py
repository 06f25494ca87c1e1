"""Figures all alike: no display, colours that colour-blind readers can tell apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

# Okabe & Ito 2008, Color Universal Design; yellow is left out, being unreadable on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":")
CLAIMED = "#777777"
DPI = 150
STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.hashsalt": "stiffgrad",
}


@contextmanager
def styled() -> Iterator[None]:
    """The style of all figures, while they are drawn and written."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        yield


def panels(rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.5, 4.0)) -> Any:
    """(figure, array of axes of shape (rows, columns)); `size` in inches, nothing on a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def looks() -> Iterator[dict[str, Any]]:
    """Colour, marker and line style for one curve after another, without end.

    No two of the first 21 are alike.
    """
    for line in cycle(LINES):
        for colour, marker in zip(COLOURS, MARKERS, strict=True):
            yield {"color": colour, "marker": marker, "linestyle": line}


def write(figure: Any, stem: Path) -> None:
    """Write `stem`.svg and `stem`.png; equal figures give equal files."""
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(stem.with_suffix(".png"), dpi=DPI, metadata={"Software": None})
