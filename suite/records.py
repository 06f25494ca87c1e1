"""Records: one JSON object a line, appended and flushed one by one, so that a kill loses nothing.

A run is one file under results/records/, or under the folder that STIFFGRAD_RECORDS names. Its
lock is held while it is written, so that two runs at once never share a file; the same request
again continues an unfinished file.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from problems import nearest
from suite.cases import Case
from suite.machine import RESULTS

Record = dict[str, Any]
RECORDS = Path(os.environ.get("STIFFGRAD_RECORDS", RESULTS / "records"))

# Every record has these, null where a figure does not exist; others may follow.
FIELDS = (
    ("problem", "batch", "method", "framework", "integrator", "strategy", "family")
    + ("rtol", "atol")
    + ("status", "reason", "message", "loss", "gradient_p", "gradient_y0")
    + ("loss_error", "gradient_error", "gradient_error_p", "gradient_error_y0")
    + ("gradient_error_worst", "finite_difference_error", "finite_difference_floor")
    + ("reversibility_error", "reference", "batch_judged")
    + tuple(
        f"{name}_seconds{tail}"
        for name in ("forward", "gradient")
        for tail in ("", "_q25", "_q75", "_count")
    )
    + ("compile_seconds", "compile_cached", "peak_bytes", "peak_bytes_source")
    + ("steps", "steps_rejected")
    + ("rhs_evaluations", "jacobian_evaluations", "factorisations", "calibration_seconds")
    + ("versions", "machine", "device", "stack", "commit", "clean", "date", "run", "run_cases")
)


def hand_over(file: Any, record: Record) -> None:
    """Append one record so that it outlives this process."""
    file.write(json.dumps(_plain(record), allow_nan=False) + "\n")
    file.flush()


def write_line(file: Any, record: Record) -> None:
    """Append one record and force it to the disk."""
    hand_over(file, record)
    os.fsync(file.fileno())


def _plain(value: Any) -> Any:
    """Non-finite floats as strings, since JSON has none: they are measurements too."""
    if isinstance(value, float) and not abs(value) < float("inf"):
        return repr(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def read(path: Path) -> list[Record]:
    """The records of a file, in order; an unfinished last line (a kill while writing) is dropped.

    Raises ValueError, naming the line, for a damaged line elsewhere.
    """
    records = []
    for number, line in enumerate(path.read_text().split("\n")[:-1], start=1):
        try:
            records.append(parse_line(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a record ({error})") from error
    return records


def parse_line(line: str) -> Record:
    """What `write_line` wrote; raises ValueError for anything else."""
    return _revived(json.loads(line))


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revived(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revived(item) for item in value]
    return float(value) if value in ("nan", "inf", "-inf") else value


def case_key(record: Record) -> tuple[Any, ...]:
    """`Case.key` of the case that was recorded."""
    return tuple(record[name] for name in ("problem", "method", "rtol", "atol", "device"))


def request_key(cases: Iterable[Case], settings: str) -> str:
    """Eight characters that are equal for equal requests: cases and everything that sets them."""
    text = settings + "".join(f"{case.key!r}" for case in cases)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass
class RunFile:
    """The open file of one run; a context manager that holds its lock."""

    path: Path
    lock: FileLock
    done: list[Record]

    def __enter__(self) -> "RunFile":
        _drop_torn_line(self.path)
        self._file = self.path.open("a")
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self.lock.release()

    def append(self, record: Record) -> None:
        write_line(self._file, record)


def _drop_torn_line(path: Path) -> None:
    """Cut an unfinished last line off, so that what is appended starts on a line of its own."""
    if not path.exists():
        return
    whole = path.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        with path.open("r+b") as file:
            file.truncate(len(kept))


def open_run(name: str, key: str, total: int, fresh: bool, folder: Path = RECORDS) -> RunFile:
    """The file for a request: the newest unfinished one of the same key that nobody writes, or new.

    Arguments:
        name: what the run is called (its tier); key: of the request; total: number of cases.
        fresh: start a new file in any case.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not fresh:
        for path in sorted(folder.glob(f"*-{key}.jsonl"), reverse=True):
            lock = _try_lock(path)
            if lock is None:
                continue
            done = read(path)
            if len(done) < total:
                return RunFile(path, lock, done)
            lock.release()
    return _new_run(name, key, folder)


def _new_run(name: str, key: str, folder: Path) -> RunFile:
    while True:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%f")[:-3]
        path = folder / f"{stamp}-{name}-{key}.jsonl"
        lock = _try_lock(path)
        if lock is not None and not path.exists():
            return RunFile(path, lock, [])


def _try_lock(path: Path) -> FileLock | None:
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


def runs(folder: Path = RECORDS) -> list[Path]:
    """All run files, oldest first."""
    return sorted(folder.glob("*.jsonl"))


def find_run(name: str, folder: Path = RECORDS) -> Path:
    """A run by its path, its file name or the start or end of it.

    Raises UnknownNameError with the nearest known ones.
    """
    path = Path(name)
    if path.is_file():
        return path
    known = {run.stem: run for run in runs(folder)}
    matched = [stem for stem in known if stem.startswith(name) or stem.endswith(name)]
    if len(matched) != 1:
        raise nearest("run", name, known)
    return known[matched[0]]
