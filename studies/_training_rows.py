"""What is kept of a training: its figures, misfits at epochs, curves, and what was learned."""

from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from studies import _training
from studies._journal import Row
from studies._training import BASELINE, PLAIN, Array, Recipe, Task, neural, recipes
from studies._training_run import CHUNK, INTEGRATOR, SOLVE, Epochs, History, train

POINTS = 80
AT = (1000, 2000, 5000, 10000, 20000, 25000, 50000)
# What is claimed and drawn of species is of these alone.
PROFILED = (PLAIN, BASELINE)


def trained(
    method: str, problem: str, recipe: str, seed: int, epochs: int, levels: tuple[float, ...]
) -> list[Row]:
    """Rows of one training: `part` "run", "at", "milestone", "curve", "weights", and "profile".

    Profiles are kept of the recipes that are PROFILED.
    """
    task: Task = getattr(_training, problem.upper())
    how = recipes(task)[recipe]
    start = perf_counter()
    history = train(task, how, seed, epochs)
    total = perf_counter() - start
    rows = [
        _run(history, total),
        *at_epochs(history.epochs),
        *milestones(history, levels),
        *curve(history.epochs),
        *(_profile(task, how, history.weights) if recipe in PROFILED else []),
        *({"part": "weights", "value": float(w)} for w in history.weights),
    ]
    return [{**outcome(history.epochs), **row} for row in rows]


def outcome(epochs: Epochs) -> Row:
    """`status` and `reason` of a training: "diverged" where its last CHUNK had no gradient."""
    if not epochs.failed[-CHUNK:].all():
        return {"status": "ok", "reason": ""}
    good = np.flatnonzero(epochs.failed == 0)
    last = good[-1] + 1 if len(good) else 0
    return {"status": "diverged", "reason": f"no solve or gradient succeeds after epoch {last}"}


def _run(history: History, total: float) -> Row:
    epochs, chunks = history.epochs, np.diff(history.seconds, prepend=0.0)
    seen = np.isfinite(epochs.misfit)
    late, norm = epochs.misfit[-1000:], epochs.norm[np.isfinite(epochs.norm)]
    return {
        "part": "run",
        "misfit": float(epochs.misfit[-1]),
        "late": float(np.nanmedian(late)) if np.isfinite(late).any() else np.nan,
        "least": float(np.min(epochs.misfit[seen])) if seen.any() else np.nan,
        "seconds": float(history.seconds[-1]),
        "compile_seconds": total - float(history.seconds[-1]),
        "ms": float(np.median(chunks)) / CHUNK * 1e3,
        "ms_least": float(np.min(chunks)) / CHUNK * 1e3,
        "steps": float(np.mean(epochs.steps)),
        "failed": int(np.sum(epochs.failed)),
        "roughness": roughness(epochs.norm),
        "peak": float(np.max(norm) / np.median(norm)) if len(norm) else np.nan,
    }


def roughness(norm: Array) -> float:
    """How much the gradient's norm jumps: median |log10| of the ratio of one epoch to the next."""
    jumps = np.abs(np.diff(np.log10(norm[np.isfinite(norm) & (norm > 0)])))
    return float(np.median(jumps)) if len(jumps) else np.nan


def at_epochs(epochs: Epochs) -> list[Row]:
    """The misfit at round numbers of epochs, a median over the last CHUNK: one epoch is noisy.

    An epoch whose solve fails counts as infinite.
    """
    misfit = np.where(np.isfinite(epochs.misfit), epochs.misfit, np.inf)
    return [
        {
            "part": "at",
            "epoch": float(end),
            "misfit": float(np.median(misfit[:end][-CHUNK:])),
        }
        for end in AT
        if end <= len(epochs.misfit)
    ]


def milestones(history: History, levels: tuple[float, ...]) -> list[Row]:
    """The first epoch with a misfit below each level, and the seconds to its chunk's end."""
    rows = []
    for level in levels:
        below = np.flatnonzero(history.epochs.misfit < level)
        reached: Row = {"epoch": np.nan, "seconds": np.nan}
        if len(below):
            reached = {
                "epoch": float(below[0] + 1),
                "seconds": float(history.seconds[below[0] // CHUNK]),
            }
        rows.append({"part": "milestone", "level": level, **reached})
    return rows


def curve(epochs: Epochs) -> list[Row]:
    """Loss and gradient norm: medians and extremes of the norm over bins even in log epoch."""
    n = len(epochs.loss)
    edges = np.unique(np.round(np.geomspace(1, n + 1, POINTS)).astype(int)) - 1
    rows = []
    for first, end in pairwise(edges):
        part = Epochs(*(values[first:end] for values in epochs))
        good = np.isfinite(part.norm)
        if good.any():
            rows.append(
                {
                    "part": "curve",
                    "epoch": float(first + end + 1) / 2,
                    "loss": float(np.median(part.loss[good])),
                    "misfit": float(np.median(part.misfit[good])),
                    "norm": float(np.median(part.norm[good])),
                    "norm_least": float(np.min(part.norm[good])),
                    "norm_most": float(np.max(part.norm[good])),
                }
            )
    return rows


def _profile(task: Task, recipe: Recipe, weights: Array) -> list[Row]:
    """States of the trained network and the truth at the times."""
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax import Status, solve

    problem = neural(task, recipe)
    times = np.concatenate([[problem.t0], problem.times])

    def solved(p: Any) -> Any:
        return solve(
            lambda t, y, p: problem.rhs(t, y, p, jnp),
            problem.y0,
            times,
            p,
            engine="array",
            integrator=INTEGRATOR,
            observe="dense",
            **SOLVE,
        )

    # outside of jit a solve that fails would raise
    found = jax.jit(solved)(weights)
    if int(found.status) != Status.SUCCESS:
        return []
    return [
        {"part": "profile", "species": name, "time": t, "value": float(y), "truth": float(true)}
        for j, name in enumerate(problem.states)
        for t, y, true in zip(task.times, found.ys[1:, j], task.truth[:, j], strict=True)
    ]
