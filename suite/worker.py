"""The side of the worker process: limits, output, and figures handed over as they are found."""

import multiprocessing
import os
import sys
from contextlib import suppress
from pathlib import Path

from suite.cases import Case
from suite.measure import Effort, Figures, measure, prepare
from suite.records import hand_over, parse_line

# A forked JAX or PyTorch can deadlock; a spawned one starts clean.
CONTEXT = multiprocessing.get_context("spawn")


def initialise(log: Path, memory_bytes: int | None) -> None:
    """Send what frameworks print to `log`, and refuse allocations beyond `memory_bytes` if any."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    if memory_bytes is None:
        return
    try:
        import resource
    except ImportError:
        return
    # private memory that can be written; JAX reserves far more address space than it uses
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def work(case: Case, effort: Effort, known: Figures, path: Path) -> None:
    """Measure `case`, appending the figures of every stage to `path`."""
    with path.open("a") as file:
        measure(case, effort, known, lambda figures: hand_over(file, figures))


def get_ready(case: Case) -> None:
    """Import and compile what `case` needs; what fails here fails again, and is recorded, there."""
    with suppress(Exception):
        prepare(case)


def read_figures(path: Path) -> Figures:
    """All figures that a worker handed over, however far it came."""
    figures: Figures = {}
    if path.exists():
        for line in path.read_text().split("\n")[:-1]:
            figures.update(parse_line(line))
    return figures
