"""AB2: the explicit two-step Adams method, order 2; its first step is one of Heun's."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from stiffgrad.jax.integrators import heun
from stiffgrad.jax.integrators._multistep import LinearMultistep, Weights


def _weights(h: jax.Array, ages: Sequence[jax.Array]) -> Weights:
    half = h / ages[0] / 2
    return Weights(values=[None], slopes=[h * (1 + half), -h * half])


TABLEAU = LinearMultistep(
    name="ab2",
    source=(
        "F. Bashforth and J. C. Adams (1883); E. Hairer, S. P. Norsett and G. Wanner, Solving "
        "Ordinary Differential Equations I, eq. III.5.5 for variable steps"
    ),
    order=2,
    points=2,
    starter=heun.TABLEAU,
    explicit=True,
    weights=_weights,
)
