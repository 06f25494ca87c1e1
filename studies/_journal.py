"""What a study has measured so far: on the disk case by case, so that a kill loses nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from sys import maxsize
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np

from suite import records
from suite.machine import commit, machine

Row = dict[str, Any]
FOLDER = "unfinished"


class Journal:
    """The rows of one run, by case; those of an unfinished run like it are taken over.

    Arguments:
        file: open; empty, or as a run of equal settings left it.
        settings: what the rows depend on, the file's first line.
    """

    def __init__(self, file: records.RunFile, settings: records.Record) -> None:
        self._file, self._lock, self._start = file, Lock(), perf_counter()
        if not file.done:
            file.done.append({**settings, "date": _now()})
            file.append(file.done[0])
        head, *lines = file.done
        self.date: str = head["date"]
        self._spent: float = max((line["seconds"] for line in lines), default=0.0)
        self._earlier: dict[str, list[list[Row]]] = {}
        for line in lines:
            self._earlier.setdefault(line["key"], []).append(line["rows"])

    @property
    def seconds(self) -> float:
        """How long the run has taken, the part before it was interrupted included."""
        return self._spent + perf_counter() - self._start

    def recall(self, work: Callable[..., Any], case: Mapping[str, Any]) -> list[Row] | None:
        """The rows that an interrupted run had of a case; None where it had not come to it.

        Where cases are equal, each is recalled as often as it was measured.
        """
        with self._lock:
            earlier = self._earlier.get(_key(work, case))
            return earlier.pop(0) if earlier else None

    def keep(self, work: Callable[..., Any], case: Mapping[str, Any], rows: list[Row]) -> None:
        """Write a case and its rows, which are on the disk when this returns."""
        line = {"work": work.__name__, "key": _key(work, case), "seconds": self.seconds}
        plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
        with self._lock:
            self._file.append({**line, "case": dict(case), "rows": plain})


_current: ContextVar[Journal | None] = ContextVar("journal", default=None)
current = _current.get


@contextmanager
def keeping(study: str, quick: bool, folder: Path) -> Iterator[Journal]:
    """The journal of a run, which `current()` is meanwhile.

    Its file under `folder` is removed at the end and stays there after an exception or a kill. A
    run of the same commit, machine and libraries continues it, if the tree is clean: of one with
    changes nobody knows whether they are the same.
    """
    head, clean = commit()
    settings = {
        "study": study,
        "quick": quick,
        "commit": head,
        "clean": clean,
        "machine": machine(),
        "versions": {found.name: found.version for found in metadata.distributions()},
    }
    key = records.request_key((), repr(settings))
    with records.open_run(study, key, maxsize, clean is not True, folder) as file:
        journal = Journal(file, settings)
        token = _current.set(journal)
        try:
            yield journal
        finally:
            _current.reset(token)
    file.path.unlink()
    file.path.with_suffix(".lock").unlink(missing_ok=True)
    # others may be there
    with suppress(OSError):
        folder.rmdir()


def unfinished(study: str, folder: Path) -> list[Path]:
    """Files of runs that were interrupted, or are under way, oldest first."""
    return sorted(folder.glob(f"*-{study}-*.jsonl"))


def here(work: Callable[..., Iterable[Row]], *cases: Mapping[str, Any]) -> list[Row]:
    """The rows of `work(**case)` for every case in turn, computed in this process and kept.

    For what is cheap and cannot fail alone: an exception ends the study.
    """
    journal, found = current(), []
    for case in cases:
        rows = journal.recall(work, case) if journal else None
        if rows is None:
            rows = list(work(**case))
            if journal:
                journal.keep(work, case, rows)
        found += rows
    return found


def _key(work: Callable[..., Any], case: Mapping[str, Any]) -> str:
    text = f"{work.__module__}.{work.__qualname__} {dict(case)!r}"
    return sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
