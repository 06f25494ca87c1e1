"""A case is problem x method x tolerance; tiers say which cases are run and how long they may."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random
from typing import get_args

from adapters import Device, Method, get_method, methods
from problems import Problem, get_problem, member, nearest, problem_names

# The one seed of the order in which cases are run.
ORDER_SEED = 20261121
# Members of a batch whose gradients are judged: the first ones.
JUDGED = 4


class BadRequest(ValueError):
    """What was asked for on the command line cannot be; the message says what to do instead."""


@dataclass(frozen=True)
class Case:
    """One measurement to make: canonical problem and method names, the tolerances, the device."""

    problem: str
    method: str
    rtol: float
    atol: float
    device: Device = "cpu"

    @property
    def key(self) -> tuple[str, str, float, float, str]:
        """What tells one case from another among the records of a run."""
        return (self.problem, self.method, self.rtol, self.atol, self.device)

    @property
    def solve_key(self) -> str:
        """Equal for cases whose forward solve is the same: only the strategy differs."""
        method = get_method(self.method)
        solver = f"{method.framework}/{method.integrator}"
        return f"{self.problem} {solver} {self.rtol!r} {self.atol!r} {self.device}"

    @property
    def risky(self) -> bool:
        """Whether hanging or crashing is to be expected, so that a worker of its own is given."""
        method = get_method(self.method)
        return not method.implicit or method.strategy == "backsolve"

    @property
    def worker(self) -> str:
        """Cases of one worker share its imports, its device and compiled programs."""
        method = get_method(self.method)
        solver = f"{method.framework}-{method.integrator}-{self.device}"
        return solver + ("-risky" if self.risky else "")


@dataclass(frozen=True)
class Tier:
    """Which problems and tolerances, and how much effort a case.

    Arguments:
        timeout: seconds that one case may take, set-up and compilation included.
        risky_timeout: the same for explicit integrators and backsolve adjoints.
        timing_seconds: seconds of repeats after which a timing ends, if five are done sooner
            or not.
        check_seconds: seconds that the finite-difference check and the memory trace may each take.
        batched: whether methods that take no batches are left out where none are named.
    """

    problems: tuple[str, ...]
    rtols: tuple[float, ...]
    timeout: float
    risky_timeout: float
    timing_seconds: float
    check_seconds: float
    batched: bool = False


LINEAR = ("linear:1", "linear:1e2", "linear:1e4")
TIERS = {
    "smoke": Tier(("rober", "linear:1e2"), (1e-4,), 60.0, 20.0, 0.2, 2.0),
    "quick": Tier(("rober", "pollu", "linear:1e2"), (1e-4, 1e-6), 60.0, 8.0, 0.1, 0.8),
    "full": Tier(
        ("rober", "pollu", *LINEAR, "linear:1e6", "relaxation:1e4", "relaxation:1e4:off")
        + ("rober:t1=10", "rober:final", "pollu:final", "rober:scaled", "rober:stiffness=100")
        + ("rober:fit", "pollu:fit"),
        (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
        600.0,
        120.0,
        1.0,
        60.0,
    ),
    "batch": Tier(
        tuple(f"rober:batch={size}" for size in (1, 10, 100, 1000, 10_000)),
        (1e-4,),
        120.0,
        20.0,
        0.5,
        60.0,
        batched=True,
    ),
}


def get_tier(name: str) -> Tier:
    """The tier called `name`; raises UnknownNameError otherwise."""
    if name not in TIERS:
        raise nearest("tier", name, TIERS)
    return TIERS[name]


def judged(problem: Problem) -> list[Problem]:
    """The problems whose references judge a gradient: itself, or the first members of a batch."""
    if problem.batch is None:
        return [problem]
    return [member(problem, number) for number in range(min(problem.batch, JUDGED))]


def get_device(name: str) -> Device:
    """The device called `name`; raises BadRequest otherwise."""
    for known in get_args(Device):
        if name == known:
            return known
    raise BadRequest(f"unknown device {name!r}; known: {', '.join(get_args(Device))}")


def select_problems(globs: Sequence[str], default: Iterable[str]) -> list[str]:
    """Canonical problem names for the globs; a glob is a name with variants or a pattern.

    Patterns with `*`, `?` or `[` are matched against `default` and the base names.
    """
    if not globs:
        return [get_problem(name).name for name in default]
    chosen: dict[str, None] = {}
    for glob in globs:
        if _is_pattern(glob):
            known = [*default, *problem_names()]
            matched = [name for name in known if fnmatchcase(name, glob)]
            if not matched:
                raise nearest("problem", glob, known)
            chosen |= {get_problem(name).name: None for name in matched}
        else:
            chosen[get_problem(glob).name] = None
    return list(chosen)


def select_methods(globs: Sequence[str]) -> list[Method]:
    """Methods whose names match any of the globs, all for no glob; UnknownNameError for none."""
    if not globs:
        return list(methods().values())
    chosen: dict[str, Method] = {}
    for glob in globs:
        matched = {k: v for k, v in methods().items() if fnmatchcase(k, glob)}
        if not matched:
            raise nearest("method", glob, methods())
        chosen |= matched
    return list(chosen.values())


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def make_cases(
    problems: Iterable[str],
    chosen: Iterable[Method],
    rtols: Iterable[float],
    atol: float | None = None,
    device: Device = "cpu",
) -> list[Case]:
    """All combinations, `atol` None meaning the problem's own, in the order they are to be run.

    A seeded shuffle interleaves the methods, so that a drift of the machine's speed favours none;
    within one problem and method the loosest tolerance comes first.
    """
    descending = sorted(set(rtols), reverse=True)
    names = list(problems)
    cases = [
        Case(
            name,
            method.name,
            rtol,
            get_problem(name).default_atol(rtol) if atol is None else atol,
            device,
        )
        for method in chosen
        for name in names
        for rtol in descending
    ]
    Random(ORDER_SEED).shuffle(cases)
    loosest_first: dict[tuple[str, str], list[Case]] = {}
    for case in sorted(cases, key=lambda case: -case.rtol):
        loosest_first.setdefault((case.problem, case.method), []).append(case)
    return [loosest_first[case.problem, case.method].pop(0) for case in cases]
