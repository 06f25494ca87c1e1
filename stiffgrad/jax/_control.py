"""Step-size control: one accept-or-reject decision and the size to try next."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from stiffgrad.jax._types import Status

# Usual choices (Hairer and Wanner, section IV.8); results hardly depend on them.
_SAFETY = 0.9
_SMALLEST_FACTOR = 0.2
_LARGEST_FACTOR = 6.0
_AFTER_FAILURE = 0.25
# A step this close to the next observation is stretched onto it.
_STRETCH = 1e-3


class Tried(NamedTuple):
    """A step that was tried; every field has the shape of the lanes.

    Attributes:
        size: of the step tried, unsigned.
        proposed: size wanted before an observation cut it.
        hit: whether the step ends on an observation.
        after_rejection: whether the step before was rejected, after which steps do not grow.
        error: norm of the error over the tolerance.
        finite: whether the new state and its error are finite.
        failure: the :class:`Status` that the step itself reports.
    """

    size: jax.Array
    proposed: jax.Array
    hit: jax.Array
    after_rejection: jax.Array
    error: jax.Array
    finite: jax.Array
    failure: jax.Array


class Decision(NamedTuple):
    """What follows from a tried step.

    Attributes:
        accept: whether to take it.
        size: what to try next, unsigned.
        trouble: the :class:`Status` to end with if that is too small; SUCCESS for a step taken.
    """

    accept: jax.Array
    size: jax.Array
    trouble: jax.Array


def initial_size(
    y: jax.Array, slope: jax.Array, first_interval: jax.Array, rtol: jax.Array, atol: jax.Array
) -> jax.Array:
    """First step size, from the size of the state and of its slope.

    Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.4, the first
    two of its steps; the error control corrects what they get wrong.
    """
    scale = atol + rtol * jnp.abs(y)
    state, speed = norm(y / scale), norm(slope / scale)
    guess = 0.01 * state / jnp.where(speed > 0, speed, 1)
    usable = jnp.isfinite(guess) & (guess > 0) & (speed > 0)
    longest = jnp.abs(first_interval)
    return jnp.where(usable, jnp.minimum(guess, longest), 1e-3 * longest)


def next_used(proposed: jax.Array, remaining: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Signed step to take towards a time `remaining` away, and whether it arrives there."""
    hit = proposed >= (1 - _STRETCH) * jnp.abs(remaining)
    return jnp.where(hit, remaining, jnp.sign(remaining) * proposed), hit


def decide(tried: Tried, error_order: int | jax.Array) -> Decision:
    """Accept a step whose scaled error is at most 1, and choose the size of the next."""
    good = tried.finite & (tried.failure == Status.SUCCESS)
    accept = good & (tried.error <= 1)
    ideal = _SAFETY * jnp.where(good, tried.error, 1) ** (-1 / (error_order + 1))
    factor = jnp.clip(ideal, _SMALLEST_FACTOR, _LARGEST_FACTOR)
    factor = jnp.where(tried.after_rejection, jnp.minimum(factor, 1), factor)
    size = tried.size * jnp.where(good, factor, _AFTER_FAILURE)
    # A step cut short by an observation says nothing against the longer one that was wanted.
    size = jnp.where(accept & tried.hit, jnp.maximum(size, tried.proposed), size)
    return Decision(accept, size, _trouble(tried, accept))


def decide_fixed(tried: Tried) -> Decision:
    """Accept every step that could be computed; no smaller one is tried after another."""
    accept = tried.finite & (tried.failure == Status.SUCCESS)
    return Decision(accept, jnp.where(accept, tried.proposed, 0), _trouble(tried, accept))


def _trouble(tried: Tried, accept: jax.Array) -> jax.Array:
    of_error = jnp.where(tried.failure == Status.SUCCESS, int(Status.STEP_TOO_SMALL), tried.failure)
    trouble = jnp.where(tried.finite, of_error, int(Status.NON_FINITE))
    return jnp.where(accept, int(Status.SUCCESS), trouble).astype(jnp.int32)


def norm(x: jax.Array) -> jax.Array:
    """Root mean square over the components, the first axis."""
    return jnp.sqrt(jnp.mean(x * x, axis=0))


def too_small(size: jax.Array, t: jax.Array, span: jax.Array) -> jax.Array:
    """Whether a step of this size is lost in the rounding of the time."""
    eps = jnp.finfo(size.dtype).eps
    return size <= jnp.maximum(4 * eps * jnp.abs(t), eps * eps * jnp.abs(span))
