"""Which check sees which wrong gradient: the frame of gradients as a matrix."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies._study import DataFrame

Array = NDArray[np.float64]

# Detectors by name, with the words that a figure shows.
DETECTORS = {
    "status": "solver's own\nstatus",
    "tighter": "tolerance\n/ 10",
    "tangent": "dot-product\ntest",
    "differences": "finite\ndifferences",
    "halved": "steps\nhalved",
    "forward": 'adjoint=\n"forward"',
    "second": "second\nmethod",
}
SEEN, UNDERSTATED, BLIND = "seen", "understated", "blind"
QUIET, FALSE_ALARM, NONE = "quiet", "false alarm", "none"
# Relative errors above this count, of gradients and in what a check reports.
ALARM = 0.01
# A check that reports less than this part of the error, taken as 100 % at most, understates it.
ORDER = 0.1
COMPONENTS = ("log_1", "log_2", "log_3")
KEY = ["kind", "method", "problem", "rtol"]


def matrix(frame: DataFrame) -> Any:
    """One row a gradient and detector: `subject`, `error`, `loss_error`, `detector`, `gap`,
    `verdict`, `why`.

    `gap` is the relative difference that the check reports; infinite where the check ends in NaN
    or with the solver's own failure.
    """
    import pandas as pd

    rows = frame[frame["part"] == "matrix"]
    others = frame[frame["part"].isin(["second", "forward"])]
    found = []
    for key, of_subject in rows.groupby(KEY, sort=False):
        by_role = {row["role"]: row for row in of_subject.to_dict("records")}
        itself = by_role["itself"]
        if not np.isfinite(itself["gradient_error"]):
            continue
        alike = others[(others["problem"] == key[2]) & (others["rtol"] == key[3])]
        by_role |= {row["part"]: row for row in alike.to_dict("records")}
        for detector in DETECTORS:
            gap, why = _gap(detector, itself, by_role.get(detector))
            verdict = verdict_on(itself["gradient_error"], gap)
            found.append(
                {
                    "subject": _label(itself),
                    "error": itself["gradient_error"],
                    "loss_error": itself["loss_error"],
                    "detector": detector,
                    "gap": gap,
                    "verdict": verdict,
                    "why": why,
                }
            )
    names = ("subject", "error", "loss_error", "detector", "gap", "verdict", "why")
    return pd.DataFrame(found, columns=list(names))


def _label(row: dict[str, Any]) -> str:
    """The method, how it is used, and what on."""
    use = {"frozen": " frozen Jacobian", "truncated": " max_steps", "default": " defaults"}
    return f"{row['method']}{use.get(row['kind'], '')}\n{row['problem']}, {row['rtol']:.0e}"


def verdict_on(error: float, gap: float) -> str:
    """What a check that reports `gap` makes of a gradient with this relative error."""
    if np.isnan(gap):
        return NONE
    if error <= ALARM:
        return QUIET if gap < ALARM else FALSE_ALARM
    if gap < ALARM:
        return BLIND
    return SEEN if gap >= ORDER * min(error, 1.0) else UNDERSTATED


def _gap(detector: str, itself: dict[str, Any], check: dict[str, Any] | None) -> tuple[float, str]:
    """NaN where there is no such check."""
    if detector == "status":
        warning = text(itself["warning"])
        said = itself["reported"] > 0 or warning != ""
        return (float("inf") if said else 0.0), warning
    if check is None:
        return float("nan"), "not made"
    if check["status"] in ("diverged", "non-finite"):
        return float("inf"), text(check["reason"])
    if check["status"] != "ok":
        return float("nan"), text(check["reason"])
    mine, other = (_components(row) for row in (itself, check))
    if other.size == 0:
        mine, other = np.array([itself["slope"]]), np.array([check["slope"]])
    largest = max(_norm(mine), _norm(other))
    return (_norm(mine - other) / largest if largest else 0.0), ""


def text(value: Any) -> str:
    """A text of a frame, "" where its column holds nothing but blanks and was read as numbers."""
    return value if isinstance(value, str) else ""


def _components(row: dict[str, Any]) -> Array:
    values = np.array([row.get(name, np.nan) for name in COMPONENTS], dtype=float)
    return values[~np.isnan(values)]


def _norm(values: Array) -> float:
    """Of numbers whose squares may overflow."""
    scale = float(np.max(np.abs(values)))
    return scale * float(np.linalg.norm(values / scale)) if scale else 0.0
