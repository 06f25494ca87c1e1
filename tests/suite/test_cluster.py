"""A real scheduler and workers on loopback: nothing is lost, doubled or changed on the way."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import pytest
from rich.console import Console

distributed = pytest.importorskip("distributed")

from problems import get_problem  # noqa: E402
from suite import cluster, records, references, session  # noqa: E402
from suite._dispatch import Deserted, Dispatch, Lost  # noqa: E402
from suite.cases import make_cases, select_methods  # noqa: E402
from suite.measure import Effort  # noqa: E402
from suite.run import Limits, Runner, run_cases  # noqa: E402

from .cluster_items import die_of_thirteen, square  # noqa: E402

JOB = cluster.Job(Limits(60.0, 60.0, Effort(0.01, 0.2)), "a-run", 4)
# of a record, what the same case must give anywhere
LASTING = ("problem", "method", "rtol", "atol", "status", "loss", "gradient_p", "gradient_y0")


class Processes:
    """A scheduler and workers that can be killed."""

    def __init__(self, environment):
        self._environment = {**os.environ, **environment}
        self._scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        line = next(line for line in self._scheduler.stderr if "Scheduler at:" in line)
        self.address = line.split()[-1]
        self.workers = {}

    def _start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words, "--no-dashboard"],
            env=self._environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def add_worker(self, *words):
        words = words or ("--nthreads", "1", "--no-nanny")
        worker = self._start("worker", self.address, *words)
        line = next(line for line in worker.stderr if "Start worker at:" in line)
        self.workers[line.split()[-1]] = worker

    def kill(self, address):
        self.workers[address].send_signal(signal.SIGKILL)

    def stop(self):
        for process in (*self.workers.values(), self._scheduler):
            process.kill()
            process.wait()
            process.stderr.close()


@contextmanager
def processes(workers, **environment):
    found = Processes(environment)
    try:
        for _ in range(workers):
            found.add_worker()
        yield found
    finally:
        found.stop()


def cases():
    return make_cases(["linear:1"], select_methods(["scipy/[bl]*/forward"]), [1e-3, 1e-4])


def serially():
    with Runner(JOB.limits, JOB.run, JOB.run_cases) as runner:
        return list(run_cases(cases(), [], runner, lambda record: None))


def lasting(records):
    return sorted([record[name] for name in LASTING] for record in records)


def test_rows_are_those_of_a_serial_run_though_a_worker_is_killed():
    with processes(2) as found:
        measured, announced, complaints = [], [], []
        for record in cluster.measure(
            cases(), JOB, found.address, announced.append, complaints.append
        ):
            if not measured:
                found.kill(next(iter(found.workers)))
                found.add_worker()
            measured.append(record)
    assert complaints == []
    assert sorted(case.key for case in announced) == sorted(case.key for case in cases())
    expected = serially()
    assert lasting(measured) == lasting(expected)
    assert all(set(cluster.FIELDS) <= set(record) for record in measured)
    assert {record["run"] for record in measured} == {"a-run"}


def test_a_case_that_takes_every_worker_with_it_is_a_result():
    failures = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with (
        processes(2, **failures) as found,
        distributed.Client(found.address, set_as_default=False) as client,
    ):
        run = Dispatch(client, die_of_thirteen, kind=lambda number: 0).run(range(10, 16))
        outcomes = dict(run)
    assert isinstance(outcomes.pop(13), Lost)
    assert outcomes == {number: number for number in (10, 11, 12, 14, 15)}


def test_a_lost_case_has_a_whole_record():
    record = cluster._lost(cases()[0], Lost("the worker was lost"), JOB)
    assert record["status"] == "crashed"
    assert record["reason"] == "the worker was lost"
    assert record["machine"]["name"] == "unknown"
    assert set(cluster.FIELDS) <= set(record)


def test_a_run_that_is_continued_asks_for_what_is_missing_only(monkeypatch, tmp_path):
    def measure(wanted, job, address, announce, complain):
        for number, case in enumerate(wanted):
            if number == 3:
                raise cluster.ClusterError("the cluster went away")
            asked.append(case.key)
            announce(case)
            yield cluster._lost(case, Lost("gone"), job)

    asked = []
    opened = partial(records.open_run, folder=tmp_path)
    monkeypatch.setattr(session.records, "open_run", opened)
    monkeypatch.setattr(cluster, "measure", measure)
    request = session.request(["linear:1"], ["scipy/lsoda/*"], "1e-4", None, "smoke", None)
    request.cases[:] = request.cases[:5]
    run = partial(session.run, request, None, False, "tcp://nowhere:1", Console(quiet=True))
    with pytest.raises(session.RunError, match="the cluster went away"):
        run()
    run()
    assert asked == [case.key for case in request.cases]
    (path,) = tmp_path.glob("*.jsonl")
    assert [record["method"] for record in records.read(path)] == [key[1] for key in asked]


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, dashboard_address=None
        ) as local,
        distributed.Client(local, set_as_default=False) as client,
    ):
        yield client


def test_every_item_is_done_once(client):
    run = Dispatch(client, square, kind=lambda number: number % 5).run(range(300))
    results = list(run)
    assert sorted(results) == [(number, number * number) for number in range(300)]


def test_workers_that_are_not_admitted_get_nothing(client):
    asked = []

    def refuse(address):
        asked.append(address)
        return False

    run = Dispatch(client, square, kind=lambda number: 0, admit=refuse, patience=0.1).run([1])
    with pytest.raises(Deserted, match=r"no usable worker for 0\.1 s"):
        list(run)
    assert len(set(asked)) == len(asked) == 3


def test_a_worker_keeps_to_kinds_of_its_own_while_there_are_any():
    dispatch = Dispatch(None, square, kind=lambda number: number // 10)
    dispatch.workers = {"a", "b"}
    dispatch._waiting = dict.fromkeys([11, 12, 21, 22])
    taken = []
    for address in "abab":
        number = dispatch._next(address)
        del dispatch._waiting[number]
        taken.append(number)
    assert taken == [11, 21, 12, 22]
    dispatch._waiting = dict.fromkeys([13, 14])
    assert dispatch._next("b") == 13  # helps, having nothing of its own


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("--nthreads", "2", "--no-nanny"), "start it with --nthreads 1"),
        (("--nthreads", "1"), "start it with --no-nanny"),
    ],
)
def test_an_unfit_worker_is_named_with_what_to_do(words, advice, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.1)
    complaints = []
    with processes(0) as found:
        found.add_worker(*words)
        with pytest.raises(cluster.ClusterError, match=f"dask worker {found.address}"):
            list(cluster.measure(cases(), JOB, found.address, print, complaints.append))
    assert len(complaints) == 1
    assert advice in complaints[0]


def test_another_checkout_is_refused(monkeypatch):
    monkeypatch.setattr(cluster, "commit", lambda: ("b" * 40, True))
    worker = type("Worker", (), {"state": type("State", (), {"nthreads": 1})})
    assert "use the same checkout" in cluster.arrive(("a" * 40, True), {}, False, worker)
    assert cluster.arrive(("b" * 40, True), {}, False, worker) is None


def test_a_worker_without_a_gpu_is_not_used_for_one(monkeypatch):
    worker = type("Worker", (), {"state": type("State", (), {"nthreads": 1})})
    for name, fit in (("NVIDIA H200", True), (None, False)):
        monkeypatch.setattr(cluster, "machine", lambda name=name: {"accelerator": name})
        fault = cluster.arrive(cluster.commit(), {}, True, worker)
        assert fault is None if fit else "it has no GPU" in fault


def test_a_worker_is_given_the_references_it_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr(references, "path", lambda problem: tmp_path / "new" / "it.json")
    worker = type("Worker", (), {"state": type("State", (), {"nthreads": 1})})
    assert (
        cluster.arrive(cluster.commit(), {get_problem("rober").name: "text"}, False, worker) is None
    )
    assert (tmp_path / "new" / "it.json").read_text() == "text"


def test_no_scheduler_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(cluster.ClusterError, match="start one with: dask scheduler"):
        list(cluster.measure(cases(), JOB, "tcp://127.0.0.1:1", print, print))
