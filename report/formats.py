"""Figures as readers see them; `–` for none."""

import math
from collections.abc import Callable
from typing import Any

from report.table import Column
from suite.display import milliseconds

NONE = "–"
# From here on a power of ten is easier to read after all.
TOO_LARGE = 1e9


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def formatted(value: object, spec: str, scale: float = 1.0) -> str:
    """`value * scale` by the format `spec`."""
    return format(float(value) * scale, spec) if is_number(value) else NONE  # type: ignore[arg-type]


def number(title: str, name: str, spec: str = ".2g", scale: float = 1.0) -> Column:
    """A column of the figures called `name`."""
    return Column(title, lambda row: formatted(row[name], spec, scale), sort_by(name))


def large(title: str, name: str) -> Column:
    """A column of figures that may be large, to three digits and without powers of ten."""
    return Column(title, lambda row: in_thousands(row[name]), sort_by(name))


def in_thousands(value: object) -> str:
    """Three digits, and a comma between thousands."""
    rounded = formatted(value, ".3g")
    found = float(rounded) if "e+" in rounded else math.inf
    return f"{found:,.0f}" if found < TOO_LARGE else rounded


def text(title: str, name: str) -> Column:
    """A column of words."""
    return Column(title, lambda row: str(row[name]))


def target(value: float) -> Column:
    """The time to reach a gradient error, in ms, `≤` before an upper bound."""
    name, bound = f"at {value:.0e}", f"bound {value:.0e}"
    return Column(
        f"ms at {value:.0e}", lambda row: milliseconds(row[name], row[bound]), sort_by(name)
    )


def sort_by(name: str) -> Callable[[Any], Any]:
    """What a row is sorted by: the figure called `name`, None where there is none."""
    return lambda row: row[name] if is_number(row[name]) else None
