"""Where figures come from: when, which commit, on what, with what, how often, how many failed."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

# Beside the frameworks; all others are in the files.
NAMED = ("jax", "numpy", "scipy", "stiffgrad", "torch")


def describe(data: pd.DataFrame) -> dict[str, Any]:
    """Provenance of a frame of records, as plain data; every list in ascending order."""
    versions: dict[str, set[str]] = {}
    for found in data["versions"].dropna():
        for name, version in found.items():
            versions.setdefault(name, set()).add(version)
    counts = data["gradient_seconds_count"].dropna()
    machines = list(data["machine"])
    return {
        "cases": len(data),
        "failed": int((data["status"] != "ok").sum()),
        "statuses": {str(name): int(n) for name, n in data["status"].value_counts().items()},
        "dates": _ends(str(date)[:10] for date in data["date"]),
        "commits": _distinct(str(commit)[:10] for commit in data["commit"].dropna()),
        "clean": bool((data["clean"] == True).all()),  # noqa: E712 (null is not clean)
        "machines": _distinct(machine["name"] for machine in machines),
        "cpus": _distinct(f"{machine['cpu']} ({machine['cores']} cores)" for machine in machines),
        "devices": _distinct(data["device"].dropna()),
        "frameworks": _distinct(data["framework"]),
        "threads": _distinct(machine["threads"] for machine in machines),
        "python": _distinct(machine["python"] for machine in machines),
        "versions": {name: sorted(found) for name, found in sorted(versions.items())},
        "rtols": _distinct(data["rtol"], descending=True),
        "atols": _ends(data["atol"]),
        "references": _distinct(data["reference"].dropna()),
        "repeats": _ends(int(count) for count in counts),
    }


def sentence(about: dict[str, Any]) -> str:
    """The same to be read, one line."""
    libraries = ", ".join(
        f"{name} {'/'.join(found)}"
        for name, found in about["versions"].items()
        if name in {*about["frameworks"], *NAMED}
    )
    statuses = ", ".join(f"{count} {name}" for name, count in about["statuses"].items())
    repeats = "–".join(map(str, about["repeats"])) or "no"
    return (
        f"{about['cases']} cases, {about['failed']} not ok ({statuses}). "
        f"Measured {' to '.join(about['dates'])} at commit {', '.join(about['commits']) or '?'} "
        f"({'clean' if about['clean'] else 'not all of them clean'}) "
        f"on {'; '.join(about['machines'])}: {'; '.join(about['cpus'])}, "
        f"{'/'.join(about['devices']) or 'cpu'}, "
        f"{'/'.join(map(str, about['threads']))} thread, Python {'/'.join(about['python'])}. "
        f"{libraries}. rtol {', '.join(f'{value:.0e}' for value in about['rtols'])}, "
        f"atol {' to '.join(f'{value:.0e}' for value in about['atols'])}. "
        f"Reference: {', '.join(about['references']) or 'none'}. {repeats} timed repeats."
    )


def _distinct(values: Iterable[Any], descending: bool = False) -> list[Any]:
    return sorted(set(values), reverse=descending)


def _ends(values: Iterable[Any]) -> list[Any]:
    """Smallest and largest, or the one value that there is."""
    ordered = _distinct(values)
    return ordered if len(ordered) < 2 else [ordered[0], ordered[-1]]
