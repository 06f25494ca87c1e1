"""The training loop: whole chunks of epochs as one compiled program."""

from functools import lru_cache, partial
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from problems import get_problem
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
