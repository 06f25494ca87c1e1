"""The strategies: how the derivative of a solve is obtained.

Each is a class built on a plan of the forward pass; see :class:`Reverse` and :class:`Forward`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax

from stiffgrad.jax._forward import Inputs, Outcome, Plan
from stiffgrad.jax.strategies.backsolve import Backsolve, BacksolveCheckpointed
from stiffgrad.jax.strategies.discrete import Discrete
from stiffgrad.jax.strategies.forward import ContinuousForward
from stiffgrad.jax.strategies.forward_discrete import ForwardDiscrete
from stiffgrad.jax.strategies.gauss import Gauss
from stiffgrad.jax.strategies.imex import Imex
from stiffgrad.jax.strategies.interpolating import Interpolating
from stiffgrad.jax.strategies.quadrature import Quadrature


class Reverse(Protocol):
    """A strategy that pulls cotangents back.

    Attributes:
        plan: the forward pass that it differentiates.
        lanes: whether it takes trajectories side by side; else a map runs them one by one.
    """

    plan: Plan
    lanes: bool

    def blank(self, inputs: Inputs) -> Any:
        """Room for a record."""

    def record(self, inputs: Inputs, room: Any) -> tuple[Outcome, Any]:
        """The forward pass, and what the pullback needs of it."""

    def pullback(
        self, inputs: Inputs, outcome: Outcome, record: Any, ys_bar: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Cotangents of y0 and p, and the status of the pass that computed them."""

    def push(self, inputs: Inputs, y0_dot: jax.Array, p_dot: jax.Array) -> jax.Array:
        """Tangents of the states at the times, of which the pullback is the transpose.

        y0_dot is (k, n), p_dot (k, m), the result (k, T, n).

        Raises:
            ArgumentError: if the strategy has none.
        """


class Forward(Protocol):
    """A strategy that carries sensitivities along with the states."""

    def sensitivities(self, inputs: Inputs) -> tuple[Outcome, jax.Array]:
        """The forward pass, and the derivative of the states at the times, (T, n, n + m)."""


REVERSE: dict[str, Callable[[Plan], Reverse]] = {
    "discrete": Discrete,
    "gauss": Gauss,
    "quadrature": Quadrature,
    "imex": Imex,
}
#: Those that take the parameters in chunks, if asked to.
CHUNKED: dict[str, Callable[[Plan, int | None], Reverse]] = {
    "interpolating": Interpolating,
    "backsolve": Backsolve,
    "backsolve-checkpointed": BacksolveCheckpointed,
}
FORWARD: dict[str, Callable[[Plan, int | None], Forward]] = {
    "forward": ContinuousForward,
    "forward-discrete": ForwardDiscrete,
}
