"""Calls that may fail, hang or crash: each in a worker process with limits, every outcome a row."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from pebble import ProcessExpired, ProcessPool
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from adapters import available, get_method
from studies import _journal
from studies._journal import Row
from suite.machine import STEADY, portable
from suite.run import COMPILE_CACHE, MEMORY_LIMIT
from suite.worker import CONTEXT, initialise

Work = Callable[..., Any]
# Starting Python and importing a framework, while other workers do the same.
STARTING_SECONDS = 120.0
NOT_TRIED = "not tried"


def attempts(
    work: Work,
    cases: Iterable[Mapping[str, Any]],
    seconds: float,
    at_once: int = 1,
    give_up: tuple[str, ...] = (),
    ready: Work | None = None,
) -> list[Row]:
    """Rows of `work(**case)` for every case, in the order of the cases.

    `work` is a function of a module that returns a row or several; a row is the case, what was
    returned, `status` ("ok" unless the work says otherwise), `reason` and `warning` (the last one
    given). Cases whose `method` is of one framework share a process, and so its imports and
    compiled programs; a method that is not installed is a row. Where a journal is kept, every case
    is in it as soon as it is done, and one that is in it already is not run again.

    Arguments:
        seconds: the limit of one case; its process is replaced when it is reached.
        at_once: processes working at the same time; 1 where time is measured.
        give_up: columns; a case that agrees in them with one that met its limit is not tried.
        ready: `ready(**case)` is called once a process for the first case of every method, to
            import and compile before the clock runs; what fails in it is met again by `work`.
    """
    listed = [dict(case) for case in cases]
    groups: dict[str, list[int]] = {}
    for index, case in enumerate(listed):
        groups.setdefault(_worker(case), []).append(index)
    found: dict[int, list[Row]] = {}
    os.environ.update(STEADY)
    os.environ.setdefault("STIFFGRAD_COMPILE_CACHE", str(COMPILE_CACHE))
    journal = _journal.current()
    with _progress() as progress, ThreadPoolExecutor(at_once) as threads:
        task = progress.add_task(work.__name__.strip("_").replace("_", " "), total=len(listed))

        def do(indices: list[int]) -> None:
            with _Worker(work, seconds, give_up, ready) as worker:
                for index in indices:
                    case = listed[index]
                    rows = journal.recall(work, case) if journal else None
                    if rows is None:
                        rows = worker.rows(case)
                        if journal:
                            journal.keep(work, case, rows)
                    worker.note(case, rows)
                    found[index] = [{**case, **row} for row in rows]
                    progress.advance(task)

        list(threads.map(do, groups.values()))
    return [row for index in range(len(listed)) for row in found[index]]


def _worker(case: Row) -> str:
    if "method" not in case:
        return ""
    return get_method(case["method"]).framework


def _progress() -> Progress:
    columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    return Progress(*columns, console=console, refresh_per_second=2, transient=True)


class _Worker:
    """One process at a time, started when first needed."""

    def __init__(
        self, work: Work, seconds: float, give_up: tuple[str, ...], ready: Work | None
    ) -> None:
        self.work, self.seconds, self.give_up, self.ready = work, seconds, give_up, ready
        self._hung: dict[tuple[Any, ...], str] = {}
        self._prepared: set[str | None] = set()

    def __enter__(self) -> "_Worker":
        self._folder = tempfile.TemporaryDirectory()
        self._pool = ProcessPool(
            max_workers=1,
            context=CONTEXT,
            initializer=initialise,
            initargs=(Path(self._folder.name) / "log", MEMORY_LIMIT),
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.stop()
        self._pool.join()
        self._folder.cleanup()

    def rows(self, case: Row) -> list[Row]:
        """The rows of one case but for the case itself, whatever happens in it."""
        if "method" in case:
            usable, reason = available(get_method(case["method"]))
            if not usable:
                return [_row({"status": "not-installed", "reason": reason})]
        if self.give_up and self._like(case) in self._hung:
            reason = f"{NOT_TRIED}: {self._hung[self._like(case)]}"
            return [_row({"status": "timeout", "reason": reason})]
        self._prepare(case)
        start = perf_counter()
        try:
            returned = self._pool.schedule(
                _outcome, args=(self.work, case), timeout=self.seconds
            ).result()
        except FutureTimeout:
            self._prepared.clear()
            reason = f"did not end within {self.seconds:g} s"
            returned = [{"status": "timeout", "reason": reason}]
        except ProcessExpired as error:
            self._prepared.clear()
            reason = f"the process ended with exit code {error.exitcode}"
            returned = [{"status": "crashed", "reason": reason}]
        seconds = perf_counter() - start
        return [_row({"attempt_seconds": seconds, **row}) for row in returned]

    def note(self, case: Row, rows: list[Row]) -> None:
        """Remember a case that met its limit, in this run or in the one that it continues."""
        if rows[0]["status"] == "timeout" and not rows[0]["reason"].startswith(NOT_TRIED):
            self._hung.setdefault(self._like(case), f"a case before it {rows[0]['reason']}")

    def _like(self, case: Row) -> tuple[Any, ...]:
        return tuple(case[name] for name in self.give_up)

    def _prepare(self, case: Row) -> None:
        """Once a process and method: imports and compilation, under a limit of their own."""
        if case.get("method") in self._prepared:
            return
        self._prepared.add(case.get("method"))
        preparing = self._pool.schedule(
            _get_ready, args=(self.work, self.ready, case), timeout=STARTING_SECONDS
        )
        # what hangs or dies here does so again, and is a row, in the work itself
        with suppress(FutureTimeout, ProcessExpired):
            preparing.result()


def _row(returned: Row) -> Row:
    return {"status": "ok", "reason": "", "warning": "", **returned}


def _get_ready(work: Work, ready: Work | None, case: Row) -> None:
    """In the worker; unpickling `work` has imported its module."""
    if ready is not None:
        with suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ready(**case)


def _outcome(work: Work, case: Row) -> list[Row]:
    """In the worker: what the work returned, or the status that its exception stands for."""
    from suite.measure import explain

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            returned = work(**case)
        except Exception as error:
            status, reason = explain(error)
            returned = {"status": status, "reason": portable(reason)}
    rows = [returned] if isinstance(returned, dict) else list(returned)
    if caught:
        warning = portable(str(caught[-1].message))
        rows = [{"warning": warning, **row} for row in rows]
    return rows
