"""The arguments of a solve, checked and brought to flat arrays."""

from __future__ import annotations

import difflib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stiffgrad.jax._flatten import Layout
from stiffgrad.jax._types import ArgumentError


def check_choice(what: str, given: Any, known: tuple[str, ...]) -> None:
    """Raise for a name that is not among those known."""
    if given in known:
        return
    near = difflib.get_close_matches(str(given), known, n=1, cutoff=0.0)
    raise ArgumentError(
        f"{what}={given!r} is not known; the nearest is {near[0]!r}, and all are: "
        f"{', '.join(known)}"
    )


def mass(given: Any, n: int) -> tuple[tuple[float, ...], ...] | None:
    """The mass matrix as nested tuples, which can be hashed; or None."""
    if given is None:
        return None
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(given)):
        raise ArgumentError("mass must be a constant matrix; it is traced here")
    try:
        matrix = np.asarray(given, float)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"mass must be a matrix of real numbers: {error}") from error
    if matrix.shape != (n, n) or not np.isfinite(matrix).all():
        raise ArgumentError(
            f"mass must be a finite matrix of shape {(n, n)}, not of shape {matrix.shape}"
        )
    return tuple(map(tuple, matrix.tolist()))


def times(t: Any, dtype: Any) -> jax.Array:
    """The times as a vector."""
    found = jnp.asarray(t, dtype)
    if found.ndim != 1 or not len(found):
        raise ArgumentError(f"t must be a vector of times, not an array of shape {found.shape}")
    if not isinstance(found, jax.core.Tracer):
        gaps = np.diff(np.asarray(found))
        if not (np.isfinite(found).all() and ((gaps > 0).all() or (gaps < 0).all())):
            raise ArgumentError(
                f"t must be finite and strictly monotonic in {dtype}; repeated times can be "
                "solved for once and indexed"
            )
    return found


def tolerance(name: str, value: Any, dtype: Any) -> jax.Array:
    """A tolerance as an array."""
    array = jnp.asarray(value, dtype)
    if not isinstance(array, jax.core.Tracer):
        if not (np.isfinite(array).all() and (np.asarray(array) >= 0).all()):
            raise ArgumentError(f"{name} must be finite and not negative, not {value!r}")
        if name == "rtol" and array.ndim:
            raise ArgumentError("rtol must be one number; tolerances by state belong in atol")
    return array


def absolute(atol: Any, y: Layout, dtype: Any) -> jax.Array:
    """Absolute tolerances, (n,)."""
    leaves, treedef = jax.tree.flatten(atol)
    if treedef != y.treedef or len(leaves) == 1:
        if len(leaves) != 1:
            raise ArgumentError(f"atol must be one number or a pytree like y0: {y.treedef}")
        leaves = leaves * len(y.avals)
    try:
        full = [
            jnp.broadcast_to(tolerance("atol", leaf, dtype), aval.shape)
            for leaf, aval in zip(leaves, y.avals, strict=True)
        ]
    except ValueError as error:
        raise ArgumentError(f"atol does not have the shapes of y0: {error}") from error
    return jnp.concatenate([jnp.ravel(leaf) for leaf in full])
