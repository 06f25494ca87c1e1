"""Dense output: polynomials in the part of a step that has passed."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def value(y: jax.Array, terms: jax.Array, theta: jax.Array) -> jax.Array:
    """`y + sum_k theta^(k+1) terms[k]`, by Horner's rule.

    Args:
        y: (n,), the state at the start of the step.
        terms: (degree, n).
        theta: a number, 0 at the start of the step and 1 at its end.
    """
    total = terms[-1]
    for k in reversed(range(len(terms) - 1)):
        total = terms[k] + theta * total
    return y + theta * total


def slope(terms: jax.Array, theta: jax.Array, h: jax.Array) -> jax.Array:
    """Its derivative with respect to time."""
    total = len(terms) * terms[-1]
    for k in reversed(range(len(terms) - 1)):
        total = (k + 1) * terms[k] + theta * total
    return total / h


def weights(degree: int, theta: jax.Array) -> jax.Array:
    """What each term counts for at theta, (degree,): the derivative of :func:`value` by terms."""
    return jnp.stack([theta ** (k + 1) for k in range(degree)])
