"""Measure cases on a Dask cluster: every worker runs them as one machine would, one at a time."""

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

from problems import get_problem
from suite import references
from suite.cases import BadRequest, Case, judged
from suite.machine import commit, machine
from suite.records import FIELDS, Record
from suite.run import Limits, Runner, describe

try:
    from distributed import Client, Worker

    from suite import _dispatch
except ImportError as error:
    raise BadRequest(
        "--scheduler needs the package distributed; install it with: "
        "pip install 'stiffgrad[cluster]'"
    ) from error

CONNECT_SECONDS = 10.0
# Seconds to wait for workers, for example until a queue lets them start.
PATIENCE = 3600.0


class ClusterError(RuntimeError):
    """The cluster cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Job:
    """What every case of a run is measured with."""

    limits: Limits
    run: str
    run_cases: int


def measure(
    cases: list[Case],
    job: Job,
    address: str,
    announce: Callable[[Case], None],
    complain: Callable[[str], None],
) -> Iterator[Record]:
    """The record of every case, as they come; a lost worker's case is measured by another.

    Arguments:
        address: of the Dask scheduler, such as tcp://host:8786.
        announce: called with each case as it is handed out.
        complain: called with what is wrong with a worker that is not used.

    Raises ClusterError.
    """
    with _connect(address) as client:
        texts = {
            problem.reference: references.path(problem).read_text()
            for name in dict.fromkeys(case.problem for case in cases)
            for problem in judged(get_problem(name))
        }
        dispatch = _dispatch.Dispatch(
            client,
            call=partial(measure_here, job=job),
            kind=lambda case: case.worker,
            admit=partial(_admit, client, texts, any(c.device == "gpu" for c in cases), complain),
            started=announce,
            patience=PATIENCE,
        )
        try:
            for case, outcome in dispatch.run(cases):
                yield _lost(case, outcome, job) if isinstance(outcome, _dispatch.Lost) else outcome
        except _dispatch.Deserted as error:
            raise ClusterError(
                f"{error}; start some with: dask worker {address} --nthreads 1 --no-nanny"
            ) from error
        finally:
            client.run(leave, workers=list(dispatch.workers), on_error="ignore")


def _connect(address: str) -> Client:
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {address}; start one with: dask scheduler"
        ) from error


def _lost(case: Case, lost: _dispatch.Lost, job: Job) -> Record:
    """The record of a case that no worker came back from."""
    nowhere = {**machine(), "name": "unknown", "cpu": "unknown"}
    found = {"machine": nowhere, "status": "crashed", "reason": lost.reason}
    return dict.fromkeys(FIELDS) | describe(case, job.run, job.run_cases) | found


def _admit(
    client: Client,
    texts: dict[str, str],
    gpu: bool,
    complain: Callable[[str], None],
    address: str,
) -> bool:
    """Whether a worker that has joined may be used."""
    answer = client.run(arrive, commit(), texts, gpu, workers=[address], on_error="return")
    fault = answer.get(address, "it left at once")
    if fault:
        complain(f"not used: worker {address}: {fault}")
    return not fault


def arrive(
    expected: tuple[str | None, bool | None],
    texts: dict[str, str],
    gpu: bool,
    dask_worker: Worker,
) -> str | None:
    """On a worker: what makes it unusable, or None; stores references that it lacks."""
    if dask_worker.state.nthreads != 1:
        return "it would run several cases at once; start it with --nthreads 1"
    if multiprocessing.current_process().daemon:
        return "it may start no processes; start it with --no-nanny"
    if commit() != expected:
        return f"its suite is at commit {commit()[0]}, not {expected[0]}; use the same checkout"
    if gpu and machine()["accelerator"] is None:
        return "it has no GPU, and would take every case only to say so"
    for name, text in texts.items():
        path: Path = references.path(get_problem(name))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return None


class _Station:
    """A worker's runner, kept from case to case with its processes and what they compiled."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._runner = Runner(job.limits, job.run, job.run_cases)
        self._runner.__enter__()
        self._ready: set[object] = set()

    def measure(self, case: Case) -> Record:
        program = (case.method, case.device, get_problem(case.problem).program)
        if program not in self._ready:
            self._runner.prepare([case])
            self._ready.add(program)
        return self._runner.measure(case)

    def close(self) -> None:
        self._runner.__exit__()


_station: _Station | None = None
_turn = Lock()


def measure_here(case: Case, job: Job) -> Record:
    """On a worker: the record of one case, whatever happens in it."""
    global _station
    with _turn:
        if _station is None or _station.job != job:
            _close()
            _station = _Station(job)
        return _station.measure(case)


def leave() -> None:
    """On a worker: end the processes that it keeps."""
    with _turn:
        _close()


def _close() -> None:
    global _station
    if _station is not None:
        _station.close()
        _station = None
