"""One run of asv into a scratch folder, and the way from there into results/."""

import json
import math
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from os import environ
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from adapters import Device
from suite import records
from suite._sides import pins, stack_python, stacks
from suite.cli import CannotProceed
from suite.machine import DEVICE_VARIABLE, RESULTS, ROOT, STACK_VARIABLE, machine

FOLDER = RESULTS / "asv"
CACHE = ROOT / ".cache" / "asv"
LOG = CACHE / "log.txt"
# Version of asv's format of the file that describes machines.
MACHINE_FORMAT = 1
POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0
LAST_LINES = 20
# What the name of an environment ends with whose figures are a GPU's.
ON_GPU = "-gpu"


@dataclass(frozen=True)
class Saved:
    """The files of a saved run; `failed`: benchmarks that broke, through a fault of the suite."""

    results: Path
    records: Path
    failed: tuple[str, ...]


class Run:
    """A tier, measured by asv at the commit `head`; all that asv itself writes is in `scratch`.

    `stack`: whose environment it is measured in; None for the present one.
    """

    def __init__(
        self,
        tier: str,
        head: str,
        stack: str | None,
        scratch: Path,
        console: Console,
        device: Device = "cpu",
    ) -> None:
        self.tier, self.head, self.stack, self.device = tier, head, stack, device
        self.scratch, self.console = scratch, console
        self.python = Path(sys.executable) if stack is None else stack_python(stack)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%f")[:-3]
        self.records = records.RECORDS / f"{stamp}-asv-{tier}-{head[:8]}.jsonl"
        self.machine = str(machine()["name"])

    def save(self) -> Saved:
        """Measure, check that the tree stayed as it was, and move the results to their place."""
        self._configure()
        records.RECORDS.mkdir(parents=True, exist_ok=True)
        self.records.touch()
        try:
            code = self._measure()
        finally:
            if not self.records.stat().st_size:
                self.records.unlink()
        made = list((self.scratch / "results" / self.machine).glob(f"{self.head[:8]}-*.json"))
        if len(made) != 1 or not self.records.exists():
            raise CannotProceed(f"asv ended with exit code {code} and no results: {_last_words()}")
        self._check_tree()
        path = _install(self.scratch / "results", made[0], self.stack, self.device)
        return Saved(path, self.records, _failed(made[0]))

    def _configure(self) -> None:
        """asv's settings for this run, and the machine, which it would ask for otherwise."""
        settings = json.loads((ROOT / "asv.conf.json").read_text())
        settings |= {
            "repo": str(ROOT),
            "branches": ["HEAD"],
            "benchmark_dir": str(ROOT / "benchmarks"),
            "results_dir": str(self.scratch / "results"),
        }
        (self.scratch / "asv.conf.json").write_text(json.dumps(settings))
        here = machine()
        described = {
            "machine": self.machine,
            "os": here["system"],
            "arch": here["architecture"],
            "cpu": here["cpu"],
            "num_cpu": str(here["cores"]),
            # asv starts a new curve where this differs, and kernels report a few bytes more or less
            "ram": f"{round(int(here['memory_bytes']) / 2**30)} GiB",
        }
        text = json.dumps({self.machine: described, "version": MACHINE_FORMAT})
        (self.scratch / "machines.json").write_text(text)

    def _measure(self) -> int:
        """Run asv, showing how many cases are measured; its exit code."""
        command = [str(self.python), "-m", "suite._asv", str(self.scratch / "machines.json")]
        command += ["run", "--python=same", "--no-pull"]
        command += ["--config", str(self.scratch / "asv.conf.json"), "--machine", self.machine]
        command += ["--set-commit-hash", self.head, "--launch-method", "spawn", "--show-stderr"]
        command += ["--bench", rf"^{re.escape(self.tier)}\."]
        variables = {**environ, "STIFFGRAD_ASV_RECORDS": str(self.records)}
        variables[DEVICE_VARIABLE] = self.device
        # a stack's environment holds its packages, not the project
        variables["PYTHONPATH"] = str(ROOT)
        if self.stack is not None:
            variables[STACK_VARIABLE] = self.stack
        with (
            LOG.open("w") as log,
            subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=log, stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                self._watch(process)
            finally:
                _end(process)
        return process.returncode

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        columns = (
            BarColumn(20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self.console, refresh_per_second=2) as progress:
            task = progress.add_task("discovering the benchmarks", total=None)
            done, text = 0, ""
            with self.records.open() as file:
                while process.poll() is None:
                    time.sleep(POLL_SECONDS)
                    *lines, text = (text + file.read()).split("\n")
                    if lines:
                        done += len(lines)
                        last = records.parse_line(lines[-1])
                        name = escape(f"{last['problem']} {last['method']}")
                        progress.update(task, completed=done, description=f"measured {name}")
                    if progress.tasks[task].total is None and (total := self._total()):
                        progress.update(task, total=total, description="measuring")
                    elif done == progress.tasks[task].total:
                        progress.update(task, description="reading the figures off")

    def _total(self) -> int | None:
        """How many cases the tier has, once asv has found out."""
        try:
            found = json.loads((self.scratch / "results" / "benchmarks.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        sizes = [
            math.prod(map(len, benchmark["params"]))
            for name, benchmark in found.items()
            if name.startswith(f"{self.tier}.")
        ]
        return max(sizes, default=None)

    def _check_tree(self) -> None:
        """Every case noted the commit that it measured, and whether the tree was clean."""
        if any(
            (case["commit"], case["clean"]) != (self.head, True)
            for case in records.read(self.records)
        ):
            raise CannotProceed(
                f"the code was changed while it was measured; asv's results are not kept, the "
                f"records are in {self.records}"
            )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Make sure that asv has ended, and let it end what it started itself."""
    try:
        # it was told to by the same Ctrl-C, if that is why we are here
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)


def _last_words() -> str:
    lines = LOG.read_text(errors="replace").splitlines()
    return "\n".join(["", *lines[-LAST_LINES:]])


def _failed(path: Path) -> tuple[str, ...]:
    """The benchmarks that asv could not get a value of."""
    return tuple(
        name
        for name, row in json.loads(path.read_text())["results"].items()
        if row[0] is None or None in row[0]
    )


def _install(scratch: Path, made: Path, stack: str | None, device: Device) -> Path:
    """Put a result file, its machine's and the benchmarks' description into results/asv."""
    found = portable(json.loads(made.read_text()))
    if stack is not None:
        found |= {"env_name": stack, "requirements": pins(stacks()[stack])}
    if device == "gpu":
        # the variable makes it a curve of its own in asv's pages too
        found["env_name"] += ON_GPU
        found["env_vars"] = {**found["env_vars"], DEVICE_VARIABLE: device}
    target = FOLDER / made.parent.name / f"{found['commit_hash'][:8]}-{found['env_name']}.json"
    if target.exists():
        found = merged(json.loads(target.read_text()), found)
    _write(target, found)
    for name in ("benchmarks.json", f"{made.parent.name}/machine.json"):
        _write(FOLDER / name, json.loads((scratch / name).read_text()))
    return target


def _write(path: Path, data: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(data, indent=1) + "\n")
    unfinished.replace(path)


def portable(found: dict[str, Any]) -> dict[str, Any]:
    """A result file of an existing environment with the interpreter's version for its path."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {
        **found,
        "env_name": f"existing-py{version}",
        "python": version,
        "params": {**found["params"], "python": version},
    }


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Two result files of one commit, machine and environment: what both have comes from `new`.

    Raises CannotProceed if they were written by versions of asv with different columns.
    """
    if old["result_columns"] != new["result_columns"]:
        raise CannotProceed("this commit's results were written by another version of asv")
    both = {name: old[name] | new[name] for name in ("results", "durations")}
    return {**new, **both}
