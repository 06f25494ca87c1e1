"""Run many cases, each in a worker process with a time and a memory limit; keep every outcome."""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from pebble import ProcessExpired, ProcessPool

from adapters import available, get_method
from problems import get_problem
from suite import worker
from suite.cases import Case
from suite.machine import ROOT, STACK_VARIABLE, STEADY, commit, machine, portable, versions
from suite.measure import Effort, Figures
from suite.records import FIELDS, Record, case_key
from suite.worker import read_figures

# A gradient that asks for more is no option on a desktop; JAX and PyTorch alone take under 1 GiB.
MEMORY_LIMIT = 8 * 2**30
# What cases with the same forward solve tell each other.
SHARED_PREFIXES = ("forward", "reversibility", "differences", "finite_difference_error_reason")
COMPILE_CACHE = ROOT / ".cache" / "compile"


@dataclass(frozen=True)
class Limits:
    """Seconds a case may take, by how likely it is to hang, and bytes it may allocate.

    Bytes are limited on a CPU alone: a GPU's driver maps far more than is used.
    """

    timeout: float
    risky_timeout: float
    effort: Effort
    memory_bytes: int = MEMORY_LIMIT

    def seconds(self, case: Case) -> float:
        """The time limit of `case`."""
        return self.risky_timeout if case.risky else self.timeout


@dataclass
class Runner:
    """Runs cases one at a time; workers stay alive between cases that did not harm them.

    `announce`: called with each case before it is measured.
    `busy_seconds`: time spent in frameworks (compiling, warming up, measured calls), the rest of
    the run's time being the suite's own.
    """

    limits: Limits
    run: str = ""
    run_cases: int = 0
    busy_seconds: float = 0.0
    announce: Callable[[Case], None] = lambda case: None
    _pools: dict[str, ProcessPool] = field(default_factory=dict)
    _known: dict[str, Figures] = field(default_factory=dict)
    _timed_out: dict[tuple[str, str, str], Record] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Runner":
        os.environ.update(STEADY)
        os.environ.setdefault("STIFFGRAD_COMPILE_CACHE", str(COMPILE_CACHE))
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self

    def __exit__(self, *exception: object) -> None:
        for pool in self._pools.values():
            pool.stop()
        for pool in self._pools.values():
            pool.join()
        self._stack.close()

    def measure(self, case: Case) -> Record:
        """The record of one case, whatever happens in it."""
        self.announce(case)
        record = describe(case, self.run, self.run_cases)
        record.update(self._figures(case))
        for name in FIELDS:
            record.setdefault(name, None)
        self.learn(case, record)
        return record

    def prepare(self, cases: list[Case]) -> None:
        """Compile ahead what the cases need, on all cores, before anything is timed.

        Explicit integrators are left out: on stiff problems their forward solve fails first.
        """
        waiting: dict[str, dict[object, Case]] = {}
        for case in cases:
            method = get_method(case.method)
            if method.implicit and available(method)[0]:
                program = (case.method, get_problem(case.problem).program)
                waiting.setdefault(case.worker, {}).setdefault(program, case)
        start = perf_counter()
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
            list(threads.map(self._get_ready, [list(group.values()) for group in waiting.values()]))
        self.busy_seconds += perf_counter() - start

    def _get_ready(self, cases: list[Case]) -> None:
        for case in cases:
            future = self._pool(case).schedule(
                worker.get_ready, args=(case,), timeout=self.limits.timeout
            )
            try:
                future.result()
            except (FutureTimeout, ProcessExpired):
                # it will be met, and recorded, when the case is measured
                continue

    def learn(self, case: Case, record: Record) -> None:
        """Take what later cases can use from a record, measured now or in an earlier part."""
        known = self._known.setdefault(case.solve_key, {})
        for name, value in record.items():
            if name.startswith(SHARED_PREFIXES) and value is not None:
                known.setdefault(name, value)
        if record["status"] == "timeout":
            self._timed_out.setdefault((case.problem, case.method, case.device), record)
            if record.get("stage") == "forward_seconds":
                solver = case.method.rpartition("/")[0]
                self._timed_out.setdefault((case.problem, solver, case.device), record)

    def _figures(self, case: Case) -> Figures:
        usable, reason = available(get_method(case.method))
        if not usable:
            return {"status": "not-installed", "reason": reason}
        hung = self._hung(case)
        if hung is not None:
            reason = f"not tried: {hung['method']} at rtol {hung['rtol']:.0e} {hung['reason']}"
            return {"status": "timeout", "reason": reason}
        return self._worked(case)

    def _hung(self, case: Case) -> Record | None:
        """An earlier case whose time limit this one would meet too.

        The same method at a looser tolerance, or, in the forward solve, any of the integrator's.
        """
        for solver in (case.method, case.method.rpartition("/")[0]):
            record = self._timed_out.get((case.problem, solver, case.device))
            if record is not None and record["rtol"] >= case.rtol:
                return record
        return None

    def _worked(self, case: Case) -> Figures:
        figures = self._folder / "figures.jsonl"
        log = self._log(case.worker)
        figures.unlink(missing_ok=True)
        if log.exists():
            os.truncate(log, 0)
        limit = self.limits.seconds(case)
        known = self._known.get(case.solve_key, {})
        start = perf_counter()
        future = self._pool(case).schedule(
            worker.work, args=(case, self.limits.effort, known, figures), timeout=limit
        )
        try:
            future.result()
            end: Figures = {}
        except FutureTimeout:
            end = {"status": "timeout", "reason": f"did not end within {limit:g} s"}
        except ProcessExpired as error:
            end = _death(error, log)
        found = read_figures(figures)
        stage, busy = found.get("stage"), found.pop("busy_seconds", 0.0)
        # a case that was cut off was in the framework's hands
        self.busy_seconds += perf_counter() - start if end else busy
        return _interrupted(found, stage, end) if end else found

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _pool(self, case: Case) -> ProcessPool:
        name = case.worker
        if name not in self._pools:
            memory_bytes = self.limits.memory_bytes if case.device == "cpu" else None
            self._pools[name] = ProcessPool(
                max_workers=1,
                context=worker.CONTEXT,
                initializer=worker.initialise,
                initargs=(self._log(name), memory_bytes),
            )
        return self._pools[name]


def describe(case: Case, run: str, run_cases: int) -> Record:
    """What is known of a case's record before it is measured: names, versions, place and time."""
    method = get_method(case.method)
    head, clean = commit()
    return {
        "problem": case.problem,
        "batch": get_problem(case.problem).batch,
        "method": case.method,
        "framework": method.framework,
        "integrator": method.integrator,
        "strategy": method.strategy,
        "family": method.family,
        "rtol": case.rtol,
        "atol": case.atol,
        "versions": versions(method),
        "machine": machine(),
        "device": case.device,
        "stack": os.environ.get(STACK_VARIABLE),
        "commit": head,
        "clean": clean,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": run,
        "run_cases": run_cases,
    }


def _death(error: ProcessExpired, log: Path) -> Figures:
    """Status and reason of a worker that died, from its exit code and its last words."""
    tail = portable(log.read_text(errors="replace")[-4000:]) if log.exists() else ""
    if any(word in tail.lower() for word in ("bad_alloc", "out of memory", "memoryerror")):
        return {
            "status": "out-of-memory",
            "reason": "asked for more memory than its limit, and died",
            "message": tail,
        }
    code = error.exitcode
    reason = f"the process ended with exit code {code}"
    if code < 0:
        reason = f"the process was killed by signal {-code}"
    if code == -9:
        reason += ", as the system does when memory runs out"
    return {"status": "crashed", "reason": reason, "message": tail}


def _interrupted(found: Figures, stage: str | None, end: Figures) -> Figures:
    """Figures of a case that was cut off: a verdict on the gradient stands if it was reached."""
    if "status" in found:
        return {**found, f"{stage}_reason": end["reason"], "cut_off": end["status"]}
    where = {"compile_seconds": "compiling", "forward_seconds": "in the forward solve"}
    reason = f"{end['reason']} ({where.get(stage or '', 'in the gradient')})"
    return {**found, **end, "reason": reason}


def run_cases(
    cases: list[Case], done: list[Record], runner: Runner, keep: Callable[[Record], None]
) -> Iterator[Record]:
    """Measure the cases that `done` lacks, hand each record to `keep` at once, and yield it."""
    finished = {case_key(record): record for record in done}
    for case in cases:
        if case.key in finished:
            runner.learn(case, finished[case.key])
    for case in cases:
        if case.key not in finished:
            record = runner.measure(case)
            keep(record)
            yield record
