"""One solve a case, however many figures are tracked of it.

asv starts a process for every figure of every case. The first that asks measures the case and
leaves the record in the working directory, a fresh one for every asv run that all benchmarks with
the same `setup_cache` share; the others read it. The suite is therefore imported only to measure.

A tracked NaN says no more than that there is no figure. The record says why: it is appended to the
file named in STIFFGRAD_ASV_RECORDS, if that is set, and its status is written to stderr.
"""

import json
import math
import os
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

RECORDS_VARIABLE = "STIFFGRAD_ASV_RECORDS"
# Seconds for starting the measuring process and importing a framework, beyond a case's own limit.
STARTING_SECONDS = 60.0

# A zero would make asv's geometric mean over all parameters zero, an infinity crashes its step
# detection; below and above these an error says nothing more.
LEAST_ERROR, LARGEST_ERROR = 1e-17, 1e100
# What takes less is not compilation, and its jitter would be reported as regressions.
LEAST_COMPILE_SECONDS = 1e-3

Record = dict[str, Any]
Function = TypeVar("Function", bound=Callable[..., float])


def figure(record: Mapping[str, Any], name: str) -> float:
    """The figure of a record as asv can keep it: finite, or NaN where there is none.

    A finite-difference error below what the differences themselves are good for counts as that.
    """
    value = _number(record, name)
    if name == "finite_difference_error":
        value = max(value, _number(record, "finite_difference_floor"))
    if name == "compile_seconds":
        value = max(value, LEAST_COMPILE_SECONDS)
    if name.endswith("_error"):
        value = min(max(value, LEAST_ERROR), LARGEST_ERROR)
    return value


def _number(record: Mapping[str, Any], name: str) -> float:
    # records spell non-finite numbers as strings, which float() reads
    return math.nan if record[name] is None else float(record[name])


def record(limits: str, problem: str, method: str, rtol: float, cases: int) -> Record:
    """The record of a case under a tier's limits: from the working directory, or measured now.

    `cases`: how many the whole run has. Raises RuntimeError if an earlier process began to measure
    this case and never ended, so that one fault does not cost its time once for every figure.
    """
    path = Path(quote(f"{limits} {problem} {method} {rtol!r}", safe="") + ".json")
    if not path.exists():
        _begin(path.with_suffix(".begun"))
        _keep(_measure(limits, problem, method, rtol, cases), path)
    return json.loads(path.read_text())


def _begin(marker: Path) -> None:
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        raise RuntimeError("measuring this case was begun before, and did not end") from None


def _measure(tier_name: str, problem_name: str, method: str, rtol: float, cases: int) -> Record:
    from problems import get_problem
    from suite.cases import Case, get_device, get_tier
    from suite.machine import DEVICE_VARIABLE
    from suite.measure import Effort
    from suite.run import Limits, Runner

    tier, problem = get_tier(tier_name), get_problem(problem_name)
    effort = Effort(tier.timing_seconds, tier.check_seconds)
    limits = Limits(tier.timeout, tier.risky_timeout, effort)
    device = get_device(os.environ.get(DEVICE_VARIABLE, "cpu"))
    case = Case(problem.name, method, rtol, problem.default_atol(rtol), device)
    run = Path(os.environ.get(RECORDS_VARIABLE, "")).stem
    with tempfile.TemporaryDirectory() as folder:
        # compile times are comparable only if nothing was compiled before
        os.environ["STIFFGRAD_COMPILE_CACHE"] = folder
        with Runner(limits, run, cases) as runner:
            return runner.measure(case)


def _keep(record: Record, path: Path) -> None:
    from filelock import FileLock

    from suite.records import write_line

    sys.stderr.write("{problem} {method} {rtol:g}: {status}: {reason}\n".format_map(record))
    with path.open("w") as file:
        write_line(file, record)
    if target := os.environ.get(RECORDS_VARIABLE):
        with FileLock(Path(target).with_suffix(".lock")), open(target, "a") as file:
            write_line(file, record)


def unit(name: str) -> Callable[[Function], Function]:
    """Give a tracked figure its unit."""

    def decorate(function: Function) -> Function:
        vars(function)["unit"] = name
        return function

    return decorate


class Costs(ABC):
    """The figures that every case has; a tier sets `limits`, `params` and `timeout`.

    Abstract, because asv runs every class that is not.
    """

    param_names = ("problem", "method", "rtol")
    params: tuple[list[str], list[str], list[float]]
    timeout: float
    # Bump it when a figure changes its meaning: asv then starts a new history.
    version = "1"

    @property
    @abstractmethod
    def limits(self) -> str:
        """The tier of `suite.cases` whose time limits and effort hold."""

    def setup_cache(self) -> None:  # noqa: B027
        """Nothing but the shared working directory that comes with it."""

    def _figure(self, name: str, problem: str, method: str, rtol: float) -> float:
        cases = math.prod(len(values) for values in self.params)
        return figure(record(self.limits, problem, method, rtol, cases), name)

    @unit("seconds")
    def track_forward_seconds(self, problem: str, method: str, rtol: float) -> float:
        """Median time of a forward solve."""
        return self._figure("forward_seconds", problem, method, rtol)

    @unit("seconds")
    def track_gradient_seconds(self, problem: str, method: str, rtol: float) -> float:
        """Median time of a gradient, right or wrong."""
        return self._figure("gradient_seconds", problem, method, rtol)

    @unit("seconds")
    def track_compile_seconds(self, problem: str, method: str, rtol: float) -> float:
        """One-off work before the first gradient, nothing cached."""
        return self._figure("compile_seconds", problem, method, rtol)

    @unit("bytes")
    def track_peak_bytes(self, problem: str, method: str, rtol: float) -> float:
        """High-water mark of the allocations during one warm gradient."""
        return self._figure("peak_bytes", problem, method, rtol)

    @unit("relative error")
    def track_gradient_error(self, problem: str, method: str, rtol: float) -> float:
        """The gradient against the certified one."""
        return self._figure("gradient_error", problem, method, rtol)


class Gradients(Costs):
    """With those that single problems have and batches do not."""

    @unit("relative error")
    def track_finite_difference_error(self, problem: str, method: str, rtol: float) -> float:
        """The gradient against finite differences, at least what those are good for."""
        return self._figure("finite_difference_error", problem, method, rtol)

    @unit("relative error")
    def track_reversibility_error(self, problem: str, method: str, rtol: float) -> float:
        """The initial state recovered from the final one against the true one."""
        return self._figure("reversibility_error", problem, method, rtol)
