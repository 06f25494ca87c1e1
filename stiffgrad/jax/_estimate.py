"""The error estimates of Runge-Kutta methods, from their increments; see :class:`Butcher`."""

from __future__ import annotations

from typing import Any

import jax

from stiffgrad.jax._stacks import weighted
from stiffgrad.jax._system import System
from stiffgrad.jax.integrators import Butcher


def estimate(
    tableau: Butcher,
    system: System,
    t: jax.Array,
    h: jax.Array,
    y: jax.Array,
    p: Any,
    increments: jax.Array,
) -> jax.Array | None:
    """The estimate of a step from (t, y), (n, *lanes); None where the method has none.

    Args:
        tableau: of the method.
        system: the right-hand side.
        t, h, y, p: of the step.
        increments: (s, n, *lanes), h times the slopes of the stages.
    """
    if tableau.error is None:
        return None
    raw = weighted(tableau.error, increments)
    if not tableau.filter:
        return raw
    raw = system.apply_mass(raw) / h
    if tableau.start:
        raw = raw + tableau.start * system.rhs(t, y, p)
    return system.solve(_factors(tableau, system, t, h, y, p), raw / tableau.filter)


def push_estimate(
    tableau: Butcher,
    system: System,
    t: jax.Array,
    h: jax.Array,
    y: jax.Array,
    p: jax.Array,
    increments: jax.Array,
    y_dot: jax.Array,
    p_dot: jax.Array,
    increments_dot: jax.Array,
) -> jax.Array | None:
    """The derivative of :func:`estimate` along a tangent of y, p and the increments."""
    error = estimate(tableau, system, t, h, y, p, increments)
    if error is None or tableau.error is None:
        return None
    raw = weighted(tableau.error, increments_dot)
    if not tableau.filter:
        return raw
    raw = system.apply_mass(raw) / h
    if tableau.start:
        raw = raw + tableau.start * system.rhs_jvp(t, y, p, y_dot, p_dot)
    bend = system.linearise_jvp(t, y, p, y_dot, p_dot)[0]
    factors = _factors(tableau, system, t, h, y, p)
    return system.solve(factors, raw / tableau.filter + bend(error))


def _factors(
    tableau: Butcher, system: System, t: jax.Array, h: jax.Array, y: jax.Array, p: Any
) -> Any:
    return system.factor(system.linearise(t, y, p)[0], 1 / (h * tableau.filter))
