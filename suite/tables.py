"""Tidy frames out of records: ranking at equal achieved gradient error, failures, comparisons."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from suite.records import Record
from suite.statuses import STATUSES

# Gradient errors at which methods are compared.
TARGETS = (1e-3, 1e-5, 1e-7)
# Statuses whose gradient is a point on the work-precision curve.
USABLE = ("ok", "inaccurate")
# A gradient error of zero (to rounding) still needs a place on a logarithmic axis.
LEAST_ERROR = 1e-17


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a record, the columns being its fields."""
    return pd.DataFrame.from_records(list(records))


def seconds_at(errors: Sequence[float], seconds: Sequence[float], target: float) -> float:
    """Time to reach a gradient error of `target`, on the log-log work-precision curve.

    NaN where no measured point is as good as the target. Where even the loosest tolerance is
    better, its time is the answer: an upper bound.
    """
    order = np.argsort(errors)[::-1]
    x = np.log(np.maximum(np.asarray(errors, dtype=float)[order], LEAST_ERROR))
    y = np.log(np.asarray(seconds, dtype=float)[order])
    goal = np.log(target)
    if x.size == 0 or x[-1] > goal:
        return float("nan")
    return float(np.exp(np.interp(-goal, -x, y)))


def reached_before(errors: Sequence[float], target: float) -> bool:
    """Whether every measured error is below the target, so that `seconds_at` is a bound only."""
    return len(errors) > 0 and max(errors) < target


def ranking(data: pd.DataFrame, targets: Sequence[float] = TARGETS) -> pd.DataFrame:
    """One row a problem and method with a usable gradient.

    Columns: problem, method, family, signs (a status sign a tolerance, loosest first), one
    `at <target>` a target in seconds and `bound <target>` (whether that is an upper bound only),
    and of the tightest usable tolerance: error, worst, difference (against finite differences),
    floor, compile_seconds, forward_seconds, gradient_seconds, peak_bytes, reversibility, steps.
    Fastest first within a problem, by the tightest target, then the looser ones.
    """
    rows = []
    for (problem, method), group in data.groupby(["problem", "method"], sort=False):
        ordered = group.sort_values("rtol", ascending=False)
        usable = ordered[ordered["status"].isin(USABLE)]
        if usable.empty:
            continue
        errors, seconds = usable["gradient_error"].tolist(), usable["gradient_seconds"].tolist()
        last = usable.iloc[-1]
        row = {
            "problem": problem,
            "method": method,
            "family": last["family"],
            "signs": "".join(STATUSES[status][0] for status in ordered["status"]),
        }
        for target in targets:
            row[f"at {target:.0e}"] = seconds_at(errors, seconds, target)
            row[f"bound {target:.0e}"] = reached_before(errors, target)
        rows.append(row | _figures(last))
    keys = ["problem"] + [f"at {target:.0e}" for target in sorted(targets)]
    return pd.DataFrame(rows).sort_values(keys) if rows else pd.DataFrame(columns=keys)


def _figures(last: pd.Series) -> dict[str, object]:
    names = {
        "error": "gradient_error",
        "worst": "gradient_error_worst",
        "difference": "finite_difference_error",
        "floor": "finite_difference_floor",
        "compile_seconds": "compile_seconds",
        "forward_seconds": "forward_seconds",
        "gradient_seconds": "gradient_seconds",
        "peak_bytes": "peak_bytes",
        "reversibility": "reversibility_error",
        "steps": "steps",
    }
    values = {name: last.get(field) for name, field in names.items()}
    return {name: float("nan" if value is None else value) for name, value in values.items()}


def failures(data: pd.DataFrame) -> pd.DataFrame:
    """One row a problem, method and status that is not `ok`: rtols, reason."""
    bad = data[data["status"] != "ok"]
    if bad.empty:
        return pd.DataFrame(columns=["problem", "method", "status", "rtols", "reason"])
    grouped = bad.sort_values("rtol", ascending=False).groupby(
        ["problem", "method", "status"], sort=False
    )
    return grouped.agg(
        rtols=("rtol", lambda values: " ".join(f"{value:.0e}" for value in values)),
        reason=("reason", "first"),
    ).reset_index()


KEY = ["problem", "method", "rtol", "atol"]


def comparison(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """One row a case of either run: statuses, and B over A of time, error and memory.

    `time` is also given relative to each case's calibration kernel (`calibrated`), so that runs on
    a faster and a slower day can be told from a faster and a slower method.
    """
    both = first.merge(second, on=KEY, how="outer", suffixes=("_a", "_b"))
    return pd.DataFrame(
        {
            **{name: both[name] for name in KEY},
            "status_a": both["status_a"].fillna("absent"),
            "status_b": both["status_b"].fillna("absent"),
            "time": _ratio(both, "gradient_seconds"),
            "calibrated": _ratio(both, "gradient_seconds") / _ratio(both, "calibration_seconds"),
            "error": _ratio(both, "gradient_error"),
            "memory": _ratio(both, "peak_bytes"),
        }
    )


def _ratio(both: pd.DataFrame, name: str) -> pd.Series:
    a, b = (pd.to_numeric(both[f"{name}_{side}"], errors="coerce") for side in "ab")
    return b.clip(lower=LEAST_ERROR) / a.clip(lower=LEAST_ERROR)
