"""BDF2 to BDF5: the slope of the interpolant of the last points, set equal to f at the last.

On steps of any sizes, by differentiating the Lagrange interpolant. BDF2 is L-stable; BDF3 to BDF5
are so in sectors around the negative real axis. BDF1 is backward Euler.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax

from stiffgrad.jax.integrators import radau3, radau5
from stiffgrad.jax.integrators._multistep import LinearMultistep, Weights


def _weights(h: jax.Array, ages: Sequence[jax.Array]) -> Weights:
    # Distances of the points from the end of the step, and the slope of each Lagrange polynomial
    # there over that of the last one.
    distances = [h, *(h + age for age in ages)]
    implicit = 1 / sum((1 / d for d in distances[1:]), start=1 / h)
    values = []
    for j in range(1, len(distances)):
        value = implicit / distances[j]
        for m, other in enumerate(distances):
            if m != j:
                value = value * other / (other - distances[j])
        values.append(value)
    return Weights(values=values, implicit=implicit)


TABLEAUS = tuple(
    LinearMultistep(
        name=f"bdf{order}",
        source=(
            "C. W. Gear, Numerical Initial Value Problems in Ordinary Differential Equations "
            "(1971), chapter 11; E. Hairer, S. P. Norsett and G. Wanner, Solving Ordinary "
            "Differential Equations I, section III.5, for variable steps"
        ),
        order=order,
        points=order,
        starter=radau3.TABLEAU if order <= 3 else radau5.TABLEAU,
        explicit=False,
        weights=_weights,
    )
    for order in range(2, 6)
)
