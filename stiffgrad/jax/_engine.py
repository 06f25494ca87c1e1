"""Choosing the engine that computes a right-hand side."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.extend.core as jex

from stiffgrad.jax._array_system import ArraySystem
from stiffgrad.jax._flatten import Traced
from stiffgrad.jax._inline_system import InlineSystem, reason_against
from stiffgrad.jax._scalar_system import ScalarSystem
from stiffgrad.jax._scalarise import NotScalar
from stiffgrad.jax._system import System
from stiffgrad.jax._types import ArgumentError

ENGINES = ("auto", "scalar", "inline", "array")

# Beyond these the scalar engine compiles for longer than its steps are worth: compile time grows
# by about 3 ms per operation, and dense eliminations are LAPACK's from some 25 states on.
_MOST_STATES = 100
_MOST_OPERATIONS = 8000
# Beyond these the inline engine's loops are slower than LAPACK and dot products.
_MOST_INLINE_STATES = 16


def choose(traced: Traced, wanted: str) -> tuple[System, str]:
    """The system for a traced problem, and why that engine.

    Args:
        traced: the problem on flat vectors.
        wanted: one of :data:`ENGINES`.

    Raises:
        ArgumentError: if the scalar engine was asked for and cannot be had.
    """
    if wanted == "array":
        return ArraySystem(traced), "asked for"
    if wanted == "inline":
        return _inline(traced), "asked for"
    if wanted == "auto":
        against = _reason_against_scalar(traced.rhs)
        if against:
            return _on_vectors(traced, against)
    try:
        system = ScalarSystem(traced)
    except NotScalar as error:
        if wanted == "scalar":
            raise ArgumentError(
                f'engine="scalar": the right-hand side uses {error}, which has no form in static '
                'scalar arithmetic. Use engine="array" or "auto"'
            ) from error
        return _on_vectors(traced, f"the right-hand side uses {error}")
    if wanted == "scalar":
        return system, "asked for"
    against = too_long(system)
    if against:
        return _on_vectors(traced, against)
    return system, f"{system.n} states, {system.operations} scalar operations"


def too_long(system: System) -> str:
    """Why a system's scalar programs are more than should be compiled; empty where they are not.

    Those of coupled stages are there once a method has been made of the system.
    """
    if isinstance(system, ScalarSystem) and system.operations > _MOST_OPERATIONS:
        return f"{system.operations} scalar operations, too many to compile"
    return ""


def _on_vectors(traced: Traced, against_scalar: str) -> tuple[System, str]:
    """The inline engine where it can and pays, else the array engine."""
    n = traced.rhs.in_avals[1].shape[0]
    small = n <= _MOST_INLINE_STATES
    if jax.default_backend() == "cpu" and small and not reason_against(traced):
        return InlineSystem(traced), against_scalar
    return ArraySystem(traced), against_scalar


def _reason_against_scalar(closed: jex.ClosedJaxpr) -> str:
    n = closed.in_avals[1].shape[0]
    if jax.default_backend() != "cpu":
        return f"the backend is {jax.default_backend()}"
    if n > _MOST_STATES:
        return f"{n} states"
    elements = _count_elements(closed.jaxpr)
    if elements > _MOST_OPERATIONS:
        return f"{elements} scalar operations in the right-hand side, too many to compile"
    return ""


def _count_elements(jaxpr: Any) -> int:
    total = 0
    for eqn in jaxpr.eqns:
        inner = list(jex.jaxprs_in_params(eqn.params))
        if inner:
            total += sum(_count_elements(sub) for sub in inner)
        else:
            total += sum(math.prod(v.aval.shape) for v in eqn.outvars) * _inner_size(eqn)
    return total


def _inner_size(eqn: Any) -> int:
    if eqn.primitive.name != "dot_general":
        return 1
    (summed, _), _ = eqn.params["dimension_numbers"]
    return math.prod(eqn.invars[0].aval.shape[d] for d in summed)


def _inline(traced: Traced) -> InlineSystem:
    against = reason_against(traced)
    if against:
        raise ArgumentError(
            f'engine="inline": {against}, which a loop of one function cannot hold. Use '
            'engine="array" or "auto"'
        )
    return InlineSystem(traced)
