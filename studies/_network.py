"""A stiff problem whose states and parameters can be many or few independently: a wide network.

y' = W2 tanh(W1 y) - Lambda y on (0, 1), y(0) = 1, with rates in Lambda from 1 to 10^4 and the loss
the sum of squares of the states at two times. The width of the single hidden layer sets the number
of parameters, 2 k w; the weights are scaled so that the solution, and so the number of steps,
hardly depends on either.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from studies._cost import Gradient

SEED = 20261121
RTOL, ATOL = 1e-5, 1e-8
MAX_STEPS = 1024
TIMES = (0.0, 0.5, 1.0)
SLOWEST, FASTEST = 1.0, 1e4


@dataclass(frozen=True)
class Network:
    """The problem with k states and w hidden units."""

    states: int
    width: int

    @property
    def parameters(self) -> int:
        return 2 * self.states * self.width

    def weights(self) -> np.ndarray[Any, Any]:
        """All of them as one vector, W1 row by row and then W2; normal."""
        draw = np.random.default_rng(SEED)
        first = draw.normal(size=(self.width, self.states)) / np.sqrt(self.states)
        second = draw.normal(size=(self.states, self.width)) / np.sqrt(self.width)
        return np.concatenate([first.ravel(), second.ravel()])

    def rhs(self, t: float, y: Any, p: Any) -> Any:
        """For y of shape (k,) and p of shape (2 k w,)."""
        import jax.numpy as jnp

        half = self.states * self.width
        first = p[:half].reshape(self.width, self.states)
        second = p[half:].reshape(self.states, self.width)
        rates = np.geomspace(SLOWEST, FASTEST, self.states)
        return second @ jnp.tanh(first @ y) - rates * y


def by_all(network: Network, **options: Any) -> Gradient:
    """The loss with its gradient by all weights; `options` are solve's."""
    import jax

    loss = partial(_loss, network.rhs, np.ones(network.states), **options)
    return jax.value_and_grad(loss, has_aux=True)


def by_part(network: Network, part: int, **options: Any) -> Gradient:
    """The same by the first `part` weights, given alone; the others are constants."""
    import jax
    import jax.numpy as jnp

    rest = network.weights()[part:]

    def rhs(t: float, y: Any, p: Any) -> Any:
        return network.rhs(t, y, jnp.concatenate([p, rest]))

    loss = partial(_loss, rhs, np.ones(network.states), **options)
    return jax.value_and_grad(loss, has_aux=True)


def unstructured(network: Network, part: int, **options: Any) -> Gradient:
    """The same by the first `part` of all weights, the sensitivities being plain states.

    The solver is given y and S = dy/dp as one system of k (1 + part) states, and factorises it all.
    """
    import jax
    import jax.numpy as jnp

    k, directions = network.states, np.eye(part, network.parameters)

    def rhs(t: float, z: Any, p: Any) -> Any:
        y, sensitivities = z[:k], z[k:].reshape(part, k)

        def along(s: Any, direction: Any) -> Any:
            return jax.jvp(lambda y, p: network.rhs(t, y, p), (y, p), (s, direction))

        slope, rates = jax.vmap(along, out_axes=(None, 0))(sensitivities, directions)
        return jnp.concatenate([slope, rates.ravel()])

    def gradient(p: Any) -> Any:
        start = np.concatenate([np.ones(k), np.zeros(k * part)])
        found, outcome = _solved(rhs, start, p, **options)
        ys, sensitivities = found[1:, :k], found[1:, k:].reshape(-1, part, k)
        return (jnp.sum(ys**2), outcome), jnp.einsum("tk,tlk->l", 2 * ys, sensitivities)

    return gradient


def _loss(rhs: Any, y0: Any, p: Any, **options: Any) -> tuple[Any, Any]:
    import jax.numpy as jnp

    ys, outcome = _solved(rhs, y0, p, **options)
    return jnp.sum(ys[1:] ** 2), outcome


def _solved(rhs: Any, y0: Any, p: Any, **options: Any) -> tuple[Any, Any]:
    """The states at the times, and (status, accepted steps)."""
    from stiffgrad.jax import solve

    fixed = {"rtol": RTOL, "atol": ATOL, "max_steps": MAX_STEPS, "engine": "array"}
    found = solve(rhs, y0, np.array(TIMES), p, **{**fixed, **options})
    return found.ys, (found.status, found.stats.accepted)
