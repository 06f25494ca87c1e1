"""Leapfrog: the explicit midpoint rule across two steps, order 2 on equal ones.

Its first step is one of Euler's. The gradients of its layers oscillate and do not converge, though
those of parameters of the whole solution do.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from stiffgrad.jax.integrators import euler
from stiffgrad.jax.integrators._multistep import LinearMultistep, Weights


def _weights(h: jax.Array, ages: Sequence[jax.Array]) -> Weights:
    return Weights(values=[jnp.ones_like(h)], slopes=[h + ages[0], None])


TABLEAU = LinearMultistep(
    name="leapfrog",
    source=(
        "E. Hairer, S. P. Norsett and G. Wanner, Solving Ordinary Differential Equations I, "
        "eq. III.1.13'"
    ),
    order=2,
    points=2,
    starter=euler.TABLEAU,
    explicit=True,
    weights=_weights,
)
