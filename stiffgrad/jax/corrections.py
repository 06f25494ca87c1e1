"""Corrections of per-layer gradients, those of parameters that are others at every step.

The derivative of a loss by the parameters of step n, over the step size h, should approach

    G(t_n) = f_theta(y(t_n), theta(t_n))^T p(t_n),   p' = -f_y^T p,   p(T) = the loss's gradient,

and for multistep and Runge-Kutta methods often does not, however small h is: Xu, Chen and Li,
Correcting Auto-Differentiation in Neural-ODE Training, arXiv 2306.02192, who found it and correct
leapfrog and two-stage methods. The formulas here are our own derivation. Parameters shared by all
steps need no correction: the sum over the steps converges at the method's order.

Gradients are pytrees of arrays with the layers along the first axis; so are the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from stiffgrad.jax._types import ArgumentError

__all__ = ["filtered", "node_costate", "oscillation_index", "smoothed_end", "stage_sum", "trimmed"]


def filtered(gradients: Any, h: Any) -> Any:
    """G at t_0 to t_N of leapfrog started by a step of Euler, to O(h^2) everywhere.

    The adjoint of leapfrog is leapfrog, whose parasitic solution -(-1)^n q(t_n) starts as large as
    the true one where the loss reads a single state. The filter [1, 2, 1] / 4 takes it away up to
    O(h^2), and leaves as much error on the true one. Steps have to be equal.

    Args:
        gradients: the loss's derivatives by the parameters of the N steps, (N, ...) each.
        h: the step size.

    Returns:
        (N + 1, ...) each, the two ends extrapolated linearly.

    Raises:
        ArgumentError: for fewer than three layers.

    Source: W. B. Gragg, SIAM J. Numer. Anal. 2 (1965), for the filter on states.
    """
    _layers(gradients, 3)

    def one(gradient: Any) -> jax.Array:
        density = _density(gradient, h)
        # the step of Euler counts half of what the others do
        first, last = 2 * density[:1], jnp.zeros_like(density[:1])
        raw = jnp.concatenate([first, density[1:], last])
        return _extrapolated((raw[:-2] + 2 * raw[1:-1] + raw[2:]) / 4, 1)

    return jax.tree.map(one, gradients)


def smoothed_end(ys: Any) -> Any:
    """The state at the last time but one, (y_(N-1) + 2 y_N + y_(N+1)) / 4, of leapfrog's states.

    A loss of it, in place of y_N, excites the parasitic solution to O(h^2) only: the gradients then
    need no filter, but for those of the first layer (which counts half) and of the last two. It
    costs one step beyond t_N, of equal size.

    Args:
        ys: states at equal steps, (.., n) each, three or more; the last is one step beyond the end.

    Raises:
        ArgumentError: for fewer than three states.

    Source: W. B. Gragg, SIAM J. Numer. Anal. 2 (1965).
    """
    _layers(ys, 3)
    return jax.tree.map(lambda y: (y[-3] + 2 * y[-2] + y[-1]) / 4, ys)


def stage_sum(gradients: Any, h: Any) -> Any:
    """G at the steps' midpoints of a Runge-Kutta method of order 2 or more, to O(h^2).

    Stages weigh by b_i, so that single layers zig-zag unless all b_i are equal; their sum is the
    derivative by a parameter that is constant on the step.

    Args:
        gradients: the loss's derivatives by the parameters of each stage, (N, stages, ...) each.
        h: the step size, a number or (N,).

    Returns:
        (N, ...) each.

    Source: derived here; W. W. Hager, Numer. Math. 87 (2000), for the adjoint's stages.
    """
    return jax.tree.map(lambda gradient: _density(jnp.sum(gradient, axis=1), h), gradients)


def node_costate(
    rhs: Callable[[Any, Any, Any], Any], t: Any, ys: Any, layers: Any, costates: Any
) -> Any:
    """G at the nodes of any one-step method, to the method's order.

    The derivatives of the loss by the states between the steps are a consistent adjoint, though
    those by the stages' parameters are not.

    Args:
        rhs: as :func:`stiffgrad.jax.solve` takes it, with the parameters of one layer.
        t: nodes, (K,).
        ys: states there, (K, ...) each.
        layers: parameters there, (K, ...) each.
        costates: the loss's derivatives by those states, like ys; add zeros to the state before
            each step and differentiate by them.

    Returns:
        like layers.

    Source: derived here; A. Sandu, On the properties of Runge-Kutta discrete adjoints, ICCS 2006,
    for the order.
    """

    def one(time: Any, y: Any, layer: Any, costate: Any) -> Any:
        return jax.vjp(lambda q: rhs(time, y, q), layer)[1](costate)[0]

    return jax.vmap(one)(t, ys, layers, costates)


def trimmed(gradients: Any, h: Any, count: int) -> Any:
    """G at the layers of a multistep method whose parasitic solutions decay from the ends.

    AB2 needs 2 layers at either end replaced, and is then right to O(h^2). BDF2, where they decay
    by 3 from layer to layer, needs `2 log N / log 3 + 2`: O(h^2) inside, and O((h log N)^2) at the
    ends, for which the extrapolation reaches far. It does not cure leapfrog, whose parasitic
    solution does not decay.

    Args:
        gradients: the loss's derivatives by the parameters of each layer, (N, ...) each.
        h: the step size.
        count: how many layers at either end to extrapolate linearly from those inside.

    Raises:
        ArgumentError: if fewer than two layers would be left.

    Source: derived here; A. Sandu, Reverse automatic differentiation of linear multistep methods
    (2008), for the inconsistency along the trajectory.
    """
    _layers(gradients, 2 * count + 2)

    def one(gradient: Any) -> jax.Array:
        density = _density(gradient, h)
        return _extrapolated(density[count : len(density) - count], count)

    return jax.tree.map(one, gradients)


def oscillation_index(gradients: Any) -> jax.Array:
    """max_j |sum_n (-1)^n G_nj| / sum_n |G_nj|: 1 for a pure zig-zag, about 1/N for a smooth G.

    Args:
        gradients: per-layer gradients, (N, ...) each; their scale does not matter.
    """

    def one(gradient: Any) -> jax.Array:
        size = jnp.sum(jnp.abs(gradient), axis=0)
        signs = (-1.0) ** jnp.arange(len(gradient))
        across = jnp.abs(jnp.tensordot(signs, gradient, axes=1))
        return jnp.max(across / jnp.where(size > 0, size, 1))

    return jnp.max(jnp.stack([one(jnp.asarray(x)) for x in jax.tree.leaves(gradients)]))


def _density(gradient: Any, h: Any) -> jax.Array:
    gradient, h = jnp.asarray(gradient), jnp.asarray(h)
    return gradient / h.reshape(h.shape + (1,) * (gradient.ndim - h.ndim) if h.ndim else ())


def _extrapolated(inner: jax.Array, count: int) -> jax.Array:
    ahead = jnp.arange(1, count + 1, dtype=inner.dtype).reshape((-1,) + (1,) * (inner.ndim - 1))
    before = inner[:1] + ahead[::-1] * (inner[:1] - inner[1:2])
    after = inner[-1:] + ahead * (inner[-1:] - inner[-2:-1])
    return jnp.concatenate([before, inner, after])


def _layers(gradients: Any, least: int) -> None:
    for leaf in jax.tree.leaves(gradients):
        if jnp.ndim(leaf) < 1 or len(leaf) < least:
            raise ArgumentError(
                f"a leaf has shape {jnp.shape(leaf)}; at least {least} layers along the first "
                "axis are needed"
            )
