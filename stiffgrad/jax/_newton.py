"""Newton's iteration for the stages of implicit methods.

Every iterate has its own Jacobian. A stage must be solved to rounding, for its derivative is that
of the exact solution: the quadratic convergence that this buys takes three or four iterations
where a Jacobian kept for the whole step takes twice as many, lets the step be as long as the error
control allows, and is what large fixed steps need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax._system import System
from stiffgrad.jax._types import Status

_MOST_ITERATIONS = 20
# Backward errors above this many roundings mean that the elimination should have pivoted.
_LARGEST_BACKWARD_ERROR = 1e5
# A change that has stopped falling is rounding if it is below this many roundings of the state.
_ROUNDINGS = 1e3


class _Iterate(NamedTuple):
    tries: jax.Array
    point: jax.Array
    change: jax.Array
    converged: jax.Array
    going: jax.Array
    wrong: jax.Array


def iterate(
    correction: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    guess: jax.Array,
    scale: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The root that Newton's iteration reaches from a guess.

    Args:
        correction: from an iterate to its change and the backward error of the solve for that.
        guess: (..., *lanes).
        scale: lanes, the size of the state, to whose rounding the iteration may stagnate.

    Returns:
        The root, and a :class:`Status` for every lane.
    """
    axes = tuple(range(guess.ndim - scale.ndim))
    eps, tiny = (float(getattr(jnp.finfo(guess.dtype), x)) for x in ("eps", "tiny"))
    # The next change is about the square of the last one.
    small = eps**0.5 / 100

    def running(now: _Iterate) -> jax.Array:
        return (now.tries < _MOST_ITERATIONS) & jnp.any(now.going)

    def body(now: _Iterate) -> _Iterate:
        step, wrong = correction(now.point)
        point = now.point + step
        size = jnp.abs(point)
        change = jnp.max(jnp.abs(step) / jnp.maximum(size, tiny), axis=axes)
        largest = jnp.maximum(jnp.max(size, axis=axes), scale)
        at_rounding = jnp.max(jnp.abs(step), axis=axes) <= _ROUNDINGS * eps * largest
        stagnates = at_rounding & (change >= now.change / 2)
        converged = (change <= small) | stagnates
        going = ~converged & jnp.isfinite(change)
        return _Iterate(now.tries + 1, point, change, converged, going, wrong)

    lanes = scale.shape
    start = _Iterate(
        tries=jnp.zeros((), jnp.int32),
        point=guess,
        change=jnp.full(lanes, jnp.inf, guess.dtype),
        converged=jnp.zeros(lanes, bool),
        going=jnp.ones(lanes, bool),
        wrong=jnp.zeros(lanes, guess.dtype),
    )
    end = lax.while_loop(running, body, start)
    trusted = end.wrong <= _LARGEST_BACKWARD_ERROR * eps
    status = jnp.where(trusted, int(Status.SUCCESS), int(Status.SINGULAR))
    status = jnp.where(end.converged, status, int(Status.NOT_CONVERGED))
    return end.point, status.astype(jnp.int32)


def solve_stage(
    system: System,
    t: jax.Array,
    shift: jax.Array,
    base: jax.Array,
    p: Any,
    guess: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The solution Y of `shift M (Y - base) = f(t, Y)`, and a :class:`Status`.

    Y itself is the unknown, not its distance from the base: where stiffness makes Y a small
    difference from it, Y is still right to its own rounding.
    """

    def correction(point: jax.Array) -> tuple[jax.Array, jax.Array]:
        jacobian = system.linearise(t, point, p)[0]
        factors = system.factor(jacobian, shift)
        residual = system.rhs(t, point, p) - shift * system.apply_mass(point - base)
        step = system.solve(factors, residual)
        return step, system.backward_error(jacobian, shift, factors, step, residual)

    return iterate(correction, guess, jnp.max(jnp.abs(base), axis=0))
