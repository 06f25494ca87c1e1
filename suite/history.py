"""The history that airspeed velocity keeps of the suite: saving a tier, and loading what was saved.

`python -m suite.history save --tier smoke` measures the commit that is checked out with the present
interpreter. asv itself would keep the interpreter's path as the name of the environment, and no
reason for a missing figure; here results carry no path, and the records are stored beside them.
"""

import ast
import itertools
import json
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from filelock import FileLock, Timeout
from rich.console import Console

from adapters import Device
from problems import UnknownNameError, nearest
from suite._asv_run import CACHE, FOLDER, LOG, ON_GPU, Run, Saved
from suite._sides import SideError, stacks
from suite.cases import BadRequest, get_device
from suite.cli import BAD_USAGE, CANNOT_PROCEED, CannotProceed
from suite.machine import ROOT, commit, machine
from suite.records import Record

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The history that airspeed velocity keeps of the suite."""


@app.command("save")
def save_command(
    tier: Annotated[str, typer.Option(help="A module of benchmarks/.")] = "smoke",
    stack: Annotated[
        list[str] | None,
        typer.Option(help="A lock file of stacks/ to measure with; repeatable; all: every one."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where gradients are computed: cpu or gpu.")] = "cpu",
) -> None:
    """Measure the commit that is checked out, and add it to results/asv."""
    console, place = Console(), get_device(device)
    wanted: list[str | None] = [None]
    if stack:
        wanted = list(stacks()) if stack == ["all"] else [_known(name) for name in stack]
    faults = [_save_one(tier, name, place, console) for name in wanted]
    if any(faults):
        raise CannotProceed("; ".join(filter(None, faults)))


def _known(stack: str) -> str:
    if stack not in stacks():
        raise nearest("stack", stack, stacks())
    return stack


def _save_one(tier: str, stack: str | None, device: Device, console: Console) -> str | None:
    """Save and show; what went wrong, so that one stack does not end the others."""
    if stack is not None:
        console.print(f"stack {stack}")
    try:
        saved = save(tier, console, stack, device)
    except (CannotProceed, SideError) as error:
        return str(error)
    console.print(f"results: {saved.results}\nrecords: {saved.records}", soft_wrap=True)
    if not saved.failed:
        return None
    return (
        f"no value, through a fault of the suite itself: {', '.join(saved.failed)}; "
        f"asv's own report: {LOG}"
    )


def save(tier: str, console: Console, stack: str | None = None, device: Device = "cpu") -> Saved:
    """Run a tier through asv and add what it gave to results/asv and results/records.

    `stack`: a lock file of stacks/ whose environment to measure in; by default the present one.
    The results of a GPU belong to an environment of their own, whose name ends with -gpu.

    Raises UnknownNameError for an unknown tier; CannotProceed where the tree holds uncommitted
    changes outside results/, changes while measuring, another save runs, there is no GPU and one is
    asked for, or asv fails; SideError where the stack cannot be installed as its lock file says.
    """
    tiers = [path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")]
    if tier not in tiers:
        raise nearest("tier", tier, tiers)
    head = _clean_head()
    if device == "gpu" and machine()["accelerator"] is None:
        raise CannotProceed("nvidia-smi names no GPU here; a history of its absence is not kept")
    if find_spec("asv") is None:
        raise CannotProceed("asv is not installed; pip install 'stiffgrad[asv]'")
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        with (
            FileLock(CACHE / "save.lock", blocking=False),
            tempfile.TemporaryDirectory(dir=CACHE) as folder,
        ):
            return Run(tier, head, stack, Path(folder), console, device).save()
    except Timeout as error:
        raise CannotProceed("another save is running, and would disturb the timings") from error


def _clean_head() -> str:
    head, clean = commit()
    if head is None:
        raise CannotProceed(f"{ROOT} is no git repository: there is no commit to save results for")
    if not clean:
        raise CannotProceed(
            "there are uncommitted changes outside results/; results must belong to a commit"
        )
    return head


def load(folder: Path = FOLDER) -> Any:
    """All results below an asv results folder as a pandas.DataFrame, one row a figure of a case.

    Columns: machine, commit, date (of the commit, UTC), environment, benchmark, metric, unit,
    version, one for each parameter of the benchmarks, value, and status: `ok`; `failed`, the
    benchmark itself broke; `skipped`, there is no figure (`explained` says why).
    """
    import pandas as pd

    described = json.loads((folder / "benchmarks.json").read_text())
    rows = [
        row
        for path in sorted(folder.glob("*/*.json"))
        if path.name != "machine.json"
        for row in _rows(json.loads(path.read_text()), described)
    ]
    frame = pd.DataFrame(rows)
    last = ["value", "status"]
    return frame[[*(name for name in frame if name not in last), *last]]


def _rows(found: dict[str, Any], described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    import pandas as pd

    for benchmark, row in found["results"].items():
        columns = dict(zip(found["result_columns"], row, strict=False))
        cases = list(itertools.product(*columns["params"]))
        about = described.get(benchmark, {})
        names = about.get("param_names") or [f"param{i + 1}" for i in range(len(columns["params"]))]
        for case, value in zip(cases, columns["result"] or [None] * len(cases), strict=True):
            yield {
                "machine": found["params"]["machine"],
                "commit": found["commit_hash"],
                "date": pd.Timestamp(found["date"], unit="ms", tz="UTC"),
                "environment": found["env_name"],
                "benchmark": benchmark,
                "metric": benchmark.rpartition(".")[2].removeprefix("track_"),
                "unit": about.get("unit"),
                "version": columns["version"],
                **dict(zip(names, map(_parameter, case), strict=True)),
                "value": math.nan if value is None else value,
                "status": _status(value),
            }


def _parameter(text: str) -> Any:
    """The value that asv wrote as its repr; the text itself where that is no literal."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _status(value: float | None) -> str:
    if value is None:
        return "failed"
    return "skipped" if math.isnan(value) else "ok"


def own_last(found: Iterable[Record]) -> list[Record]:
    """The records with those of asv's own runs last, so that of several of a case these count."""
    return sorted(found, key=lambda record: "-asv-" in (record["run"] or ""))


def explained(frame: Any, found: list[Record]) -> Any:
    """A frame of `load` with the `outcome` (the case's status) and the `reason` of its record.

    `reason` is that of the figure where it is missing, else the case's own; null without a record.
    """
    case = ("commit", "problem", "method", "rtol")
    by_case = {
        (r["machine"]["name"], (r.get("stack"), r["device"]), *(r[name] for name in case)): r
        for r in own_last(found)
    }
    places = map(_stack_and_device, frame["environment"])
    keys = zip(frame["machine"], places, *(frame[name] for name in case), strict=True)
    cases = [by_case.get(key, {}) for key in keys]
    reasons = [
        case.get(f"{metric}_reason") or case.get("reason")
        for case, metric in zip(cases, frame["metric"], strict=True)
    ]
    return frame.assign(outcome=[case.get("status") for case in cases], reason=reasons)


def _stack_and_device(environment: str) -> tuple[str | None, Device]:
    """The stack, None for the present environment, and the device in an environment's name."""
    stack = environment.removesuffix(ON_GPU)
    device: Device = "cpu" if stack == environment else "gpu"
    return None if stack.startswith("existing") else stack, device


def main() -> None:
    """Entry point: exit code 2 for bad usage, 3 where nothing could be saved; one line says why."""
    try:
        app()
    except (BadRequest, UnknownNameError) as error:
        code, message = BAD_USAGE, str(error)
    except CannotProceed as error:
        code, message = CANNOT_PROCEED, str(error)
    else:
        return
    typer.echo(f"stiffgrad: {message}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
