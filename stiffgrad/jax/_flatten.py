"""A user's problem in flat vectors: pytrees, other dtypes and closed-over values, in y and p."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from stiffgrad.jax._types import ArgumentError

Rhs = Callable[[Any, Any, Any], Any]


class Layout:
    """How a pytree of arrays lies in one vector.

    Args:
        tree: the pytree; leaves may be arrays, tracers or Python numbers.
        what: its name in error messages.
    """

    def __init__(self, tree: Any, what: str) -> None:
        leaves, treedef = jax.tree.flatten(tree)
        self.treedef: Any = treedef
        for leaf in leaves:
            if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, int, float)):
                raise ArgumentError(
                    f"{what} holds {type(leaf).__name__} {leaf!r}; its leaves must be real "
                    "arrays or numbers"
                )
        self.avals = [jax.eval_shape(jnp.asarray, leaf) for leaf in leaves]
        if any(np.issubdtype(a.dtype, np.complexfloating) for a in self.avals):
            raise ArgumentError(f"{what} holds complex numbers; split them into real parts")
        self.size = sum(math.prod(a.shape) for a in self.avals)

    @property
    def key(self) -> Any:
        """What two layouts must share to be the same."""
        return self.treedef, tuple((a.shape, a.dtype) for a in self.avals)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def ravel(self, tree: Any, dtype: Any) -> jax.Array:
        """The pytree as a vector."""
        leaves, treedef = jax.tree.flatten(tree)
        if treedef != self.treedef:
            raise ArgumentError(f"expected the structure {self.treedef}, found {treedef}")
        flat = [jnp.ravel(jnp.asarray(leaf)).astype(dtype) for leaf in leaves]
        return jnp.concatenate([*flat, jnp.zeros(0, dtype)])

    def unravel(self, vector: jax.Array, keep_dtype: bool = True) -> Any:
        """The pytree of a vector; leading axes but the last are kept."""
        leaves, start = [], 0
        for aval in self.avals:
            stop = start + math.prod(aval.shape)
            part = jax.lax.slice_in_dim(vector, start, stop, axis=-1)
            leaf = part.reshape(*vector.shape[:-1], *aval.shape)
            leaves.append(leaf.astype(aval.dtype) if keep_dtype else leaf)
            start = stop
        return jax.tree.unflatten(self.treedef, leaves)


@dataclasses.dataclass(frozen=True)
class User:
    """What a user says about the problem.

    Attributes:
        rhs: `(t, y, p) -> dy`, like y.
        jacobian: `(t, y, p) -> (n, n)`, rows and columns in the order of y's leaves; or None.
        vjp: `(t, y, p, v) -> (v^T f_y, v^T f_p)`, like y and p; or None.
        mass: M of `M y' = f`, as nested tuples so that it can be hashed; or None.
    """

    rhs: Rhs
    jacobian: Callable[..., Any] | None = None
    vjp: Callable[..., Any] | None = None
    mass: tuple[tuple[float, ...], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Traced:
    """A problem on flat vectors, y of shape (n,) and p (m,).

    Attributes:
        rhs: `(t, y, p) -> ((n,),)`.
        jacobian: `(t, y, p) -> ((n, n),)`, or None.
        vjp: `(t, y, p, v) -> ((n + m,),)`, or None.
        mass: (n, n), or None for the identity.
    """

    rhs: jex.ClosedJaxpr
    jacobian: jex.ClosedJaxpr | None = None
    vjp: jex.ClosedJaxpr | None = None
    mass: np.ndarray | None = None


def trace(user: User, y: Layout, p: Layout, dtype: Any) -> tuple[Traced, list[Any]]:
    """The problem on flat vectors, and the traced values that the right-hand side closes over.

    Those values are appended to p, so that derivatives with respect to them are not lost.

    Raises:
        ArgumentError: if a function does not return what it should.
    """
    closed, hoisted = _trace_rhs(user.rhs, y, p, dtype)
    if hoisted and (user.jacobian or user.vjp):
        raise ArgumentError(
            "rhs closes over traced values, which jacobian= and vjp= do not account for. Pass "
            "those values in p, or leave jacobian and vjp out"
        )
    jacobian = None if user.jacobian is None else _trace_jacobian(user.jacobian, y, p, dtype)
    vjp = None if user.vjp is None else _trace_vjp(user.vjp, y, p, dtype)
    mass = None if user.mass is None else np.asarray(user.mass)
    return Traced(closed, jacobian, vjp, mass), hoisted


def _trace_jacobian(
    jacobian: Callable[..., Any], y: Layout, p: Layout, dtype: Any
) -> jex.ClosedJaxpr:
    def flat(t: jax.Array, yv: jax.Array, pv: jax.Array) -> jax.Array:
        returned = jacobian(t, y.unravel(yv, keep_dtype=False), p.unravel(pv))
        try:
            found = jnp.asarray(returned, dtype)
        except (TypeError, ValueError) as error:
            raise ArgumentError(f"jacobian(t, y, p) must return a matrix: {error}") from error
        if found.shape != (y.size, y.size):
            raise ArgumentError(
                f"jacobian(t, y, p) must return a matrix of shape {(y.size, y.size)}, rows and "
                f"columns in the order of y0's leaves; found {found.shape}"
            )
        return found

    return _alone("jacobian", _make(flat, dtype, y.size, p.size))


def _trace_vjp(vjp: Callable[..., Any], y: Layout, p: Layout, dtype: Any) -> jex.ClosedJaxpr:
    def flat(t: jax.Array, yv: jax.Array, pv: jax.Array, v: jax.Array) -> jax.Array:
        state, along = (y.unravel(x, keep_dtype=False) for x in (yv, v))
        returned = vjp(t, state, p.unravel(pv), along)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ArgumentError(
                "vjp(t, y, p, v) must return the pair (v^T rhs_y, v^T rhs_p); found "
                f"{type(returned).__name__}"
            )
        parts = zip(("y0", "p"), (y, p), returned, strict=True)
        return jnp.concatenate([_like(name, layout, bar, dtype) for name, layout, bar in parts])

    return _alone("vjp", _make(flat, dtype, y.size, p.size, y.size))


def _like(name: str, layout: Layout, bar: Any, dtype: Any) -> jax.Array:
    """A cotangent as a vector, checked to be like what it is the cotangent of."""
    leaves, treedef = jax.tree.flatten(bar)
    shapes, expected = [jnp.shape(leaf) for leaf in leaves], [a.shape for a in layout.avals]
    if treedef != layout.treedef or shapes != expected:
        raise ArgumentError(
            f"vjp(t, y, p, v) must return v^T rhs_y and v^T rhs_p like y0 and p: for {name} "
            f"expected {layout.treedef} with shapes {expected}, found {treedef} with {shapes}"
        )
    return layout.ravel(bar, dtype)


def _alone(name: str, closed: jex.ClosedJaxpr) -> jex.ClosedJaxpr:
    """A function that closes over no traced value, whose derivatives would be lost."""
    if any(isinstance(c, jax.core.Tracer) for c in closed.consts):
        raise ArgumentError(f"{name} closes over traced values. Pass them in p")
    return closed


def _trace_rhs(rhs: Rhs, y: Layout, p: Layout, dtype: Any) -> tuple[jex.ClosedJaxpr, list[Any]]:

    def flat(t: jax.Array, yv: jax.Array, pv: jax.Array) -> jax.Array:
        state = y.unravel(yv, keep_dtype=False)
        slope = rhs(t, state, p.unravel(pv))
        expected = [a.shape for a in y.avals]
        leaves, treedef = jax.tree.flatten(slope)
        shapes = [jnp.shape(leaf) for leaf in leaves]
        if treedef != y.treedef or shapes != expected:
            raise ArgumentError(
                "rhs(t, y, p) must return the structure and shapes of y0: expected "
                f"{y.treedef} with shapes {expected}, found {treedef} with {shapes}"
            )
        return y.ravel(slope, dtype)

    closed = _make(flat, dtype, y.size, p.size)
    hoisted = [c for c in closed.consts if isinstance(c, jax.core.Tracer)]
    if not hoisted:
        return closed, []
    extra = Layout(hoisted, "a value that rhs closes over")

    def lifted(t: jax.Array, yv: jax.Array, pv: jax.Array) -> jax.Array:
        values = iter(extra.unravel(jax.lax.slice_in_dim(pv, p.size, p.size + extra.size)))
        consts = [next(values) if isinstance(c, jax.core.Tracer) else c for c in closed.consts]
        own = jax.lax.slice_in_dim(pv, 0, p.size)
        return jex.jaxpr_as_fun(jex.ClosedJaxpr(closed.jaxpr, consts))(t, yv, own)[0]

    return _make(lifted, dtype, y.size, p.size + extra.size), hoisted


def _make(fun: Callable[..., Any], dtype: Any, *sizes: int) -> jex.ClosedJaxpr:
    shapes = ((), *((size,) for size in sizes))
    return jax.make_jaxpr(fun)(*(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes))
