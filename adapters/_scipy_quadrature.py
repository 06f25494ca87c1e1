"""Adaptive quadrature of a vector over given panels, all nodes of a panel in one call."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from adapters._interface import Array, SolverFailure

# Lobatto's rule with 4 nodes and its Kronrod extension to 7, exact to degrees 5 and 9
# (Gander & Gautschi 2000, BIT 40, 84).
_OUTER, _INNER = np.sqrt(2 / 3), np.sqrt(1 / 5)
NODES = np.array([-1.0, -_OUTER, -_INNER, 0.0, _INNER, _OUTER, 1.0])
LOBATTO = np.array([1.0, 0.0, 5.0, 0.0, 5.0, 0.0, 1.0]) / 6
KRONROD = np.array([77.0, 432.0, 625.0, 672.0, 625.0, 432.0, 77.0]) / 1470
RULES = np.array([KRONROD, KRONROD - LOBATTO])
# A difference of the rules this small, relative to the panel's integral, is rounding.
ROUNDING = 100 * float(np.finfo(np.float64).eps)
# Halving a panel this often leaves nothing of it in double precision.
MOST_HALVINGS = 50


def integrate(f: Callable[[Array], Array], edges: Array, atol: float) -> Array:
    """The integral of `f` from edges[0] to edges[-1], shape (m,), every component within `atol`.

    `f`: (k,) abscissae, increasing -> (k, m); smooth between neighbouring `edges`. Every panel gets
    an equal share of `atol` and is halved, with its share, until the two rules agree.

    Raises SolverFailure where they never do.
    """
    share = atol / (len(edges) - 1)
    pending = [(a, b, share, 0) for a, b in pairwise(edges)]
    total = 0.0
    while pending:
        a, b, share, halvings = pending.pop()
        middle, half = 0.5 * (a + b), 0.5 * (b - a)
        value, error = half * (RULES @ f(middle + half * NODES))
        worst = np.abs(error).max()
        if worst <= share or worst <= ROUNDING * np.abs(value).max():
            total = total + value
        elif halvings == MOST_HALVINGS or not np.isfinite(worst):
            raise SolverFailure(
                f"the parameter integral did not converge between s = {a:g} and {b:g}"
            )
        else:
            pending += [(a, middle, share / 2, halvings + 1), (middle, b, share / 2, halvings + 1)]
    return np.asarray(total)
