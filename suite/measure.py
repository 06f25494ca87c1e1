"""Measure one case in this process: all figures of one gradient, each with its reason if missing.

Figures are handed to `publish` stage by stage, so that a process killed later loses none of them.
"""

import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from adapters import (
    Call,
    Gradient,
    NotAvailable,
    Solution,
    Solver,
    SolverFailure,
    Unsupported,
    get_method,
    load,
)
from problems import Problem, get_problem
from suite import metrics, references
from suite.cases import JUDGED, Case, judged
from suite.machine import calibration_seconds, portable
from suite.statuses import Status, judge

REPEATS = 5
MAXIMUM_REPEATS = 2000
# A first call this many times over the timing budget is itself taken as the timing.
LONG_CALL = 4.0
# A finite-difference check solves about this often.
CHECK_SOLVES = 13 * metrics.BLOCKS
# The memory tracer slows allocation-heavy code down by about this factor.
TRACING_FACTOR = 3.0

# A verdict reached in these stages leaves nothing to be measured after it.
ENDING = ("solver", "forward_seconds")
# A gradient whose strategy integrates another system than the plain forward solve.
OWN_SOLVE = ("forward",)

Array = NDArray[np.float64]
Result = TypeVar("Result")
Figures = dict[str, Any]
Publish = Callable[[Figures], None]


@dataclass(frozen=True)
class Effort:
    """How long timings and checks of one case may take, seconds."""

    timing_seconds: float
    check_seconds: float


@dataclass
class Timing:
    """Seconds of repeated calls."""

    samples: list[float] = field(default_factory=list)

    def figures(self, name: str) -> Figures:
        """Median, quartiles and count under `name_seconds`, `_q25`, `_q75`, `_count`."""
        q25, median, q75 = np.quantile(self.samples, [0.25, 0.5, 0.75]).tolist()
        return {
            f"{name}_seconds": median,
            f"{name}_seconds_q25": q25,
            f"{name}_seconds_q75": q75,
            f"{name}_seconds_count": len(self.samples),
        }

    def settled(self, seconds: float) -> bool:
        """Whether there are enough: five repeats and `seconds` of them, or far more of either."""
        spent, count = sum(self.samples), len(self.samples)
        if count >= MAXIMUM_REPEATS or spent >= LONG_CALL * seconds:
            return True
        return count >= REPEATS and spent >= seconds


_solvers: dict[Any, Solver] = {}
_compiled: dict[Solver, Figures] = {}


def measure(case: Case, effort: Effort, known: Figures, publish: Publish) -> None:
    """Publish the figures of `case`, one stage after another.

    Arguments:
        known: figures of the same forward solve that an earlier case measured; reused, not redone.
        publish: called with the figures of every stage as it ends. A figure that does not exist
            has a `<figure>_reason` instead; the gradient's stage publishes `status` and `reason`.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _Measurement(case, effort, known, publish, caught).run()


def prepare(case: Case) -> None:
    """Load and compile what `case` needs, for this process; nothing is recorded but the seconds."""
    problem = get_problem(case.problem)
    solver = _loaded(case, problem)
    arguments = (problem.y0, problem.p, case.rtol, case.atol)
    _compile(solver, arguments, alone=False)
    solver.forward(*arguments)


def _loaded(case: Case, problem: Problem) -> Solver:
    """The solver, built once a process for equal programs."""
    key = (case.method, case.device, problem.program)
    if key not in _solvers:
        _solvers[key] = load(problem, get_method(case.method), case.device)
    return _solvers[key]


def _compile(solver: Solver, arguments: tuple[Array, Array, float, float], alone: bool) -> None:
    start = perf_counter()
    solver.compile(*arguments)
    _compiled[solver] = {
        "compile_seconds": perf_counter() - start,
        "compile_cached": getattr(solver, "compile_cached", None),
        "compile_alone": alone,
    }


class _Measurement:
    """The stages of one case and what they hand to each other."""

    def __init__(
        self,
        case: Case,
        effort: Effort,
        known: Figures,
        publish: Publish,
        caught: list[warnings.WarningMessage],
    ) -> None:
        self.case, self.effort, self.known, self.caught = case, effort, known, caught
        self.problem: Problem = get_problem(case.problem)
        self._publish = publish
        self._busy = 0.0
        self._solver: Solver | None = None
        self._end: Solution | None = None
        self._gradient: Gradient | None = None
        self._gradient_seconds = 0.0

    def run(self) -> None:
        """All stages; what fails in one leaves the others standing."""
        stages: list[tuple[str, Callable[[], Figures]]] = [
            ("calibration_seconds", lambda: {"calibration_seconds": calibration_seconds()}),
            ("solver", self._load),
            ("forward_seconds", self._forward),
            ("compile_seconds", self._compile),
            ("gradient", self._differentiate),
            ("peak_bytes", self._memory),
            ("finite_difference_error", self._difference),
            ("reversibility_error", self._reverse),
        ]
        for figure, stage in stages:
            self._publish({"stage": figure})
            figures = self._attempt(figure, stage)
            self._publish({**figures, "busy_seconds": self._busy})
            if "status" in figures and figure in ENDING:
                return
        self._publish({"stage": None})

    def _attempt(self, figure: str, stage: Callable[[], Figures]) -> Figures:
        try:
            return stage()
        except _NotMeasured as error:
            return {f"{figure}_reason": str(error)}
        except Exception as error:
            status, reason = explain(error)
            failure = {f"{figure}_reason": reason}
            if figure in ("solver", "compile_seconds", "gradient"):
                text = portable("".join(traceback.format_exception(error)))
                failure |= {"status": status, "reason": reason, "message": text}
            return failure

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Time spent in here is the framework's, not the suite's."""
        start = perf_counter()
        try:
            yield
        finally:
            self._busy += perf_counter() - start

    @property
    def solver(self) -> Solver:
        assert self._solver is not None
        return self._solver

    @property
    def _arguments(self) -> tuple[Array, Array, float, float]:
        return self.problem.y0, self.problem.p, self.case.rtol, self.case.atol

    def _load(self) -> Figures:
        self._solver = _loaded(self.case, self.problem)
        return {}

    def _compile(self) -> Figures:
        """What compiling the gradient took, now or when an equal program needed it."""
        if self.solver not in _compiled:
            with self._counted():
                _compile(self.solver, self._arguments, alone=True)
        return _compiled[self.solver]

    def _forward(self) -> Figures:
        """Time the forward solve, unless known; keep its states where they will be needed.

        Where it fails, so does every gradient that starts with it: that is the verdict then.
        """
        shared = {k: v for k, v in self.known.items() if k.startswith("forward")}
        if "forward_failed" in shared:
            return self._verdict(shared)
        if shared and _has(self.known, "reversibility_error"):
            return shared
        try:
            with self._counted():
                call = self.solver.forward(*self._arguments)
            solution, timing = self._time(call)
        except SolverFailure as error:
            return self._verdict(_failed("diverged", explain(error)[1]))
        if not np.all(np.isfinite(solution.ys)):
            return self._verdict(_failed("non-finite", "its states are NaN or infinite"))
        self._end = solution
        return shared or {**timing.figures("forward"), "forward_from": self.case.method}

    def _verdict(self, failed: Figures) -> Figures:
        if get_method(self.case.method).strategy in OWN_SOLVE:
            return failed
        reason = f"the forward solve failed: {failed['forward_seconds_reason']}"
        return {**failed, "status": failed["forward_failed"], "reason": reason}

    def _differentiate(self) -> Figures:
        call = self.solver.gradient(*self._arguments)
        del self.caught[:]
        gradient, timing = self._time(call)
        self._gradient, self._gradient_seconds = gradient, max(timing.samples)
        numbers = {
            "loss": gradient.loss,
            "gradient_p": self._kept(gradient.p),
            "gradient_y0": self._kept(gradient.y0),
            **vars(gradient.counters),
            **timing.figures("gradient"),
        }
        return numbers | judge_gradient(self.case, self.problem, gradient, self._warned())

    def _kept(self, values: Array) -> list[Any]:
        """Of a batch those that are judged."""
        return (values if self.problem.batch is None else values[:JUDGED]).tolist()

    def _warned(self) -> str | None:
        return str(self.caught[-1].message) if self.caught else None

    def _time(self, call: Call[Result]) -> tuple[Result, Timing]:
        """What repeated calls return, and their seconds, the first (warm-up) left out."""
        with self._counted():
            start = perf_counter()
            raw = call.run()
            first = perf_counter() - start
            result = call.read(raw)
            if first > LONG_CALL * self.effort.timing_seconds:
                return result, Timing([first])
            timing = Timing()
            while not timing.settled(self.effort.timing_seconds):
                start = perf_counter()
                call.run()
                timing.samples.append(perf_counter() - start)
        return result, timing

    def _memory(self) -> Figures:
        """High-water mark during one warm gradient.

        Of all allocations, native ones included, on a CPU; of the framework's own on a GPU.
        """
        self._needs_gradient()
        if self.case.device == "gpu":
            with self._counted():
                found = self.solver.device_memory(*self._arguments)
            return {"peak_bytes": found.peak_bytes, "peak_bytes_source": found.source}
        self._affordable("tracing memory", self._gradient_seconds * TRACING_FACTOR)
        import memray

        call = self.solver.gradient(*self._arguments)
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "trace.bin"
            with self._counted(), memray.Tracker(trace):
                call.run()
            with memray.FileReader(trace) as reader:
                peak = int(reader.metadata.peak_memory)
        return {"peak_bytes": peak, "peak_bytes_source": "memray"}

    def _difference(self) -> Figures:
        """The gradient against central differences of the method's own forward solve."""
        self._single("finite differences are")
        gradient = self._needs_gradient()
        slopes = self.known.get("differences") or self._slopes()
        error, floor = metrics.difference_error(
            self.problem, gradient.p, gradient.y0, metrics.Differences(**slopes)
        )
        return {
            "differences": slopes,
            "finite_difference_error": error,
            "finite_difference_floor": floor,
        }

    def _slopes(self) -> Figures:
        if "finite_difference_error_reason" in self.known:
            raise _NotMeasured(self.known["finite_difference_error_reason"])
        start = perf_counter()
        self._loss(self.problem.y0, self.problem.p)
        self._affordable("differencing", (perf_counter() - start) * CHECK_SOLVES)
        return vars(metrics.finite_differences(self.problem, self._loss, self.case.rtol))

    def _loss(self, y0: Array, p: Array) -> float:
        with self._counted():
            ys = self.solver.forward(y0, p, self.case.rtol, self.case.atol)().ys
        return float(self.problem.loss.value(ys, np))

    def _reverse(self) -> Figures:
        """Integrate the end state back to t0 and compare with y0."""
        self._single("reversibility is")
        shared = {k: v for k, v in self.known.items() if k.startswith("reversibility")}
        if shared:
            return shared
        if self._end is None:
            raise _NotMeasured("there is no end state to start from: the forward solve failed")
        end = (self._end.ys[-1], self.problem.p, self.case.rtol, self.case.atol)
        with self._counted():
            recovered = self.solver.reverse(*end)().ys
        if not np.all(np.isfinite(recovered)):
            raise _NotMeasured("the reverse solve ended in NaN or infinity")
        return {
            "reversibility_error": metrics.reversibility_error(self.problem, recovered),
            "reversibility_states": np.abs(recovered - self.problem.y0).tolist(),
        }

    def _single(self, what: str) -> None:
        if self.problem.batch is not None:
            raise _NotMeasured(f"not measured: {what} the members' own, and a batch adds nothing")

    def _needs_gradient(self) -> Gradient:
        if self._gradient is None:
            raise _NotMeasured("there is no gradient")
        return self._gradient

    def _affordable(self, what: str, seconds: float) -> None:
        if seconds > self.effort.check_seconds:
            raise _NotMeasured(
                f"not measured: {what} would take about {seconds:.1f} s, over the "
                f"{self.effort.check_seconds:g} s allowed"
            )


class _NotMeasured(Exception):
    """A figure that is left out on purpose; the message is its reason."""


def _failed(status: Status, reason: str) -> Figures:
    return {"forward_failed": status, "forward_seconds_reason": reason}


def _has(figures: Figures, name: str) -> bool:
    return name in figures or f"{name}_reason" in figures


def judge_gradient(case: Case, problem: Problem, gradient: Gradient, warned: str | None) -> Figures:
    """Status, reason and errors of a returned gradient against the certified one.

    Of a batch every member must be finite; the others are those of the worst of the judged ones.
    """
    finite = np.isfinite(np.concatenate([gradient.p, gradient.y0], axis=-1))
    if not (np.all(finite) and np.isfinite(gradient.loss)):
        reason = f"{np.sum(~finite)} of {finite.size} gradient components are NaN or infinite"
        if problem.batch is not None:
            bad = int(np.sum(~np.all(finite, axis=-1)))
            reason += f", in {bad} of {problem.batch} members"
        return {"status": "non-finite", "reason": reason, "gradient_error_reason": reason}
    if problem.batch is None:
        return _judge_single(case, problem, gradient, warned)
    verdicts = [
        _judge_single(case, one, gradient.member(number), warned)
        for number, one in enumerate(judged(problem))
    ]
    worst = max(verdicts, key=lambda found: found["gradient_error"])
    return {**worst, "batch_judged": len(verdicts)}


def _judge_single(case: Case, problem: Problem, gradient: Gradient, warned: str | None) -> Figures:
    reference = references.load(problem)
    error = metrics.gradient_error(
        problem,
        gradient.p,
        gradient.y0,
        reference.gradient_p,
        reference.gradient_y0,
        reference.digits_p,
        reference.digits_y0,
    )
    status, reason = judge(error.total, case.rtol, warned)
    return {
        "status": status,
        "reason": reason,
        "warning": warned,
        "loss_error": abs(gradient.loss - reference.loss)
        / max(abs(reference.loss), metrics.LOSS_FLOOR * problem.loss_scale),
        "gradient_error": error.total,
        "gradient_error_p": error.p,
        "gradient_error_y0": error.y0,
        "gradient_error_worst": error.worst,
        "reference": reference.problem,
    }


def explain(error: Exception) -> tuple[Status, str]:
    """The status that an exception stands for, and one line in plain words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    if isinstance(error, SolverFailure):
        return "diverged", line
    if isinstance(error, Unsupported):
        return "unsupported", line
    if isinstance(error, NotAvailable):
        return "not-available", line
    if isinstance(error, MemoryError):
        return "out-of-memory", f"asked for more memory than its limit: {line}"
    if isinstance(error, ImportError):
        return "error", f"the framework cannot be imported: {line}"
    return "error", f"raised {type(error).__name__}: {line}"
