"""Whether a problem with a singular mass matrix can start from a state.

With N spanning the left null space of M and V its right one, `M y' = f` contains the algebraic
equations `N f = 0`, which determine the part of y in V where `N f_y V` is not singular: index 1
(Hairer and Wanner, Solving Ordinary Differential Equations II, section VI.1).
"""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from stiffgrad.jax._system import System
from stiffgrad.jax._types import Status

# The algebraic equations of a state at which another solve ended are off by about its tolerance.
_SLACK = 10.0
_ROUNDINGS = 100.0


@lru_cache(maxsize=64)
def _null_spaces(mass: tuple[tuple[float, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Bases of the left and the right null space, rows each; equations of any units count alike."""
    matrix = np.asarray(mass)
    size = np.max(np.abs(matrix), axis=1)
    scale = 1 / np.where(size > 0, size, 1)
    left, weights, right = np.linalg.svd(scale[:, None] * matrix)
    rank = int(np.sum(weights > len(matrix) * np.finfo(float).eps * max(weights[0], 1e-300)))
    return left.T[rank:] * scale, right[rank:]


def null_spaces(system: System) -> tuple[np.ndarray, np.ndarray]:
    """Bases of M's left and right null space, (k, n) each; k is 0 where M is not singular."""
    if system.mass is None:
        return np.zeros((0, system.n)), np.zeros((0, system.n))
    return _null_spaces(tuple(map(tuple, np.asarray(system.mass).tolist())))


def start_status(
    system: System, t: jax.Array, y: jax.Array, p: jax.Array, rtol: jax.Array, atol: jax.Array
) -> jax.Array:
    """SUCCESS, INCONSISTENT or HIGHER_INDEX, of shape lanes; y is (n, *lanes)."""
    algebraic, free = null_spaces(system)
    if not len(algebraic):
        return jnp.full(y.shape[1:], int(Status.SUCCESS), jnp.int32)
    residual, allowed, jacobian = residuals(system, t, y, p, rtol, atol)
    inner = jnp.einsum("kj...,lj->...kl", jacobian, jnp.asarray(free, y.dtype))
    status = jnp.where(
        jnp.any(jnp.abs(residual) > allowed, axis=0),
        int(Status.INCONSISTENT),
        int(Status.SUCCESS),
    )
    return jnp.where(_singular(inner), int(Status.HIGHER_INDEX), status).astype(jnp.int32)


def residuals(
    system: System, t: jax.Array, y: jax.Array, p: jax.Array, rtol: jax.Array, atol: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`N f`, how large its parts may be, both (k, *lanes), and `N f_y`, (k, n, *lanes).

    Allowed is what a change of the states within their tolerances can make.
    """
    algebraic = jnp.asarray(null_spaces(system)[0], y.dtype)
    jacobian = system.dense_jacobian(system.linearise(t, y, p)[0])
    across = jnp.einsum("ki,ij...->kj...", algebraic, jacobian)
    rounding = _ROUNDINGS * float(jnp.finfo(y.dtype).eps)
    tolerance = _SLACK * (atol + rtol * jnp.abs(y)) + rounding * jnp.abs(y)
    allowed = jnp.sum(jnp.abs(across) * tolerance, axis=1)
    return jnp.einsum("ki,i...->k...", algebraic, system.rhs(t, y, p)), allowed, across


def _singular(matrix: jax.Array) -> jax.Array:
    """Whether matrices (*lanes, k, k) are singular to rounding, whatever their units."""
    for axis in (-1, -2):
        size = jnp.max(jnp.abs(matrix), axis=axis, keepdims=True)
        matrix = matrix / jnp.where(size > 0, size, 1)
    finite = jnp.all(jnp.isfinite(matrix), axis=(-1, -2))
    matrix = jnp.where(
        finite[..., None, None], matrix, jnp.eye(matrix.shape[-1], dtype=matrix.dtype)
    )
    values = jnp.linalg.svd(matrix, compute_uv=False)
    eps = float(jnp.finfo(matrix.dtype).eps)
    return values[..., -1] <= _ROUNDINGS * eps * jnp.maximum(values[..., 0], 1)


def consistent_tangents(
    system: System, t: jax.Array, y: jax.Array, p: jax.Array, y_dot: jax.Array, p_dot: jax.Array
) -> jax.Array:
    """Tangents of a single state, (k, n), along which the algebraic equations stay satisfied.

    Changed in M's null space alone: the algebraic states follow the others and p.
    """
    algebraic, free = (jnp.asarray(x, y.dtype) for x in null_spaces(system))
    if not len(algebraic):
        return y_dot
    moved = jax.vmap(lambda y_dot, p_dot: system.rhs_jvp(t, y, p, y_dot, p_dot))(y_dot, p_dot)
    inner = algebraic @ system.dense_jacobian(system.linearise(t, y, p)[0]) @ free.T
    return y_dot - jnp.linalg.solve(inner, algebraic @ moved.T).T @ free


def describe(
    system: System, t: jax.Array, y: jax.Array, p: jax.Array, rtol: jax.Array, atol: jax.Array
) -> str:
    """Which algebraic equation of a single state is off, and by how much."""
    residual, allowed, _ = (np.asarray(x) for x in residuals(system, t, y, p, rtol, atol))
    worst = int(np.argmax(np.abs(residual) / np.maximum(allowed, 1e-300)))
    row = int(np.argmax(np.abs(null_spaces(system)[0][worst])))
    return (
        f"Equation {row}, counted from 0 in the order of y0's leaves, is algebraic and has the "
        f"residual {residual[worst]:.3g}, where {allowed[worst]:.1e} is allowed."
    )
