"""Equilibria f(y, p) = 0 whose gradients are known to rounding, as ill-conditioned as asked.

`layer`: f = B (tanh(W y + b) - y), a deep equilibrium layer whose residual reaches the solver
through the symmetric B with rates from 1 down to 1 / kappa; equilibrium and gradient do not depend
on B, and follow from the well-conditioned layer itself. `reactor`: Robertson's reaction in a
stirred tank that is renewed at the rate D; two equations are solved by hand, and the third has no
cancellation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems import get_problem

Array = NDArray[np.float64]

SIZE = 40
SEED = 20261121
# Largest singular value of the layer's weights: its fixed-point iteration converges.
CONTRACTION = 0.8
# Iterations of Newton's method to rounding, far more than its quadratic convergence needs.
NEWTON_LIMIT = 100


@dataclass(frozen=True)
class Equilibrium:
    """A system with its equilibrium and the gradient of L = weights . y there.

    Attributes:
        rhs: f(y, p, xp) for an array namespace.
        jacobian, parameter_jacobian: f_y and f_p, functions of (y, p).
        y0: where solvers start.
        p: the parameters that are differentiated by; `p_scale` the unit of each.
        weights: of the loss, (n,).
        y, gradient: the equilibrium, and dL/dp p_scale there.
        time: of the slowest mode, 1 / min |Re lambda|.
        condition: largest over smallest modulus of f_y's eigenvalues.
    """

    rhs: Callable[[Any, Any, Any], Any]
    jacobian: Callable[[Array, Array], Array]
    parameter_jacobian: Callable[[Array, Array], Array]
    y0: Array
    p: Array
    p_scale: Array
    weights: Array
    y: Array
    gradient: Array
    time: float
    condition: float


def make(family: str, condition: float, size: int = SIZE) -> Equilibrium:
    """An equilibrium of a `layer` of that size or of the `reactor`, of about that condition."""
    return _layer(condition, size) if family == "layer" else _reactor(condition)


def _finish(y: Array, gradient: Array, jacobian: Callable[..., Array], **rest: Any) -> Equilibrium:
    modes = np.linalg.eigvals(jacobian(y, rest["p"]))
    sizes = np.abs(modes)
    time, condition = 1 / np.abs(modes.real).min(), sizes.max() / sizes.min()
    return Equilibrium(
        y=y, gradient=gradient, jacobian=jacobian, time=time, condition=condition, **rest
    )


def _layer(condition: float, size: int) -> Equilibrium:
    draw = np.random.default_rng(SEED)
    weights = draw.normal(size=(size, size))
    weights *= CONTRACTION / np.linalg.norm(weights, 2)
    basis = np.linalg.qr(draw.normal(size=(size, size)))[0]
    mixing = basis * np.geomspace(1.0, 1 / condition, size) @ basis.T
    bias, loss = draw.normal(size=size), draw.normal(size=size)

    def rhs(y: Any, p: Any, xp: Any) -> Any:
        return mixing @ (xp.tanh(weights @ y + p) - y)

    def slope(y: Array, p: Array) -> Array:
        return 1 - np.tanh(weights @ y + p) ** 2

    def inner(y: Array, p: Array) -> Array:
        return slope(y, p)[:, None] * weights - np.eye(size)

    y = np.zeros(size)
    for _ in range(NEWTON_LIMIT):
        y = y - np.linalg.solve(inner(y, bias), np.tanh(weights @ y + bias) - y)
    gradient = -slope(y, bias) * np.linalg.solve(inner(y, bias).T, loss)
    return _finish(
        y,
        gradient,
        lambda y, p: mixing @ inner(y, p),
        rhs=rhs,
        parameter_jacobian=lambda y, p: mixing * slope(y, p),
        y0=np.zeros(size),
        p=bias,
        p_scale=np.ones(size),
        weights=loss,
    )


def _reactor(condition: float) -> Equilibrium:
    """The feed is pure y1; the slowest mode is the renewal itself, the fastest about 1e4 / s."""
    rober = get_problem("rober")
    renewal, feed = 1e4 / condition, np.array([1.0, 0.0, 0.0])
    weights = np.array([1.0, 0.0, 0.0])

    def rhs(y: Any, p: Any, xp: Any) -> Any:
        return rober.rhs(0.0, y, p, xp) + renewal * (feed - y)

    y, derivatives = _reactor_by_hand(rober.p, renewal)
    return _finish(
        y,
        derivatives,
        lambda y, p: rober.jacobian(0.0, y, p) - renewal * np.eye(3),
        rhs=rhs,
        parameter_jacobian=lambda y, p: rober.parameter_jacobian(0.0, y, p),
        y0=feed,
        p=rober.p,
        p_scale=rober.p,
        weights=weights,
    )


def _reactor_by_hand(k: Array, renewal: float) -> tuple[Array, Array]:
    """The equilibrium and k dy1/dk: y3 = k2 u^2 / D with u = y2, and one equation for u.

    In k1 (1 - u - k2 u^2 / D) = k3 k2 u^3 / D + k2 u^2 + D u one side falls, the other one rises.
    """
    k1, k2, k3 = k.tolist()
    d = renewal

    def sides(u: float) -> tuple[float, float]:
        gap = k1 * (1 - u - k2 * u**2 / d) - (k3 * k2 * u**3 / d + k2 * u**2 + d * u)
        slope = k1 * (1 + 2 * k2 * u / d) + 3 * k3 * k2 * u**2 / d + 2 * k2 * u + d
        return gap, slope

    # The gap is concave where u > 0: from above, Newton's method falls monotonically.
    u = 1.0
    for _ in range(NEWTON_LIMIT):
        gap, slope = sides(u)
        u += gap / slope
    slope = sides(u)[1]
    y3 = k2 * u**2 / d
    y1 = (k3 * u * y3 + k2 * u**2 + d * u) / k1
    # The equation differentiated by log k, and y1 = 1 - u - y3.
    by_log = np.array([k1 * y1, -k1 * y3 - k3 * u * y3 - k2 * u**2, -k3 * u * y3]) / slope
    y3_by_log = np.array([0.0, y3, 0.0]) + 2 * k2 * u / d * by_log
    return np.array([y1, u, y3]), -by_log - y3_by_log
