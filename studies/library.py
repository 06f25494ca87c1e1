"""What the library stiffgrad.jax set out to reach, aim by aim, beside the fastest of its peers.

Robertson's reaction and POLLU with the suite's own observations, measured by the suite's own code;
the first call of a fresh process; time against the number of parameters; memory with and without
checkpoints; the stiff neural ODE of Kim et al.; many trajectories in one map.
"""

from fnmatch import fnmatchcase
from typing import Any

from adapters import Method, get_method, methods
from studies import Claim, NotMeasured, Row, Study, Verdict, attempts, confirmed, refuted
from studies._cost import exponent
from studies._library_parts import (
    first_call,
    mapped,
    memory,
    precision,
    prepare_precision,
    scaling,
    training,
)
from studies._study import DataFrame, Figure
from suite.tables import USABLE, reached_before, seconds_at

AIMS = "The aims of this project"
OURS = "stiffgrad-jax"
DEFAULT = f"{OURS}/rodas5p/discrete"
CHECKPOINTED = f"{DEFAULT}-checkpointed"
PEER = "diffrax"

PROBLEMS = ("rober", "pollu")
TARGETS = (1e-4, 1e-6, 1e-8)
# The target that the aims are about.
TARGET = 1e-6
FULL_RTOLS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
QUICK_RTOLS = (1e-4, 1e-6, 1e-8)
OURS_FULL = (DEFAULT, f"{OURS}/rodas4/discrete", f"{OURS}/rodas5p/gauss", f"{OURS}/rodas5p/forward")
QUICK = (DEFAULT, "diffrax/kvaerno3/forward-discrete", "scipy/lsoda/forward")
# What is left out of the race: what fails or is many times slower than its like, and SciPy's
# adjoints, which take 5 to 50 times as long as its forward sensitivities on both problems.
SLOW = (
    "*/backsolve*",
    "*/finite-difference*",
    "*/discrete-direct",
    "diffrax/implicit-euler/*",
    "scipy/*/interpolating",
    "scipy/*/quadrature",
    "scipy/radau/*",
)
PRECISION_SECONDS = 60.0

STATES = 10
WIDTHS = (5, 50, 500, 5000)
SCALED = {
    "discrete": WIDTHS,
    "gauss": WIDTHS,
    "quadrature": WIDTHS,
    "imex": WIDTHS,
    "interpolating": WIDTHS[:2],
}
LINEAR = ("discrete", "gauss", "quadrature")
SCALING_SECONDS = 90.0

EPOCHS, QUICK_EPOCHS = 10_000, 200
RECIPES = (("rosenbrock23", "dense"), ("rodas5p", "dense"), ("rodas5p", "step"))
TRAJECTORIES, QUICK_TRAJECTORIES = 10_000, 1_000
LONG_SECONDS = 180.0

# Seconds, but for the number of gradients a second.
WANTED = {"rober": 0.15e-3, "pollu": 0.6e-3}
WANTED_RATIO = {"rober": 50.0, "pollu": 25.0}
WANTED_COLD = {"rober": 3.0, "pollu": 15.0}
WANTED_WARM = 2.0
WANTED_EXPONENT = 1.2
WANTED_SLOWDOWN, WANTED_MEMORY = 2.0, 0.1
WANTED_TRAINING = 10.0
WANTED_MAPPED = 30_000.0


def peers() -> list[str]:
    """Methods of others that are in the race; those to come join by being registered."""

    def runs(method: Method) -> bool:
        slow = any(fnmatchcase(method.name, pattern) for pattern in SLOW)
        return method.framework != OURS and method.implicit and not slow

    return [name for name, method in methods().items() if runs(method)]


def run(quick: bool) -> DataFrame:
    """Rows of `part` "precision", "first", "scaling", "memory", "training" and "map"."""
    import pandas as pd

    problems = PROBLEMS[:1] if quick else PROBLEMS
    timing = 0.1 if quick else 0.5
    rows = [
        *_precision(quick, problems, timing),
        *_alone(first_call, "first", [{"problem": name} for name in problems]),
        *_scaling(quick, timing),
        *_memory(problems, timing),
        *_training(quick),
        *_alone(mapped, "map", [_map(quick)]),
    ]
    return pd.DataFrame(rows)


def _precision(quick: bool, problems: tuple[str, ...], timing: float) -> list[Row]:
    names = QUICK if quick else (*OURS_FULL, *peers())
    cases = [
        {"part": "precision", "problem": problem, "method": name, "rtol": rtol, "timing": timing}
        for name in names
        for problem in problems
        for rtol in (QUICK_RTOLS if quick else FULL_RTOLS)
    ]
    together = ("problem", "method")
    ready = prepare_precision
    return attempts(precision, cases, PRECISION_SECONDS, give_up=together, ready=ready)


def _alone(work: Any, part: str, cases: list[Row]) -> list[Row]:
    listed = [{"part": part, "method": DEFAULT, **case} for case in cases]
    return attempts(work, listed, LONG_SECONDS)


def _map(quick: bool) -> Row:
    return {"problem": "rober", "trajectories": QUICK_TRAJECTORIES if quick else TRAJECTORIES}


def _scaling(quick: bool, timing: float) -> list[Row]:
    chosen = {name: (WIDTHS[0], WIDTHS[2]) for name in LINEAR[:2]} if quick else SCALED
    cases = [
        {
            "part": "scaling",
            "method": f"{OURS}/rodas5p/{name}",
            "states": STATES,
            "parameters": 2 * STATES * width,
            "timing": timing,
        }
        for name, widths in chosen.items()
        for width in widths
    ]
    return attempts(scaling, cases, SCALING_SECONDS, give_up=("method",))


def _memory(problems: tuple[str, ...], timing: float) -> list[Row]:
    cases = [
        {"part": "memory", "problem": problem, "method": name, "timing": timing}
        for problem in problems
        for name in (DEFAULT, CHECKPOINTED)
    ]
    return attempts(memory, cases, LONG_SECONDS)


def _training(quick: bool) -> list[Row]:
    recipes = RECIPES[:1] if quick else RECIPES
    cases = [
        {
            "part": "training",
            "method": f"{OURS}/rodas5p/discrete",
            "integrator": integrator,
            "observe": observe,
            "epochs": QUICK_EPOCHS if quick else EPOCHS,
        }
        for integrator, observe in recipes
    ]
    return attempts(training, cases, LONG_SECONDS)


def rows_of(frame: DataFrame, part: str, **wanted: Any) -> Any:
    """Successful rows of a part with these values."""
    rows = frame[(frame["part"] == part) & frame["status"].isin(USABLE)]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows


def needed(frame: DataFrame, part: str, **wanted: Any) -> Any:
    """The same; raises NotMeasured, with the reason of a row that failed, if there is none."""
    rows = rows_of(frame, part, **wanted)
    if len(rows):
        return rows
    tried = frame[frame["part"] == part]
    for name, value in wanted.items():
        tried = tried[tried[name] == value]
    words = ", ".join(str(value) for value in wanted.values())
    if tried.empty:
        raise NotMeasured(f"{words or part}: not part of this run")
    raise NotMeasured(f"{words or part}: {tried.iloc[0]['status']}: {tried.iloc[0]['reason']}")


def at_error(frame: DataFrame, problem: str, method: str, target: float) -> float:
    """Seconds to an error of `target` on the work-precision curve; NaN where it is not reached."""
    rows = rows_of(frame, "precision", problem=problem, method=method)
    return seconds_at(rows["gradient_error"].tolist(), rows["seconds"].tolist(), target)


def _bound(frame: DataFrame, problem: str, method: str, target: float) -> str:
    rows = rows_of(frame, "precision", problem=problem, method=method)
    return "≤ " if reached_before(rows["gradient_error"].tolist(), target) else ""


def fastest(frame: DataFrame, problem: str, framework: str | None = None) -> tuple[str, float]:
    """The fastest peer, of `framework` or of any, to TARGET: its name and seconds."""
    rows = needed(frame, "precision", problem=problem)
    names = [name for name in rows["method"].unique() if not name.startswith(f"{OURS}/")]
    if framework is not None:
        names = [name for name in names if get_method(name).framework == framework]
    found = {name: at_error(frame, problem, name, TARGET) for name in names}
    found = {name: seconds for name, seconds in found.items() if seconds == seconds}
    if not found:
        raise NotMeasured(f"{problem}: no gradient of {framework or 'a peer'} is as good as 1e-6")
    name = min(found, key=lambda name: found[name])
    return name, found[name]


def _reached(measured: str, reached: bool, wanted: str) -> Verdict:
    return confirmed(measured) if reached else refuted(measured, f"not reached: wanted {wanted}")


def judge_speed(frame: DataFrame, problem: str) -> Verdict:
    needed(frame, "precision", problem=problem, method=DEFAULT)
    seconds = {target: at_error(frame, problem, DEFAULT, target) for target in TARGETS}
    if seconds[TARGET] != seconds[TARGET]:
        raise NotMeasured(f"{problem}: no gradient of {DEFAULT} is as good as 1e-6")
    measured = "rodas5p/discrete: " + ", ".join(
        f"{_bound(frame, problem, DEFAULT, target)}{1e3 * value:.3g} ms at {target:.0e}"
        for target, value in seconds.items()
        if value == value
    )
    wanted = WANTED[problem]
    return _reached(measured, seconds[TARGET] <= wanted, f"{1e3 * wanted:g} ms at 1e-6")


def judge_ratio(frame: DataFrame, problem: str) -> Verdict:
    ours = at_error(frame, problem, DEFAULT, TARGET)
    name, theirs = fastest(frame, problem, PEER)
    if ours != ours:
        raise NotMeasured(f"{problem}: no gradient of {DEFAULT} is as good as 1e-6")
    any_name, of_any = fastest(frame, problem)
    measured = (
        f"{theirs / ours:.3g} × faster than {name} ({1e3 * theirs:.3g} ms) at an error of 1e-6; "
        f"of all peers measured, {any_name} is the fastest with {1e3 * of_any:.3g} ms, "
        f"{of_any / ours:.3g} ×"
    )
    wanted = WANTED_RATIO[problem]
    return _reached(measured, theirs >= wanted * ours, f"{wanted:g} ×")


def judge_first(frame: DataFrame) -> Verdict:
    rows = needed(frame, "first")
    parts, missed = [], []
    for row in rows.itertuples():
        parts.append(
            f"{row.problem} {row.cache} {row.seconds:.2f} s (import {row.import_seconds:.2f}, "
            f"trace and compile {row.compile_seconds:.2f}, run {row.run_seconds:.1g})"
        )
        limit = WANTED_COLD[row.problem] if row.cache == "cold" else WANTED_WARM
        if row.seconds > limit:
            missed.append(f"{row.problem} {row.cache} {limit:g} s")
    return _reached("; ".join(parts), not missed, ", ".join(missed))


def exponents(frame: DataFrame, part: str = "scaling") -> dict[str, tuple[float, float]]:
    """By strategy the exponent of time in m: over all sizes, and from the last but one to the last.

    Strategies with fewer than two sizes have none.
    """
    found = {}
    for name, rows in rows_of(frame, part).groupby("method"):
        rows = rows.sort_values("parameters")
        sizes, seconds = rows["parameters"].tolist(), rows["seconds"].tolist()
        if len(sizes) > 1:
            fits = exponent(sizes, seconds), exponent(sizes[-2:], seconds[-2:])
            found[str(name).rpartition("/")[2]] = fits
    return found


def judge_linear(frame: DataFrame) -> Verdict:
    found = exponents(frame)
    missing = [name for name in LINEAR if name not in found]
    if len(missing) == len(LINEAR):
        needed(frame, "scaling")
        raise NotMeasured("no strategy has two sizes to fit")
    most = needed(frame, "scaling")["parameters"].max()
    measured = f"exponent of time in m to m = {most:g} (last two sizes): " + ", ".join(
        f"{name} {whole:.2f} ({last:.2f})" for name, (whole, last) in found.items()
    )
    if missing:
        measured += f"; not measured: {', '.join(missing)}"
    over = [name for name in LINEAR if name in found and max(found[name]) > WANTED_EXPONENT]
    return _reached(measured, not over, f"1.2 at most, which {', '.join(over)} exceeds")


def judge_memory(frame: DataFrame) -> Verdict:
    parts, good = [], True
    for problem in needed(frame, "memory")["problem"].unique():
        full = needed(frame, "memory", problem=problem, method=DEFAULT).iloc[0]
        part = needed(frame, "memory", problem=problem, method=CHECKPOINTED).iloc[0]
        time = part["seconds"] / full["seconds"]
        space = part["temporary_bytes"] / full["temporary_bytes"]
        good &= time <= WANTED_SLOWDOWN and space <= WANTED_MEMORY
        parts.append(
            f"{problem}: {full['temporary_bytes'] / full['max_steps']:.0f} bytes a step of the "
            f"limit with every step stored; checkpointed {space:.3f} of the memory in {time:.2f} × "
            "the time"
        )
    return _reached("; ".join(parts), good, "a tenth of the memory within twice the time")


def judge_training(frame: DataFrame) -> Verdict:
    rows = needed(frame, "training")
    parts = [
        f"{row.integrator}, observe={row.observe}: {1e3 * row.seconds / row.epochs:.3g} ms an "
        f"epoch, {row.seconds / row.epochs * EPOCHS:.3g} s for 10,000 (loss {row.first_loss:.3f} "
        f"to {row.last_loss:.4f} in {row.epochs:.0f}; {row.compile_seconds:.0f} s to compile)"
        for row in rows.itertuples()
    ]
    best = float((rows["seconds"] / rows["epochs"]).min()) * EPOCHS
    return _reached("; ".join(parts), best <= WANTED_TRAINING, f"{WANTED_TRAINING:g} s")


def judge_map(frame: DataFrame) -> Verdict:
    row = needed(frame, "map").iloc[0]
    rate = row["trajectories"] / row["seconds"]
    measured = (
        f"{rate:,.0f} gradients a second over {row['trajectories']:.0f} trajectories of "
        f"{row['steps']:.0f} steps on average, max_steps={row['max_steps']:.0f}"
    )
    return _reached(measured, rate >= WANTED_MAPPED, "30,000")


def _speed_claim(problem: str) -> Claim:
    wanted, title = 1e3 * WANTED[problem], problem.upper()
    return Claim(
        f"{problem} speed",
        f"The gradient of {title} to a log-parameter error of 1e-6 takes {wanted:g} ms",
        AIMS,
        "A prototype of the same design: 0.09 ms on Robertson's reaction, 0.43 ms on POLLU",
        lambda frame: judge_speed(frame, problem),
    )


def _ratio_claim(problem: str) -> Claim:
    wanted, title = WANTED_RATIO[problem], problem.upper()
    return Claim(
        f"{problem} ratio",
        f"{title}: at least {wanted:g} × faster than the fastest diffrax method at equal error",
        AIMS,
        "diffrax's Kvaerno3 forward: 17 ms at 2e-7 on Robertson's reaction, 30 ms on POLLU",
        lambda frame: judge_ratio(frame, problem),
    )


CLAIMS = (
    *(_speed_claim(problem) for problem in PROBLEMS),
    *(_ratio_claim(problem) for problem in PROBLEMS),
    Claim(
        "first call",
        "The first gradient of a fresh process, imports included, takes under 3 s (ROBER) and 15 s "
        "(POLLU), under 2 s with a warm compile cache",
        AIMS,
        "Compilation dominates: its time grows with the operations written out",
        judge_first,
    ),
    Claim(
        "linear in m",
        "discrete, gauss and quadrature cost O(m): exponent at most 1.2, 10 states, 100 to 100,000 "
        "parameters",
        AIMS,
        "At most 1: a fixed cost a step flattens the curve; imex beside them, and interpolating, "
        "whose linear algebra holds the parameters, as the contrast",
        judge_linear,
    ),
    Claim(
        "memory",
        "Checkpoints take a tenth of the memory of storing every step, within twice the time",
        AIMS,
        "8 (3 + n) bytes a step stored: 48 for Robertson's reaction, 184 for POLLU",
        judge_memory,
    ),
    Claim(
        "training",
        "10,000 epochs of Kim et al.'s stiff neural ODE (188 parameters) take 10 s on one core",
        f"{AIMS}; Kim et al. 2021, Chaos 31, 093122, section IV",
        "Two hours in the paper; a prototype with array operations 32 s",
        judge_training,
    ),
    Claim(
        "map",
        "A map over 10,000 trajectories of Robertson's reaction with perturbed rates gives 30,000 "
        "gradients a second on one core",
        AIMS,
        "A prototype with lanes in blocks of 16: 27,000 to 36,000",
        judge_map,
    ),
)


def numbers(frame: DataFrame) -> dict[str, float]:
    """Seconds of a gradient at 1e-6, of first calls, of an epoch, of one gradient within a map.

    Beside them the exponents of time in m.
    """
    found = {
        f"gradient-{name}": at_error(frame, name, DEFAULT, TARGET)
        for name in PROBLEMS
        if len(rows_of(frame, "precision", problem=name, method=DEFAULT))
    }
    for row in rows_of(frame, "first").itertuples():
        found[f"first-{row.cache}-{row.problem}"] = float(row.seconds)
    found |= {f"exponent-{name}": whole for name, (whole, _) in exponents(frame).items()}
    for row in rows_of(frame, "training", integrator=RECIPES[0][0]).itertuples():
        found["epoch"] = float(row.seconds / row.epochs)
    for row in rows_of(frame, "map").itertuples():
        found["map"] = float(row.seconds / row.trajectories)
    return found


def draw(frame: DataFrame) -> Figure:
    """Work-precision curves, time against m, first calls."""
    from studies._library_figure import draw_library

    return draw_library(frame)


STUDY = Study(
    name="library",
    title="stiffgrad.jax: what it set out to reach",
    source=AIMS,
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
    requires=("jax", "optax"),
)
