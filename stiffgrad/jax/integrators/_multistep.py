"""The coefficients of a linear multistep method on steps of any sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax

from stiffgrad.jax.integrators._butcher import Butcher

Weight = jax.Array | None


class Weights(NamedTuple):
    """The formula of one step: `M (y_new - base) = implicit f(t_new, y_new)`, where

        base = y + sum_j values_j (y_j - y) + sum_j slopes_j f(t_j, y_j)

    and the earlier points y_j are counted back from the start of the step. A weight of None is
    zero; without `implicit`, y_new is the base.

    Attributes:
        values: of the points before the start of the step.
        slopes: of the points from the start of the step on; empty for none at all.
        implicit: of the slope at the end of the step, or None.
    """

    values: Sequence[Weight]
    slopes: Sequence[Weight] = ()
    implicit: Weight = None


@dataclasses.dataclass(frozen=True, eq=False)
class LinearMultistep:
    """A linear multistep method.

    Attributes:
        name: the name by which `solve` knows it.
        source: where it was published.
        order: of the solution, on equal steps.
        points: how many points a step starts from, itself included.
        starter: the one-step method that makes the first of them.
        explicit: whether the formula needs no equation solved.
        weights: from the size of the step and the times since the earlier points to the formula.
    """

    name: str
    source: str
    order: int
    points: int
    starter: Butcher
    explicit: bool
    weights: Callable[[jax.Array, Sequence[jax.Array]], Weights]
