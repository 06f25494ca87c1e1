"""What the study of per-layer gradients measures: rates, training, and stiff states."""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np

from studies._journal import Row
from studies._layers import (
    END,
    START,
    TARGET,
    Array,
    nodal_loss_and_gradient,
    parameters,
    slopes,
    staged_gradient,
    true_gradient,
)

# c2 of the explicit methods of two stages.
TWO_STAGES = {"midpoint": 0.5, "heun": 1.0, "ralston": 2 / 3}
SHOWN_STEPS = 40
RATE_SHARED = np.linspace(0.0, END, 4001)

TRAINED_STEPS, LEARNING_RATE = 80, 0.2

# K of the stiff problem: h K is 1e4 at 20 steps.
STIFFNESS = 1e5
IMPLICIT = (
    "backward-euler",
    "sdirk2",
    "radau3",
    "radau5",
    "lobatto-iiic3",
    "trapezoid",
    "implicit-midpoint",
    "gauss4",
)
REFERENCE, REFERENCE_SUBSTEPS = "radau5", 48


def rates(n: int, finest: int) -> Iterator[Row]:
    """Rows of `part` "rate" for every method and correction with n steps, and of "shared".

    `finest` is the largest n that is asked for, of which one compiled program is made.
    """
    import jax

    with jax.enable_x64(True):
        for scheme, variant, t, found in (*_nodal(n, finest + 1), *_staged(n)):
            yield {"part": "rate", **_errors(scheme, variant, n, t, found)}
            if n == SHOWN_STEPS:
                yield from _shown(scheme, variant, t, found)
        yield from _shared(n, finest + 1)


def _errors(scheme: str, variant: str, n: int, t: Array, found: Array) -> Row:
    from stiffgrad.jax.corrections import oscillation_index

    true = true_gradient(t)
    off = np.abs(found - true)
    # layers of two stages come in pairs; a smooth gradient seen so has an index of its own
    return {
        "scheme": scheme,
        "variant": variant,
        "steps": n,
        "sup": off.max(),
        "l2": math.sqrt(np.mean(off**2)),
        "relative": off.max() / np.abs(true).max(),
        "index": float(oscillation_index(found)),
        "index_true": float(oscillation_index(true)),
    }


def _shown(scheme: str, variant: str, t: Array, found: Array) -> Iterator[Row]:
    for time, value, true in zip(t, found[:, 0], true_gradient(t)[:, 0], strict=True):
        row = {"scheme": scheme, "variant": variant, "t": time, "value": value, "true": true}
        yield {"part": "layer", **row}


Found = Iterator[tuple[str, str, Array, Array]]


def _nodal(n: int, room: int) -> Found:
    """Multistep methods: name, variant, times of the layers and gradients there."""
    from stiffgrad.jax import corrections

    h = END / n
    t = h * np.arange(n + 2)
    gradient = partial(nodal_loss_and_gradient, layers=parameters(t), steps=n, room=room)
    g = gradient("leapfrog")[1]
    yield "leapfrog", "raw", t[:n], g[:n] / h
    yield "leapfrog", "filter", t[: n + 1], np.asarray(corrections.filtered(g[:n], h))
    g = gradient("leapfrog", smoothed=True)[1]
    yield "leapfrog", "Gragg", t[1 : n - 1], g[1 : n - 1] / h
    # AB2 evaluates at the start of a step, BDF2 at its end
    yield from _trimmed("ab2", t[:n], gradient("ab2")[1][:n], h, 2)
    layers = math.ceil(2 * math.log(n) / math.log(3)) + 2
    yield from _trimmed("bdf2", t[1 : n + 1], gradient("bdf2")[1][1 : n + 1], h, layers)


def _trimmed(scheme: str, t: Array, g: Array, h: float, ends: int) -> Found:
    from stiffgrad.jax import corrections

    yield scheme, "raw", t, g / h
    inner = slice(ends, len(t) - ends)
    if inner.stop - inner.start < 2:
        return
    yield scheme, "interior", t[inner], g[inner] / h
    yield scheme, "trimmed", t, np.asarray(corrections.trimmed(g, h, ends))


def _staged(n: int) -> Found:
    """Explicit methods of two stages, in the same manner."""
    import jax.numpy as jnp

    from stiffgrad.jax import corrections

    h = END / n
    nodes = h * np.arange(n + 1)
    for scheme, c2 in TWO_STAGES.items():
        times = np.stack([nodes[:n], nodes[:n] + c2 * h], axis=1)
        found = staged_gradient(scheme, parameters(times), h)
        yield scheme, "raw", times.reshape(-1), found.stages.reshape(2 * n, -1) / (h / 2)
        summed = np.asarray(corrections.stage_sum(found.stages, h))
        yield scheme, "stage sum", nodes[:n] + h / 2, summed
        costate = corrections.node_costate(
            lambda t, y, q: slopes(y, q, jnp),
            nodes,
            found.states,
            parameters(nodes),
            found.costates,
        )
        yield scheme, "node costate", nodes, np.asarray(costate)


@lru_cache(maxsize=1)
def _integral() -> Array:
    from scipy.integrate import simpson

    return np.asarray(simpson(true_gradient(RATE_SHARED), x=RATE_SHARED, axis=0))


def _shared(n: int, room: int) -> Iterator[Row]:
    """The gradient of a shift of theta that all layers share."""
    h = END / n
    t = h * np.arange(n + 2)
    for scheme in ("leapfrog", "ab2", "bdf2"):
        g = nodal_loss_and_gradient(scheme, parameters(t), n, room)[1]
        yield _shared_row(scheme, n, g.sum(axis=0))
    for scheme, c2 in TWO_STAGES.items():
        times = np.stack([t[:n], t[:n] + c2 * h], axis=1)
        yield _shared_row(
            scheme, n, staged_gradient(scheme, parameters(times), h).stages.sum((0, 1))
        )


def _shared_row(scheme: str, n: int, total: Array) -> Row:
    off = float(np.max(np.abs(total - _integral())))
    return {"part": "shared", "scheme": scheme, "variant": "raw", "steps": n, "sup": off}


def training(variant: str, epochs: int) -> Iterator[Row]:
    """Rows of `part` "training", a loss each, and of "theta", what came of it."""
    import jax

    gradient = trainers()[variant]
    t = END / TRAINED_STEPS * np.arange(TRAINED_STEPS + 2)
    layers = parameters(t)
    with jax.enable_x64(True):
        for epoch in range(epochs + 1):
            loss, step = gradient(layers)
            if epoch % (epochs // 20) == 0:
                row = {"part": "training", "variant": variant, "epoch": epoch}
                yield {**row, "discrete": loss, "loss": true_loss(layers)}
            if epoch < epochs:
                layers = layers.copy()
                layers[: len(step)] -= LEARNING_RATE * step
    kept = layers[: TRAINED_STEPS + 1]
    variation = float(np.abs(np.diff(kept, axis=0)).sum(axis=0).max())
    for time, value in zip(t, kept[:, 0], strict=False):
        row = {"part": "theta", "variant": variant, "t": time, "value": value}
        yield {**row, "variation": variation}


def trainers() -> dict[str, Callable[[Array], tuple[float, Array]]]:
    """Loss and per-layer gradient of the parameters at the nodes, by name."""
    from stiffgrad.jax import corrections

    n = TRAINED_STEPS
    h = END / n
    of = partial(nodal_loss_and_gradient, steps=n, room=n + 1)

    def raw(layers: Array) -> tuple[float, Array]:
        loss, g = of("leapfrog", layers)
        return loss, g[:n] / h

    def filtered(layers: Array) -> tuple[float, Array]:
        loss, g = of("leapfrog", layers)
        return loss, np.asarray(corrections.filtered(g[:n], h))

    def smoothed(layers: Array) -> tuple[float, Array]:
        loss, g = of("leapfrog", layers, smoothed=True)
        return loss, np.asarray(corrections.trimmed(g[: n + 1], h, 2))

    def heun(layers: Array) -> tuple[float, Array]:
        loss, g = of("heun", layers)
        # the nodes at either end belong to one step alone
        weights = np.full((n + 1, 1), h)
        weights[[0, n]] /= 2
        return loss, g[: n + 1] / weights

    return {"raw": raw, "filter": filtered, "Gragg": smoothed, "Heun": heun}


@lru_cache(maxsize=1)
def _true_loss() -> Callable[[Any], Any]:
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    nodes = END / TRAINED_STEPS * np.arange(TRAINED_STEPS + 1)

    def loss(layers: Any) -> Any:
        def rhs(t: Any, y: Any, p: Any) -> Any:
            return slopes(y, jnp.stack([jnp.interp(t, nodes, p[:, j]) for j in range(2)]), jnp)

        ys = solve(rhs, jnp.asarray(START), jnp.asarray(nodes), layers, integrator="tsit5", steps=4)
        return jnp.sum((ys.ys[-1] - TARGET) ** 2) / 2

    return jax.jit(loss)


def true_loss(layers: Array) -> float:
    """The loss of the ODE itself, theta(t) being linear between the nodes."""
    return float(_true_loss()(layers[: TRAINED_STEPS + 1]))


def _stiff_slopes(y: Any, theta: Any, xp: Any) -> Any:
    first = xp.tanh(theta[0] * y[1]) - 0.5 * y[0]
    return xp.stack([first, -STIFFNESS * (y[1] - xp.sin(y[0] + theta[1]))])


def ringing(schemes: tuple[str, ...], n: int) -> Iterator[Row]:
    """Rows of `part` "ringing": n layers of implicit methods where the loss sees a fast state."""
    h = END / n
    t = h * (np.arange(n) + 0.5)
    layers = parameters(t)[:, None]
    start = np.array([1.0, math.sin(1.0 + layers[0, 0, 1])])

    def stages(scheme: str, substeps: int = 1) -> Array:
        found = staged_gradient(scheme, layers, h, start, _stiff_slopes, substeps=substeps)
        return found.stages[:, 0, 1] / h

    true = stages(REFERENCE, REFERENCE_SUBSTEPS)
    for scheme in schemes:
        found = stages(scheme)
        off = np.abs(found - true)
        summary = {
            "interior": off[1:-1].max() / np.abs(true[1:-1]).max(),
            "shared": abs(found.sum() / true.sum() - 1),
        }
        for time, value, exact in zip(t, found, true, strict=True):
            row = {"part": "ringing", "scheme": scheme, "variant": "raw", "steps": n}
            yield {**row, "t": time, "value": value, "true": exact, **summary}
