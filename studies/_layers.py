"""Gradients of parameters that are others at every step, by the library's own integrators.

The problem has two smooth states and two parameters that move with time; the loss sees the end.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray

END = 2.0
START = np.array([1.0, -0.5])
TARGET = np.array([0.3, 0.4])
# The true gradient is needed to far below the finest error measured, about 1e-6.
REFERENCE_RTOL = 1e-12


def parameters(t: Any) -> Array:
    """theta(t), (len(t), 2)."""
    return np.stack([1 + 0.5 * np.sin(2 * t), 1.5 + 0.5 * np.cos(3 * t)], axis=-1)


def slopes(y: Any, theta: Any, xp: Any = np) -> Any:
    """The right-hand side, the parameters given."""
    first = xp.tanh(theta[0] * y[1]) - 0.5 * y[0]
    return xp.stack([first, -xp.sin(y[0]) * theta[1] - 0.3 * y[1] + 0.2 * theta[0]])


def misfit(y: Any, xp: Any = np) -> Any:
    return xp.sum((y - TARGET) ** 2) / 2


def true_gradient(t: Array) -> Array:
    """G(t) = f_theta^T p of the continuous adjoint, (len(t), 2)."""
    forward, backward = _adjoint()
    y, p = forward(t), backward(t)
    a = parameters(t)[:, 0]
    return np.stack(
        [y[1] / np.cosh(a * y[1]) ** 2 * p[0] + 0.2 * p[1], -np.sin(y[0]) * p[1]], axis=-1
    )


@lru_cache(maxsize=1)
def _adjoint() -> tuple[Any, Any]:
    """y and p as functions of t."""
    from scipy.integrate import solve_ivp

    options = {"method": "DOP853", "rtol": REFERENCE_RTOL, "atol": 1e-14, "dense_output": True}

    def rhs(time: float, y: Array) -> Array:
        return slopes(y, parameters(time))

    forward = solve_ivp(rhs, (0.0, END), START, **options).sol

    def adjoint(time: float, p: Array) -> Array:
        y, (a, b) = forward(time), parameters(time)
        s = a / np.cosh(a * y[1]) ** 2
        return -np.array([[-0.5, -np.cos(y[0]) * b], [s, -0.3]]) @ p

    return forward, solve_ivp(adjoint, (END, 0.0), forward(END) - TARGET, **options).sol


@lru_cache(maxsize=32)
def _nodal(integrator: str, room: int, smoothed: bool) -> Callable[..., Any]:
    """Loss and gradient by the parameters at the nodes, jitted: (layers, h, count of steps)."""
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax import corrections, solve

    def rhs(t: Any, y: Any, p: Any) -> Any:
        return slopes(y, p["layers"][jnp.round(t / p["h"]).astype(int)], jnp)

    def loss(layers: Any, h: Any, steps: Any) -> Any:
        # The solve runs on past the end, so that one program serves every number of steps.
        times = h * jnp.arange(room + 1.0)
        p = {"layers": layers, "h": h}
        ys = solve(rhs, jnp.asarray(START), times, p, integrator=integrator, steps=1).ys
        window = jax.lax.dynamic_slice_in_dim(ys, steps - 1, 3)
        return misfit(corrections.smoothed_end(window) if smoothed else window[1], jnp)

    return jax.jit(jax.value_and_grad(loss))


def nodal_loss_and_gradient(
    integrator: str, layers: Array, steps: int, room: int, smoothed: bool = False
) -> tuple[float, Array]:
    """Of a method that looks its parameters up at the nodes: the loss and dL/dtheta_n.

    Arguments:
        layers: parameters at the nodes, (`steps` + 2, 2) or more.
        steps: on (0, END); one more is taken.
        room: the most steps that the compiled program serves.
        smoothed: Gragg's smoothing in front of the loss.
    """
    import jax

    padded = np.concatenate([layers, np.repeat(layers[-1:], room + 1 - len(layers), axis=0)])
    with jax.enable_x64(True):
        value, gradient = _nodal(integrator, room, smoothed)(padded, END / steps, steps)
        return float(value), np.asarray(gradient)[: len(layers)]


class Staged(NamedTuple):
    """What backpropagation through Runge-Kutta steps gives.

    Attributes:
        stages: dL/dtheta of every stage, (steps, stages, m).
        states, costates: y_n and dL/dy_n at the nodes, (steps + 1, n).
    """

    stages: Array
    states: Array
    costates: Array


StageRhs = Callable[[Any, Any, Any], Any]


@lru_cache(maxsize=32)
def _step(integrator: str, rhs: StageRhs, substeps: int) -> tuple[Any, Any]:
    """The step and its pullback, jitted; arguments are y, the stages' parameters and h."""
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    def lookup(t: Any, y: Any, p: Any) -> Any:
        # The second stage of the two-stage methods lies at h / 2 or later.
        late = jnp.where(t > p["h"] / 4, len(p["stages"]) - 1, 0)
        return rhs(y, p["stages"][late], jnp)

    def step(y: Any, stages: Any, h: Any) -> Any:
        p = {"stages": stages, "h": h}
        times = jnp.stack([0 * h, h])
        return solve(lookup, y, times, p, integrator=integrator, steps=substeps).ys[-1]

    def pull(y: Any, stages: Any, h: Any, costate: Any) -> Any:
        return jax.vjp(lambda a, b: step(a, b, h), y, stages)[1](costate)

    return jax.jit(step), jax.jit(pull)


def staged_gradient(
    integrator: str,
    layers: Array,
    h: float,
    start: Array = START,
    rhs: StageRhs = slopes,
    loss_gradient: Callable[[Array], Array] = lambda y: y - TARGET,
    substeps: int = 1,
) -> Staged:
    """Of a one-step method, step after step.

    Arguments:
        layers: parameters of the stages, (steps, stages, m); (steps, 1, m) for parameters that are
            constant on a step.
        h: the step size.
        start: y at 0; rhs: `(y, theta, xp)`; loss_gradient: dL/dy of the last state.
        substeps: steps of the integrator in a step of the layers.
    """
    import jax

    with jax.enable_x64(True):
        step, pull = _step(integrator, rhs, substeps)
        states = [np.asarray(start)]
        for stages in layers:
            states.append(np.asarray(step(states[-1], stages, h)))
        costates, gradients = [loss_gradient(states[-1])], []
        for y, stages in zip(states[-2::-1], layers[::-1], strict=True):
            back, gradient = pull(y, stages, h, costates[-1])
            costates.append(np.asarray(back))
            gradients.append(np.asarray(gradient))
    return Staged(np.array(gradients[::-1]), np.array(states), np.array(costates[::-1]))
