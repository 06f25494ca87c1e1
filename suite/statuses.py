"""The closed list of outcomes, and how a finished gradient is judged."""

from typing import Literal

Status = Literal[
    "ok",
    "inaccurate",
    "silently-wrong",
    "diverged",
    "non-finite",
    "error",
    "timeout",
    "out-of-memory",
    "crashed",
    "unsupported",
    "not-installed",
    "not-available",
]
# Each status with the sign that tables show for it and what it means.
STATUSES: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "the gradient is as good as the tolerance promises, within a factor of 100"),
    "inaccurate": ("~", "finite, but its error is over 100 times the tolerance"),
    "silently-wrong": ("✗", "finite, over 10 % wrong, and nothing warned of it"),
    "diverged": ("D", "the solver said that it did not succeed"),
    "non-finite": ("N", "the gradient holds NaN or infinity, and nothing was raised"),
    "error": ("E", "an exception that is not the solver's own verdict"),
    "timeout": ("T", "did not end within its time limit"),
    "out-of-memory": ("M", "asked for more memory than its limit"),
    "crashed": ("C", "the process died"),
    "unsupported": ("-", "the method cannot do what the case asks"),
    "not-installed": ("·", "a required package is missing or too old"),
    "not-available": ("○", "the device asked for is not there"),
}

INACCURATE_FACTOR = 100.0
WRONG = 0.1


def judge(error: float, rtol: float, warned: str | None) -> tuple[Status, str]:
    """Status and reason of a finite gradient with relative error `error` at tolerance `rtol`.

    `warned` is the text of a warning that was given while it was computed, or None.
    """
    if error <= INACCURATE_FACTOR * rtol:
        return "ok", ""
    size = f"relative gradient error {error:.1e} at rtol {rtol:.0e}"
    if error <= WRONG:
        return "inaccurate", size
    if warned is None:
        return "silently-wrong", f"{size}, and no warning was given"
    return "inaccurate", f"{size}; it warned: {warned}"
