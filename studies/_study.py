"""What a study is: claims with their sources, a function that measures, one that draws."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
else:
    DataFrame = Figure = Any

Outcome = Literal["confirmed", "confirmed with a difference", "refuted", "not measured"]


class StudyError(RuntimeError):
    """A study that cannot be run or is not well-formed; the message says what to do."""


class NotMeasured(Exception):
    """Raised by a claim's judge where the frame holds nothing to judge by; the message says why."""


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Arguments:
        outcome: one of the closed list `Outcome`.
        measured: our figures, in words.
        why: which difference, why refuted, or why not measured; needed unless confirmed.
    """

    outcome: Outcome
    measured: str
    why: str = ""

    def __post_init__(self) -> None:
        if self.outcome != "confirmed" and not self.why:
            raise ValueError(f"the verdict {self.outcome!r} needs its reason")


def confirmed(measured: str) -> Verdict:
    """The claim holds here as it is stated."""
    return Verdict("confirmed", measured)


def differs(measured: str, which: str) -> Verdict:
    """The claim holds in substance; `which` says what is different here."""
    return Verdict("confirmed with a difference", measured, which)


def refuted(measured: str, why: str) -> Verdict:
    """The claim does not hold here."""
    return Verdict("refuted", measured, why)


@dataclass(frozen=True)
class Claim:
    """Something that a paper says and that can be measured.

    Arguments:
        name: short, unique in its study.
        text: what is claimed, with its number.
        source: paper and where in it.
        expected: what our own derivation or an earlier measurement gives, with its source.
        judge: from the study's frame to the verdict; may raise NotMeasured.
    """

    name: str
    text: str
    source: str
    expected: str
    judge: Callable[[DataFrame], Verdict]


def _no_numbers(frame: DataFrame) -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class Study:
    """One experiment of a paper, re-run.

    Arguments:
        name: the file's name with hyphens for underscores.
        title: what is studied; source: the paper.
        claims: what the paper says.
        run: `run(quick)` measures and returns a tidy frame, one row a measurement, columns of
            numbers, booleans or text only; what failed is a row with `status` and `reason`.
            Methods are named in a column `method`, so that their versions are recorded.
        draw: the frame as a figure like the paper's, made with studies._figures.
        numbers: the key numbers of a frame by name, those that are tracked over time; NaN where
            there is none.
        requires: names of distributions that it uses beyond the methods' own.
    """

    name: str
    title: str
    source: str
    claims: tuple[Claim, ...]
    run: Callable[[bool], DataFrame]
    draw: Callable[[DataFrame], Figure]
    numbers: Callable[[DataFrame], dict[str, float]] = _no_numbers
    requires: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        twice = [name for name, n in Counter(c.name for c in self.claims).items() if n > 1]
        if twice:
            raise StudyError(f"{self.name}: two claims are called {', '.join(twice)}")

    def verdicts(self, frame: DataFrame) -> list[Verdict]:
        """One verdict a claim, in their order."""
        return [_judged(claim, frame) for claim in self.claims]


def _judged(claim: Claim, frame: DataFrame) -> Verdict:
    try:
        return claim.judge(frame)
    except NotMeasured as error:
        return Verdict("not measured", "–", str(error))
