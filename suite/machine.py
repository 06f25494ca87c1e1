"""Provenance: the machine, the commit, the versions, and how fast the machine is just now."""

import os
import platform
import re
import subprocess
import sys
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from packaging.requirements import Requirement

from adapters import Method

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
CALIBRATION_REPEATS = 5
# Names the stack in whose environment a process measures, if it is one of stacks/.
STACK_VARIABLE = "STIFFGRAD_STACK"
# Names the device that airspeed velocity's benchmarks measure on.
DEVICE_VARIABLE = "STIFFGRAD_DEVICE"

# The environment of all that is timed. One thread, whatever library does the arithmetic: XLA sizes
# its pool by NPROC, and otherwise passes a solver's loop between threads, hundreds of times in one
# gradient. And glibc keeps what a call frees: whether it gives it back, and the next call pays for
# page faults, is otherwise an accident of the heap's layout (0.1 ms for 200 KB).
STEADY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    "NPROC": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # a GPU's memory is taken as it is needed: several workers share it
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


@lru_cache(maxsize=1)
def machine() -> dict[str, Any]:
    """CPU name, cores, memory in bytes, accelerator, operating system and Python of this machine.

    `name` is made of the CPU, its cores and the accelerator: what figures depend on, and not who
    owns the machine.
    """
    import cpuinfo
    import psutil

    cpu = cpuinfo.get_cpu_info().get("brand_raw", platform.processor() or "unknown")
    cores = os.cpu_count() or 1
    gpu = accelerator()
    return {
        "name": "-".join([*_words(cpu), f"{cores}core", *_words(gpu or "")]),
        "cpu": cpu,
        "cores": cores,
        "memory_bytes": psutil.virtual_memory().total,
        "accelerator": gpu,
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "threads": 1,
    }


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower().replace("(r)", " ").replace("(tm)", " "))


def accelerator() -> str | None:
    """The first NVIDIA GPU's name, as its driver tells it; None where there is none."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), None)


def portable(text: str) -> str:
    """`text` without where this machine keeps the project and its Python."""
    for place in (sys.prefix, str(ROOT), sys.base_prefix, str(Path.home())):
        text = text.replace(place + os.sep, "")
    return text


@lru_cache(maxsize=1)
def commit() -> tuple[str | None, bool | None]:
    """(hash, clean) of the suite's own repository; (None, None) outside one.

    Results do not count: a tree is clean when the code is.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None, None
    return head, _git("status", "--porcelain", "--", ".", ":!results") == ""


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def versions(method: Method) -> dict[str, str]:
    """Installed versions of what the method requires, of what that builds on, and of the suite."""
    wanted = {"numpy", "stiffgrad"}
    pending = [Requirement(text).name for text in method.requires]
    while pending:
        name = pending.pop()
        if name in wanted:
            continue
        wanted.add(name)
        pending += [
            requirement.name
            for requirement in map(Requirement, _requires(name))
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]
    return {name: version for name in sorted(wanted) if (version := _version(name))}


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def calibration_seconds() -> float:
    """Least time of a fixed small kernel: LU-like arithmetic plus interpreter work, about 5 ms."""
    matrix = np.random.default_rng(0).standard_normal((60, 60)) + 60 * np.eye(60)
    return min(_kernel(matrix) for _ in range(CALIBRATION_REPEATS))


def _kernel(matrix: np.ndarray) -> float:
    start = perf_counter()
    right = np.ones(60)
    for _ in range(20):
        right = np.linalg.solve(matrix, right)
    total = 0
    for number in range(20_000):
        total += number * number
    return perf_counter() - start
