"""What an integrator on a system can do for a solve and its derivatives.

Vectors are `(n, *lanes)` as in :mod:`stiffgrad.jax._system`. What goes from step to step is the
*state*: y on its first n rows and, where a method remembers more than y (earlier values, a mode),
that behind it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax

from stiffgrad.jax._system import System


class Step(NamedTuple):
    """A step that was tried.

    Attributes:
        state: at its end, (n + memory, *lanes).
        error: the estimate of the local error of y, (n, *lanes); None without an estimate.
        terms: the dense output, `y(t + theta h) = y + sum_k theta^(k+1) terms[k]`, of shape
            (degree, n, *lanes); None for a method without one.
        failure: lanes, int32: SUCCESS, or the status that a solve ends with if no smaller step
            cures it.
        error_order: order of the solution that the estimate compares with.
    """

    state: jax.Array
    error: jax.Array | None
    terms: jax.Array | None
    failure: jax.Array
    error_order: int | jax.Array


class Tangent(NamedTuple):
    """The directional derivative of a :class:`Step`; fields as there."""

    state: jax.Array
    error: jax.Array | None
    terms: jax.Array | None


class Method(Protocol):
    """An integrator on a system.

    Derivatives hold t and h fixed; they are those of the step as it is computed, to rounding.

    Attributes:
        system: the right-hand side.
        order: of the solution.
        adaptive: whether its steps have an error estimate.
        memory: numbers that the state holds beyond y.
        dense_degree: degree of the dense output; 0 for none.
        lanes: whether it can step lanes side by side.
        rhs_per_step: evaluations of f in a step; None where its stages are iterated.
    """

    system: System
    order: int
    adaptive: bool
    memory: int
    dense_degree: int
    lanes: bool
    rhs_per_step: int | None

    def on(self, system: System) -> Method:
        """The same integrator on another system."""

    def begin(self, t: jax.Array, y: jax.Array) -> jax.Array:
        """The state to start from; what it holds beyond y has no derivative."""

    def step(self, t: jax.Array, h: jax.Array, state: jax.Array, p: jax.Array) -> Step:
        """The step of size h from (t, state)."""

    def pullback(
        self,
        t: jax.Array,
        h: jax.Array,
        state: jax.Array,
        p: jax.Array,
        out: jax.Array,
        terms_bar: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Cotangents of state and p for those of the step's end state and of its dense output."""

    def pushforward(
        self,
        t: jax.Array,
        h: jax.Array,
        state: jax.Array,
        p: jax.Array,
        state_dot: jax.Array,
        p_dot: jax.Array,
    ) -> Tangent:
        """The step's derivative along a tangent of state and p."""
