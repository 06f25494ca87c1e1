"""Neural ODEs of Robertson's reaction whose species sum to one, or need not (Kim et al., eq. 21).

Six hidden layers of five GELU units. `free`: y' = NN(y), all three equations learned.
`constrained`: [y1, y2]' = NN(y) and 0 = y1 + y2 + y3 - 1, with M = diag(1, 1, 0). Either `scaled`,
the network's input and output in the units of the states and of the time span (eq. 13), or `plain`.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from problems import get_problem
from studies._journal import Row

FORMS, UNITS = ("free", "constrained"), ("scaled", "plain")
HIDDEN, WIDTH = 6, 5
# Kim et al., section IV: AdamW at 5e-3; the released code decays weights by 1e-6.
RATE, DECAY = 5e-3, 1e-6
RTOL, ATOL = 1e-4, 1e-8
# A smooth solution takes fewer than a hundred steps.
MAX_STEPS = 512
# The training is looked at once in so many epochs.
BLOCK = 20


@lru_cache(maxsize=1)
def data() -> np.ndarray[Any, Any]:
    """Robertson's states at the problem's times, shape (50, 3)."""
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    problem = get_problem("rober")
    times = np.concatenate([[problem.t0], problem.times])
    run = jax.jit(
        lambda: (
            solve(
                lambda t, y, p: problem.rhs(t, y, p, jnp),
                problem.y0,
                times,
                problem.p,
                rtol=1e-8,
                atol=1e-13,
            ).ys
        )
    )
    return np.asarray(run())[1:]


def initial(form: str, seed: int) -> Any:
    """Weights by Glorot's normal rule and zero biases: a list of pairs."""
    import jax.numpy as jnp

    draw = np.random.default_rng(seed)
    sizes = [3, *[WIDTH] * HIDDEN, 3 if form == "free" else 2]
    return [
        (jnp.asarray(draw.normal(size=(n, m)) * np.sqrt(2 / (m + n))), jnp.zeros(n))
        for m, n in pairwise(sizes)
    ]


def model(form: str, units: str) -> tuple[Callable[[Any, Any, Any], Any], Any]:
    """The right-hand side f(t, y, weights) and the mass matrix or None."""
    import jax
    import jax.numpy as jnp

    problem = get_problem("rober")
    learned = 3 if form == "free" else 2
    size = problem.y_scale if units == "scaled" else np.ones(3)
    rate = size[:learned] / (problem.t1 if units == "scaled" else 1.0)

    def rhs(t: Any, y: Any, p: Any) -> Any:
        z = y / size
        for w, b in p[:-1]:
            z = jax.nn.gelu(w @ z + b)
        w, b = p[-1]
        slope = (w @ z + b) * rate
        if form == "free":
            return slope
        return jnp.concatenate([slope, jnp.sum(y, keepdims=True) - 1.0])

    return rhs, None if form == "free" else np.diag([1.0, 1.0, 0.0])


def loss_of(form: str, units: str) -> Callable[[Any], Any]:
    """From weights to the loss, its solve's status and the largest |y1 + y2 + y3 - 1|.

    The mean absolute error, `scaled` by each species' range (eq. 14) or `plain`.
    """
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    problem, seen = get_problem("rober"), data()
    times = np.concatenate([[problem.t0], problem.times])
    rhs, mass = model(form, units)
    # In plain units y2 hardly counts, as in the paper's baseline.
    scale = np.ptp(seen, axis=0) if units == "scaled" else np.ones(3)

    def loss(p: Any) -> Any:
        found = solve(
            rhs, problem.y0, times, p, mass=mass, rtol=RTOL, atol=ATOL, max_steps=MAX_STEPS
        )
        off = jnp.max(jnp.abs(jnp.sum(found.ys, axis=1) - 1.0))
        return jnp.mean(jnp.abs(found.ys[1:] - seen) / scale), (found.status, off)

    return loss


@lru_cache(maxsize=4)
def _block(form: str, units: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """The optimiser's first state for some weights, and a block of epochs from one state."""
    import jax
    import jax.numpy as jnp
    import optax

    derive = jax.value_and_grad(loss_of(form, units), has_aux=True)
    optimiser: Any = optax.adamw(RATE, weight_decay=DECAY)

    def epoch(state: Any, _: None) -> tuple[Any, Any]:
        p, moments = state
        (value, (status, off)), gradient = derive(p)
        size = jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(gradient)))
        updates, after = optimiser.update(gradient, moments, p)
        moved = optax.apply_updates(p, updates), after
        kept = jax.tree.map(lambda new, old: jnp.where(jnp.isfinite(size), new, old), moved, state)
        return kept, (value, size, off, status)

    return optimiser.init, jax.jit(lambda state: jax.lax.scan(epoch, state, None, BLOCK))


def train(form: str, units: str, seed: int, epochs: int) -> list[Row]:
    """A row for every block of epochs: losses, gradient norms, violations, and failed solves.

    Where a solve fails there is no gradient and so no next weights: the training ends there.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    start, block = _block(form, units)
    p = initial(form, seed)
    state, rows = (p, start(p)), []
    for first in range(0, epochs, BLOCK):
        state, seen = block(state)
        rows.append(_row(first, *(np.asarray(x) for x in seen)))
        if rows[-1]["failed"]:
            break
    return rows


def _row(first: int, losses: Any, norms: Any, offs: Any, statuses: Any) -> Row:
    from stiffgrad.jax import Status

    failed = statuses != Status.SUCCESS
    row: Row = {
        "epoch": first + BLOCK,
        "loss": _largest(losses[-1:]),
        "worst_loss": _largest(losses),
        "best_loss": float(np.min(losses[~failed], initial=np.inf)),
        "gradient_norm": _largest(norms),
        "violation": _largest(offs),
        "failed": int(failed.any()),
        "cause": "",
    }
    if failed.any():
        where = int(np.argmax(failed))
        row |= {"epoch": first + where, "cause": Status(int(statuses[where])).name}
    return row


def _largest(values: Any) -> float:
    """The largest finite one, NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else float("nan")
