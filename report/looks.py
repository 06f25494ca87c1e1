"""How methods look: colour and filling say the family, the marker the framework, the line the
strategy.

So families can be told apart by the colour-blind, and on paper without colours too.
"""

from collections.abc import Iterable
from itertools import cycle
from typing import Any

import pandas as pd

from adapters import methods
from suite.statuses import STATUSES

# Okabe & Ito 2008, Color Universal Design; yellow is left out, being unreadable on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
FILLINGS = ("full", "none", "left", "top", "bottom", "right")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
KEY: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 5}
PLAIN = "#8a8a8a"

# Colour and whether the sign on it is to be white; each status has its sign in suite.statuses too.
STATUS_COLOURS = {
    "ok": ("#009E73", True),
    "inaccurate": ("#F0E442", False),
    "silently-wrong": ("#D55E00", True),
    "diverged": ("#56B4E9", False),
    "non-finite": ("#CC79A7", False),
    "timeout": ("#0072B2", True),
    "error": ("#000000", True),
    "out-of-memory": ("#5a3d8a", True),
    "crashed": ("#7a1f1f", True),
    "unsupported": ("#c9c9c9", False),
    "not-installed": ("#efefef", False),
    "not-available": ("#dfe6ee", False),
}
OTHER_STATUS = ("#ffffff", False)


def status_colour(status: str) -> tuple[str, bool]:
    """Colour of a status, and whether the sign on it is to be white."""
    return STATUS_COLOURS.get(status, OTHER_STATUS)


def status_styles() -> str:
    """The same as rules for the page."""
    return "\n".join(
        f".s-{name}{{background:{colour};color:{'#fff' if white else 'inherit'}}}"
        for name in STATUSES
        for colour, white in [status_colour(name)]
    )


class Looks:
    """Colours, markers and lines for whatever a frame of records holds; the same in all figures."""

    def __init__(self, data: pd.DataFrame) -> None:
        declared = methods().values()
        known = [method.family for method in declared]
        self.families = _with_new(known, data["family"])
        self.colours = _dealt(self.families, COLOURS)
        self.fillings = _dealt(self.families, FILLINGS)
        frameworks = _with_new([method.framework for method in declared], data["framework"])
        self.markers = _dealt(frameworks, MARKERS)
        pairs = [(method.family, method.strategy) for method in declared]
        pairs = _with_new(pairs, zip(data["family"], data["strategy"], strict=True))
        self.lines: dict[str, Any] = {}
        for family in self.families:
            self.lines |= _dealt([name for of, name in pairs if of == family], LINES)

    def curve(self, row: Any) -> dict[str, Any]:
        """What matplotlib's `plot` needs for a method of `row`'s family, framework and strategy."""
        return {
            "color": self.colours[row["family"]],
            "fillstyle": self.fillings[row["family"]],
            "marker": self.markers[row["framework"]],
            "linestyle": self.lines[row["strategy"]],
        }

    def family_keys(self, present: Iterable[str]) -> list[Any]:
        """What a legend shows of the families that are `present`."""
        from matplotlib.lines import Line2D

        found = set(present)
        return [
            Line2D(
                [], [], color=self.colours[name], fillstyle=self.fillings[name], **KEY, label=name
            )
            for name in self.families
            if name in found
        ]


def _with_new(known: Iterable[Any], found: Iterable[Any]) -> list[Any]:
    """What is declared first, so that its looks depend on no record; then what is only recorded."""
    first = list(dict.fromkeys(known))
    return first + sorted(set(found) - set(first))


def _dealt(names: Iterable[str], looks: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(names, cycle(looks), strict=False))


def attributes(row: Any) -> dict[str, str]:
    """What the page filters an element by."""
    names = ("method", "framework", "strategy", "family")
    return {f"data-{name}": str(row[name]) for name in names}
