"""The Brusselator with diffusion on a square grid, its parameters one set a cell.

du/dt = B + u^2 v - (A + 1) u + alpha_u lap(u) + f, dv/dt = A u - u^2 v + alpha_v lap(v) on N x N
cells of the unit square, periodic: 2 N^2 states and 4 N^2 parameters A, B, alpha_u, alpha_v. The
problem by whose size Ma, Dixit, Innes, Guo and Rackauckas (HPEC 2021, arXiv 1812.01892) compare
forward with adjoint methods, with their tolerances, times and loss; f, switched on at t = 1.1, is
never seen before t = 1.
"""

from functools import partial
from typing import Any

import numpy as np

from studies._cost import gradient_cost
from studies._journal import Row

RTOL, ATOL = 1e-7, 1e-5
TIMES = np.linspace(0.0, 1.0, 11)
A, B, ALPHA = 3.4, 1.0, 10.0
MAX_STEPS = 1024


def sizes(n: int) -> tuple[int, int]:
    """Numbers of states and of parameters for n cells a side."""
    return 2 * n**2, 4 * n**2


def initial(n: int) -> np.ndarray[Any, Any]:
    """u = 22 (y (1 - y))^1.5, v = 27 (x (1 - x))^1.5, shape (2 n^2,)."""
    place = np.linspace(0.0, 1.0, n)
    bump = (place * (1 - place)) ** 1.5
    u = np.broadcast_to(22 * bump, (n, n))
    v = np.broadcast_to(27 * bump[:, None], (n, n))
    return np.stack([u, v]).ravel()


def parameters(n: int) -> np.ndarray[Any, Any]:
    """Shape (4 n^2,); alpha in units of a cell's side."""
    alpha = ALPHA * (n - 1) ** 2
    return np.repeat([A, B, alpha, alpha], n**2)


def rhs(n: int, t: float, y: Any, p: Any) -> Any:
    """For y of shape (2 n^2,) and p of shape (4 n^2,)."""
    import jax.numpy as jnp

    u, v = y.reshape(2, n, n)
    a, b, alpha_u, alpha_v = p.reshape(4, n, n)

    def spread(x: Any) -> Any:
        around = [jnp.roll(x, shift, axis) for axis in (0, 1) for shift in (1, -1)]
        return sum(around) - 4 * x

    made = u**2 * v
    slope_u = b + made - (a + 1) * u + alpha_u * spread(u)
    slope_v = a * u - made + alpha_v * spread(v)
    return jnp.stack([slope_u, slope_v]).ravel()


def cost(n: int, seconds: float, adjoint: str) -> Row:
    """Cost of the gradient by all parameters of sum (1 - y)^2 / 2 over states and times."""
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    tolerance: dict[str, Any] = {
        "rtol": RTOL,
        "atol": ATOL,
        "max_steps": MAX_STEPS,
        "engine": "array",
    }
    slope = partial(rhs, n)

    def loss(p: Any) -> tuple[Any, Any]:
        found = solve(slope, initial(n), TIMES, p, adjoint=adjoint, **tolerance)
        outcome = found.status, found.stats.accepted
        return jnp.sum((1 - found.ys[1:]) ** 2) / 2, outcome

    return gradient_cost(jax.value_and_grad(loss, has_aux=True), seconds, parameters(n))
