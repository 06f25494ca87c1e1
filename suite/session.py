"""What the commands of the command line do, between the request and the table."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from problems import get_problem, nearest
from suite import display, records, references, tables
from suite.cases import (
    BadRequest,
    Case,
    get_device,
    get_tier,
    judged,
    make_cases,
    select_methods,
    select_problems,
)
from suite.machine import commit, machine
from suite.measure import Effort
from suite.run import Limits, Runner, run_cases

# Below the rounding of the references' own arithmetic no tolerance makes sense.
LEAST_RTOL = 1e-14


class RunError(RuntimeError):
    """The run itself could not proceed."""


@dataclass(frozen=True)
class Request:
    """The cases to run and what they may cost."""

    name: str
    cases: list[Case]
    limits: Limits

    @property
    def settings(self) -> str:
        """All that makes two runs of the same cases incomparable or different."""
        return f"{self.limits!r} {commit()!r} {machine()!r}"


def request(
    problem_globs: list[str],
    method_globs: list[str],
    rtol: str | None,
    atol: float | None,
    tier_name: str,
    timeout: float | None,
    device: str = "cpu",
) -> Request:
    """The request that the options of `stiffgrad run` make.

    Raises BadRequest, UnknownNameError or ProblemError for what cannot be.
    """
    tier = get_tier(tier_name)
    rtols = _tolerances(rtol) if rtol else tier.rtols
    if atol is not None and not 0 < atol < float("inf"):
        raise BadRequest(f"--atol {atol:g}: needs a positive number, for example 1e-8")
    if timeout is not None and not 0 < timeout < float("inf"):
        raise BadRequest(f"--timeout {timeout:g}: needs a positive number of seconds")
    problems = select_problems(problem_globs, tier.problems)
    methods = select_methods(method_globs)
    if tier.batched and not method_globs:
        methods = [method for method in methods if method.batched]
    cases = make_cases(problems, methods, rtols, atol, get_device(device))
    effort = Effort(tier.timing_seconds, tier.check_seconds)
    limits = Limits(timeout or tier.timeout, timeout or tier.risky_timeout, effort)
    return Request(tier_name, cases, limits)


def _tolerances(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [float("nan")]
    if not all(LEAST_RTOL <= value < 1 for value in values):
        raise BadRequest(
            f"--rtol {text}: needs numbers from {LEAST_RTOL:g} to below 1, for example 1e-4,1e-6"
        )
    return values


def run(
    wanted: Request, json_file: Path | None, fresh: bool, scheduler: str | None, console: Console
) -> None:
    """Measure what is wanted, here or on a Dask cluster, write the records, print the table."""
    _ensure_references(wanted, console)
    key = records.request_key(wanted.cases, f"{wanted.settings}{scheduler or ''}")
    start = time.perf_counter()
    try:
        with records.open_run(wanted.name, key, len(wanted.cases), fresh) as file:
            busy = _measure(wanted, file, scheduler, console)
        found = records.read(file.path)
        if json_file is not None:
            _export(found, json_file)
    except OSError as error:
        raise RunError(f"the records cannot be written: {error}") from error
    except BrokenProcessPool as error:
        raise RunError(f"worker processes cannot be started: {error}") from error
    display.show_run(console, tables.frame(found))
    wall = time.perf_counter() - start
    own = "" if busy is None else f", of which the suite itself {max(0.0, 1 - busy / wall):.0%}"
    console.print(f"took {wall:.0f} s{own}; records: {file.path}")


def _measure(
    wanted: Request, file: records.RunFile, scheduler: str | None, console: Console
) -> float | None:
    """Measure what the file lacks; the frameworks' seconds, None where a cluster spent them."""
    columns = (
        BarColumn(20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, refresh_per_second=2, transient=True) as progress:
        task = progress.add_task("", total=len(wanted.cases), completed=len(file.done))

        def announce(case: Case) -> None:
            text = f"{case.problem} {case.method} {case.rtol:.0e}"
            progress.update(task, description=escape(text))

        if scheduler is not None:
            for record in _on_cluster(wanted, file, scheduler, announce, console):
                file.append(record)
                progress.advance(task)
            return None
        progress.update(task, description="compiling, on all cores; nothing is timed yet")
        with Runner(wanted.limits, file.path.stem, len(wanted.cases)) as runner:
            runner.prepare(_missing(wanted, file))
            runner.announce = announce
            for _ in run_cases(wanted.cases, file.done, runner, file.append):
                progress.advance(task)
            return runner.busy_seconds


def _missing(wanted: Request, file: records.RunFile) -> list[Case]:
    done = set(map(records.case_key, file.done))
    return [case for case in wanted.cases if case.key not in done]


def _on_cluster(
    wanted: Request,
    file: records.RunFile,
    scheduler: str,
    announce: Callable[[Case], None],
    console: Console,
) -> Iterator[records.Record]:
    # distributed is an optional package, and slow to import
    from suite import cluster

    job = cluster.Job(wanted.limits, file.path.stem, len(wanted.cases))
    complain = console.print
    try:
        yield from cluster.measure(_missing(wanted, file), job, scheduler, announce, complain)
    except cluster.ClusterError as error:
        raise RunError(str(error)) from error


def _export(found: list[records.Record], path: Path) -> None:
    with path.open("w") as file:
        for record in found:
            records.write_line(file, record)


def _ensure_references(wanted: Request, console: Console) -> None:
    """Certify what has no stored reference yet; nothing can be judged without."""
    for name in dict.fromkeys(case.problem for case in wanted.cases):
        for problem in judged(get_problem(name)):
            try:
                references.load(problem)
            except references.MissingReference:
                with console.status(f"certifying the gradient of {escape(problem.reference)}"):
                    _certify(problem)


def _certify(problem: Any) -> None:
    try:
        references.ensure(problem)
    except Exception as error:
        raise RunError(f"no certified gradient for {problem.reference}: {error}") from error


def recorded(name: str | None, problem_globs: list[str]) -> Any:
    """The frame of a run, by default the last that is not asv's, of the problems asked for."""
    if name is None:
        known = [path for path in records.runs() if path.stem.split("-")[3:4] != ["asv"]]
        if not known:
            raise BadRequest("no run is recorded yet; start one with: stiffgrad run --tier smoke")
        path = known[-1]
    else:
        path = records.find_run(name)
    data = tables.frame(records.read(path))
    if data.empty:
        raise BadRequest(f"{path} holds no records; run it again to continue it")
    if problem_globs:
        chosen = select_problems(problem_globs, data["problem"].unique())
        data = data[data["problem"].isin(chosen)]
        if data.empty:
            raise BadRequest(f"{path.stem} has no records of {', '.join(chosen)}")
    return data


def check_column(name: str | None, data: Any) -> None:
    """Raise UnknownNameError for a column that the ranking cannot be sorted by."""
    known = list(tables.ranking(data).columns)
    if name is not None and name not in known:
        raise nearest("column", name, known)


def show_reference(name: str, console: Console) -> None:
    """Certify a problem's gradient anew and compare; store it first if there is none yet.

    Raises RunError where it cannot be certified or does not agree.
    """
    problem = get_problem(name)
    if problem.batch is not None:
        members = ", ".join(one.name for one in judged(problem))
        raise BadRequest(f"{name}: a batch has no gradient of its own to certify; name {members}")
    with console.status(f"certifying the gradient of {escape(problem.reference)}"):
        try:
            references.ensure(problem)
            compared = references.regenerate(problem)
        except (references.ReferenceFault, references.CertificationError) as error:
            raise RunError(str(error)) from error
    display.show_reference(console, compared)
    if not compared.agrees:
        raise RunError(f"{problem.reference}: the stored reference does not agree with a new one")
