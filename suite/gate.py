"""Is one side worse than the other, and how sure is that? Verdicts on pairs of records.

Times are compared by the ratio of pairs measured one right after the other, with a confidence
interval; errors and memory, which repeat, by their ratio; statuses by identity.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any, Literal

from scipy import stats

from suite.records import Record, case_key

Verdict = Literal["regression", "improvement", "same", "undecided"]
Pair = tuple[Record, Record]

# A slowdown this large is to be found, one this small never to be complained of.
CAUGHT, TOLERATED = 1.3, 1.05
CONFIDENCE = 0.99
# Two runs measured on different days, each divided by its own calibration kernel.
RECORDED_TOLERATED = 1.5
# What repeats: an error may move a little with the last digits of another build's arithmetic.
RATIO_LIMITS = {"gradient_error": 1.25, "reversibility_error": 1.25, "peak_bytes": 1.1}
# Below these a figure is rounding, or the interpreter's own allocations.
FLOORS = {"gradient_error": 1e-12, "reversibility_error": 1e-12, "peak_bytes": 2.0**16}
FIRST_ROUNDS = 6


@dataclass(frozen=True)
class Finding:
    """One figure of one case on both sides.

    `base`, `head`: statuses, or medians in the figure's unit. `ratio`: head over base, with `low`
    and `high`, the ends of its confidence interval (both the ratio itself for figures that repeat).
    """

    problem: str
    method: str
    rtol: float
    figure: str
    base: Any
    head: Any
    ratio: float
    low: float
    high: float
    verdict: Verdict


def judge(pairs: Sequence[Pair]) -> list[Finding]:
    """All findings of one case from the rounds in which both sides measured it."""
    statuses = _statuses(pairs)
    healthy = [pair for pair in pairs if pair[0]["status"] == pair[1]["status"] == "ok"]
    if statuses.verdict != "same" or not healthy:
        return [statuses]
    return [
        statuses,
        _time(healthy),
        *(found for name in RATIO_LIMITS if (found := _repeating(healthy, name)) is not None),
    ]


def settled(pairs: Sequence[Pair]) -> bool:
    """Whether more rounds could change no verdict."""
    findings = judge(pairs)
    if len(findings) == 1:
        return len(pairs) >= 2
    return len(pairs) >= FIRST_ROUNDS and all(found.verdict != "undecided" for found in findings)


def judge_recorded(base: Sequence[Record], head: Sequence[Record]) -> list[Finding]:
    """All findings on two recorded runs; times in units of each record's calibration kernel."""
    by_case = {case_key(record): record for record in head}
    findings = []
    for record in base:
        other = by_case.get(case_key(record), {**record, "status": "not measured"})
        statuses = _statuses([(record, other)])
        findings.append(statuses)
        if record["status"] == other["status"] == "ok":
            findings.append(_recorded_time(record, other))
            found = [_repeating([(record, other)], name) for name in RATIO_LIMITS]
            findings += [finding for finding in found if finding is not None]
    return findings


def _statuses(pairs: Sequence[Pair]) -> Finding:
    """A change counts when every round shows it: a limit that is met by chance does not repeat."""
    verdicts = {_status_verdict(base["status"], head["status"]) for base, head in pairs}
    verdict: Verdict = verdicts.pop() if len(verdicts) == 1 else "undecided"
    base, head = (_most_common([pair[side]["status"] for pair in pairs]) for side in (0, 1))
    return _finding(pairs, "status", base, head, (math.nan,) * 3, verdict)


def _status_verdict(base: str, head: str) -> Verdict:
    if base in (head, "not-available"):
        return "same"
    if head == "ok":
        return "improvement"
    if base == "ok" or head == "silently-wrong":
        return "regression"
    return "same" if base != "silently-wrong" else "improvement"


def _most_common(values: Sequence[str]) -> str:
    return max(dict.fromkeys(values), key=values.count)


def _time(pairs: Sequence[Pair]) -> Finding:
    logs = [math.log(head["gradient_seconds"] / base["gradient_seconds"]) for base, head in pairs]
    centre = fmean(logs)
    half = _half_width(logs)
    low, high = centre - half, centre + half
    verdict: Verdict = "undecided"
    if low > math.log(TOLERATED):
        verdict = "regression"
    elif high < -math.log(TOLERATED):
        verdict = "improvement"
    elif high < math.log(CAUGHT):
        verdict = "same"
    return _of(pairs, "gradient_seconds", (_exp(centre), _exp(low), _exp(high)), verdict)


def _half_width(values: Sequence[float]) -> float:
    """Of Student's confidence interval for the mean."""
    if len(values) == 1:
        return math.inf
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return float(quantile) * stdev(values) / math.sqrt(len(values))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _recorded_time(base: Record, head: Record) -> Finding:
    ratio = (head["gradient_seconds"] / head["calibration_seconds"]) / (
        base["gradient_seconds"] / base["calibration_seconds"]
    )
    verdict = _ratio_verdict(ratio, RECORDED_TOLERATED)
    return _of([(base, head)], "gradient_seconds", (ratio,) * 3, verdict)


def _repeating(pairs: Sequence[Pair], name: str) -> Finding | None:
    """By the medians; None where a record lacks the figure."""
    if any(record.get(name) is None for pair in pairs for record in pair):
        return None
    base, head = (
        max(median(float(pair[side][name]) for pair in pairs), FLOORS[name]) for side in (0, 1)
    )
    ratio = head / base
    return _of(pairs, name, (ratio,) * 3, _ratio_verdict(ratio, RATIO_LIMITS[name]))


def _ratio_verdict(ratio: float, limit: float) -> Verdict:
    if ratio > limit:
        return "regression"
    return "improvement" if ratio < 1 / limit else "same"


def _of(
    pairs: Sequence[Pair], name: str, ratio: tuple[float, float, float], verdict: Verdict
) -> Finding:
    base, head = (median(pair[side][name] for pair in pairs) for side in (0, 1))
    return _finding(pairs, name, base, head, ratio, verdict)


def _finding(
    pairs: Sequence[Pair],
    figure: str,
    base: Any,
    head: Any,
    ratio: Sequence[float],
    verdict: Verdict,
) -> Finding:
    case: Mapping[str, Any] = pairs[0][0]
    names = case["problem"], case["method"], case["rtol"]
    return Finding(*names, figure, base, head, ratio[0], ratio[1], ratio[2], verdict)
