"""What handing a case to a cluster costs, and whether more workers do more: a simulated load."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

TRIVIAL_CASES = 10_000
KINDS = 200
# A short case: compiled, it measures for about so long.
CASE_SECONDS = 0.2
CASES_A_WORKER = 100


def nothing(case: int) -> int:
    """A case that takes no time: all that is left is the dispatch."""
    return case


def sleep(case: int) -> int:
    """A case that keeps its worker, but not the processor, busy."""
    time.sleep(CASE_SECONDS)
    return case


def kind(case: int) -> int:
    """As many programs as a large run has."""
    return case % KINDS


@contextmanager
def _client(workers: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


def _seconds(client: Any, call: Any, cases: int) -> float:
    from suite._dispatch import Dispatch

    list(Dispatch(client, call, kind).run(range(len(client.nthreads()))))
    start = time.perf_counter()
    done = list(Dispatch(client, call, kind).run(range(cases)))
    assert sorted(done) == [(case, case) for case in range(cases)]
    return time.perf_counter() - start


class Dispatch:
    """Workers are processes of this machine, cases do nothing or sleep."""

    params = (1, 2, 4, 8)
    param_names = ("workers",)
    timeout = 600.0

    def track_milliseconds_a_case(self, workers: int) -> float:
        """Ten thousand cases that do nothing: milliseconds each."""
        with _client(workers) as client:
            return 1e3 * _seconds(client, nothing, TRIVIAL_CASES) / TRIVIAL_CASES

    def track_scaling_efficiency(self, workers: int) -> float:
        """Cases that sleep: the share of the workers' time that they are at work."""
        cases = CASES_A_WORKER * workers
        with _client(workers) as client:
            seconds = _seconds(client, sleep, cases)
        return cases * CASE_SECONDS / (workers * seconds)

    track_milliseconds_a_case.unit = "ms"  # type: ignore[attr-defined]
    track_scaling_efficiency.unit = "1"  # type: ignore[attr-defined]


if __name__ == "__main__":
    for workers in Dispatch.params:
        milliseconds = Dispatch().track_milliseconds_a_case(workers)
        efficiency = Dispatch().track_scaling_efficiency(workers)
        sys.stdout.write(f"{workers} workers: {milliseconds:.2f} ms, {efficiency:.3f}\n")
