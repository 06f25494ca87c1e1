"""The training loop: whole chunks of epochs as one compiled program, and what is kept of them."""

from functools import lru_cache, partial
from itertools import pairwise
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from problems import get_problem
from studies import _training
from studies._journal import Row
from studies._training import (
    ATOL,
    DECAY,
    RTOL,
    Activation,
    Array,
    Network,
    Recipe,
    Task,
    loss_scale,
    network,
    neural,
    recipes,
)

# The paper's integrator, without its switch to an explicit one; saved times are read off its
# interpolant there too.
INTEGRATOR = "rosenbrock23"
METHOD = f"stiffgrad-jax/{INTEGRATOR}/discrete"
SOLVE: dict[str, Any] = {
    "rtol": RTOL,
    "atol": ATOL,
    # a trained network takes 50 steps; its record stays in the cache
    "max_steps": 1024,
}
# With more states the loop of one function compiles for minutes and is hardly faster.
LARGEST_INLINE = 16
CHUNK = 100
# Epochs in a row without a gradient after which a training has nothing to go on by.
LOST = 1000
POINTS = 80
AT = (1000, 2000, 5000, 10000, 20000, 25000, 50000)


class Epochs(NamedTuple):
    """Every epoch's figures, each of shape (epochs,).

    `loss` is the recipe's own, `misfit` equation 14 over all times whatever the recipe, `norm`
    the gradient's as it was computed, `failed` whether the solve or its gradient did not end well.
    """

    loss: Array
    misfit: Array
    norm: Array
    steps: Array
    failed: Array


class History(NamedTuple):
    """One training: its epochs, the weights it ended with, seconds up to the end of each chunk."""

    epochs: Epochs
    weights: Array
    seconds: Array


def engine(sizes: tuple[int, ...]) -> str:
    """The library's engine that is the fastest for a network of this size."""
    return "inline" if sizes[0] <= LARGEST_INLINE else "array"


@lru_cache(maxsize=1)
def program(
    task: Task,
    sizes: tuple[int, ...],
    activation: Activation,
    integrator: str = INTEGRATOR,
    observe: str = "dense",
) -> tuple[Any, Any]:
    """(CHUNK epochs as a compiled function, the optimiser), for every recipe of a network.

    The function takes a state (weights, the optimiser's), the scales (of inputs, outputs, loss)
    with the gradient's largest norm, and every epoch's learning rate and number of observations.
    A gradient that is not finite is replaced by zero and counted: the optimiser then goes on by its
    momentum.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from adapters._jax_common import prepare
    from stiffgrad.jax import Status, solve

    prepare()
    base, scale, truth = get_problem(task.problem), task.scale, task.truth
    times = np.concatenate([[base.t0], task.times])
    net = Network(sizes, activation, (), ())
    norm = task.gradient_norm
    # Flux's ADAMW: the rate multiplies Adam's step alone
    rescaled = [optax.normalize_by_update_norm(norm)] if norm else []
    tx = optax.chain(*rescaled, optax.scale_by_adam())
    options = SOLVE | {"engine": engine(sizes), "integrator": integrator, "observe": observe}

    def loss(p: Any, scales: Any, count: Any) -> Any:
        inputs, outputs, weights = scales

        def rhs(t: Any, y: Any, p: Any) -> Any:
            return net.scaled(y, p[0], p[1], p[2], jnp)

        found = solve(rhs, base.y0, times, (p, inputs, outputs), **options)
        errors = jnp.abs(found.ys[1:] - truth)
        seen = jnp.where(jnp.arange(len(truth))[:, None] < count, errors, 0) / weights
        value = jnp.sum(seen) / (count * base.n) * task.share
        misfit = jnp.mean(errors / scale) * task.share
        return value, (misfit, found.stats.accepted, found.status != Status.SUCCESS)

    def epoch(scales: Any, state: Any, varied: Any) -> tuple[Any, Any]:
        (p, moments), (rate, count) = state, varied
        *units, largest = scales
        slopes = jax.value_and_grad(loss, has_aux=True)
        (value, (misfit, steps, failed)), slope = slopes(p, units, count)
        norm = jnp.linalg.norm(slope)
        failed = failed | ~jnp.isfinite(norm)
        clip = jnp.minimum(1, largest / norm)
        updates, moments = tx.update(jnp.where(failed, 0, slope * clip), moments, p)
        state = p - rate * updates - DECAY * p, moments
        return state, Epochs(value, misfit, norm, steps, failed)

    def chunk(state: Any, scales: Any, varied: Any) -> Any:
        return jax.lax.scan(partial(epoch, scales), state, varied)

    return jax.jit(chunk), tx


def train(task: Task, recipe: Recipe, seed: int, epochs: int, **solver: str) -> History:
    """Train from the weights of a seed for `epochs`, a multiple of CHUNK; compilation is not timed.

    It ends before that when LOST epochs in a row have had no gradient. `solver` may name another
    `integrator` or way to `observe`. Raises ValueError for another number of epochs.
    """
    if epochs % CHUNK or epochs <= 0:
        raise ValueError(f"epochs: {epochs} is not a positive multiple of {CHUNK}")
    import jax
    import jax.numpy as jnp

    net = network(task, recipe)
    advance, tx = program(task, net.sizes, net.activation, **solver)
    units = np.array(net.inputs), np.array(net.outputs), loss_scale(task, recipe)
    scales = (*units, np.array(recipe.largest_norm))
    varied = recipe.rates(epochs), recipe.counts(task, seed, epochs)
    p = jnp.asarray(net.initial(seed))
    state = p, tx.init(p)
    chunks = list(zip(*(np.split(x, epochs // CHUNK) for x in varied), strict=True))
    jax.block_until_ready(advance(state, scales, chunks[0]))
    parts: list[Epochs] = []
    ends, start, lost = [], perf_counter(), 0
    for chunk in chunks:
        state, seen = jax.block_until_ready(advance(state, scales, chunk))
        ends.append(perf_counter() - start)
        parts.append(Epochs(*map(np.asarray, seen)))
        lost = lost + CHUNK if parts[-1].failed.all() else 0
        if lost == LOST:
            break
    joined = Epochs(*map(np.concatenate, zip(*parts, strict=True)))
    return History(joined, np.asarray(state[0]), np.array(ends))


def trained(
    method: str, problem: str, recipe: str, seed: int, epochs: int, levels: tuple[float, ...]
) -> list[Row]:
    """Rows of one training: `part` "run", "at", "milestone", "curve", "profile", "weights"."""
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
        *_profile(task, how, history.weights),
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
