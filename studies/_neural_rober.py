"""The neural ODE of Kim et al. on Robertson's reaction, with its training step.

y' = NN(y / y_scale) y_scale / t_scale, NN of 6 hidden layers of 5 GELU units, 188 parameters; 50
observations, logarithmic in time; loss mean |y - y_true| / y_scale; AdamW at 5e-3 with weight
decay 1e-6. Kim et al. 2021, Chaos 31, 093122, section IV, with the settings of the released code,
https://github.com/DENG-MIT/StiffNeuralODE, where y_scale is the largest value of each species.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from problems import get_problem

LAYERS = (3, *(5,) * 6, 3)
RATE, DECAY = 5e-3, 1e-6
RTOL, ATOL = 1e-3, 1e-6
# A solve takes fewer than a hundred steps at these tolerances; a network on its way may need more.
MAX_STEPS = 512
SEED = 1

Parameters = list[tuple[Any, Any]]


def truth() -> np.ndarray[Any, Any]:
    """Robertson's states at the 50 times, shape (50, 3), by SciPy's Radau at tight tolerances."""
    from scipy.integrate import solve_ivp

    problem = get_problem("rober")
    span, p = (problem.t0, problem.times[-1]), problem.p
    found = solve_ivp(
        lambda t, y: problem.f(t, y, p),
        span,
        problem.y0,
        "Radau",
        problem.times,
        jac=lambda t, y: problem.jacobian(t, y, p),
        rtol=1e-10,
        atol=1e-14,
    )
    return found.y.T


def initial(seed: int = SEED) -> Parameters:
    """Weights by Glorot's normal rule, biases zero."""
    draw = np.random.default_rng(seed)
    return [
        (draw.normal(size=(n, m)) * np.sqrt(2 / (m + n)), np.zeros(n)) for m, n in pairwise(LAYERS)
    ]


def count(parameters: Parameters) -> int:
    """How many numbers they hold."""
    return sum(w.size + b.size for w, b in parameters)


def trainer(options: dict[str, Any], epochs: int) -> tuple[Callable[..., Any], Any]:
    """A function from a training state to the next `epochs` epochs later, and the first state.

    The function also returns every epoch's loss and steps. `options` are solve's.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from stiffgrad.jax import solve

    problem, seen = get_problem("rober"), truth()
    scale = seen.max(axis=0)
    times = np.concatenate([[problem.t0], problem.times])

    def rhs(t: Any, y: Any, p: Any) -> Any:
        z = y / scale
        for w, b in p[:-1]:
            z = jax.nn.gelu(w @ z + b)
        w, b = p[-1]
        return (w @ z + b) * scale / times[-1]

    def loss(p: Any) -> Any:
        found = solve(
            rhs, problem.y0, times, p, rtol=RTOL, atol=ATOL, max_steps=MAX_STEPS, **options
        )
        return jnp.mean(jnp.abs(found.ys[1:] - seen) / scale), found.stats.accepted

    optimiser = optax.adamw(RATE, weight_decay=DECAY)

    def epoch(state: Any, _: None) -> tuple[Any, Any]:
        p, moments = state
        (value, steps), gradient = jax.value_and_grad(loss, has_aux=True)(p)
        updates, moments = optimiser.update(gradient, moments, p)
        return (optax.apply_updates(p, updates), moments), (value, steps)

    first: Any = jax.tree.map(jnp.asarray, initial())
    start = first, optimiser.init(first)
    return jax.jit(lambda state: jax.lax.scan(epoch, state, None, epochs)), start
