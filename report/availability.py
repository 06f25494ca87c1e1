"""The availability matrix: which framework has which strategy, and why a cell is empty."""

from typing import Any

import pandas as pd

from adapters import available, methods
from report.gather import ABSENT


def matrix(data: pd.DataFrame) -> dict[str, Any]:
    """`strategies`, and `rows`: a framework with a cell a strategy: `sign`, `kind`, `text`, `tip`.

    Of all methods declared, and of those on record that are not declared any more.
    """
    declared = {name: (m.framework, m.strategy) for name, m in methods().items()}
    seen = data.drop_duplicates("method").set_index("method")
    pairs = declared | {
        str(name): (row["framework"], row["strategy"]) for name, row in seen.iterrows()
    }
    frameworks = list(dict.fromkeys(framework for framework, _ in pairs.values()))
    strategies = list(dict.fromkeys(strategy for _, strategy in pairs.values()))
    measured = set(data.loc[~data["status"].isin(ABSENT), "method"])
    rows = [
        {
            "framework": framework,
            "cells": [
                _cell([n for n, pair in pairs.items() if pair == (framework, strategy)], measured)
                for strategy in strategies
            ],
        }
        for framework in frameworks
    ]
    return {"strategies": strategies, "rows": rows}


def _cell(names: list[str], measured: set[str]) -> dict[str, str]:
    if not names:
        tip = "no method of this kind is declared"
        return {"sign": "", "kind": "none", "text": "none", "tip": tip}
    count = len(measured.intersection(names))
    text = f"{count} of {len(names)}"
    lines = [f"{name}: {_why(name, name in measured)}" for name in names]
    kind = "ok" if count == len(names) else "part" if count else "missing"
    return {"sign": {"ok": "✓", "part": "~", "missing": "·"}[kind]} | {
        "kind": kind,
        "text": text,
        "tip": "\n".join(lines),
    }


def _why(name: str, measured: bool) -> str:
    if measured:
        return "measured"
    if name not in methods():
        return "on record only, and could not be measured"
    usable, reason = available(methods()[name])
    return "not measured yet" if usable else f"not available where the report was made: {reason}"
