"""The array engine: a right-hand side as it was written, with pivoted LU from LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import lu_factor, lu_solve

from stiffgrad.jax._array_coupled import ArrayCoupled
from stiffgrad.jax._flatten import Traced

Loop = TypeVar("Loop", bound=Callable[..., Any])


class ArraySystem:
    """A right-hand side on whole vectors; see :class:`stiffgrad.jax._system.System`.

    Args:
        traced: the problem on flat vectors.
    """

    engine = "array"
    most_tangents: int | None = None

    @staticmethod
    def compiled(loop: Loop, written: int = 0) -> Loop:
        """LAPACK calls and dot products keep a loop from being one native function."""
        return loop

    def __init__(self, traced: Traced) -> None:
        self.traced = traced
        closed = traced.rhs
        _, y_aval, p_aval = closed.in_avals
        self.n, self.m = y_aval.shape[0], p_aval.shape[0]
        self.dtype = y_aval.dtype
        self.timed = _uses_first_argument(closed)
        self.mass = traced.mass
        self._f = _as_function(closed)
        given = traced.jacobian
        self._jacobian = jax.jacfwd(self._f, argnums=1) if given is None else _as_function(given)
        self._has_jacobian = given is not None
        self._vjp = None if traced.vjp is None else _as_function(traced.vjp)

    def rolled(self, y: jax.Array) -> bool:
        return True

    def rhs(self, t: jax.Array, y: jax.Array, p: jax.Array) -> jax.Array:
        return over_lanes(self._f, y)(t, y, p)

    def linearise(
        self, t: jax.Array, y: jax.Array, p: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        jacobian = over_lanes(self._jacobian, y)(t, y, p)
        return jacobian, over_lanes(self._f_t, y)(t, y, p) if self.timed else None

    def _f_t(self, t: jax.Array, y: jax.Array, p: jax.Array) -> jax.Array:
        return jax.jvp(lambda s: self._f(s, y, p), (t,), (jnp.ones_like(t),))[1]

    @property
    def mass_matrix(self) -> jax.Array:
        """M, the identity included."""
        return jnp.asarray(np.eye(self.n) if self.mass is None else self.mass, self.dtype)

    def factor(self, jacobian: jax.Array, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(j: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
            return lu_factor(d * self.mass_matrix - j)

        return over_lanes(one, jacobian, base=2)(jacobian, shift)

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return over_lanes(lambda lu, p, x: lu_solve((lu, p), x), b)(*factors, b)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return over_lanes(lambda lu, p, x: lu_solve((lu, p), x, trans=1), b)(*factors, b)

    def backward_error(
        self, jacobian: jax.Array, shift: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        pivots = jnp.diagonal(factors[0], axis1=0, axis2=1)
        singular = jnp.any(pivots == 0, axis=-1)
        return jnp.where(singular, jnp.inf, jnp.zeros_like(shift))

    def coupled(self, inverse: np.ndarray) -> ArrayCoupled:
        return ArrayCoupled(self.mass, inverse, self.n, self.dtype)

    def rhs_vjp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, v: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def one(t: jax.Array, y: jax.Array, p: jax.Array, v: jax.Array) -> Any:
            if self._vjp is not None:
                return tuple(jnp.split(self._vjp(t, y, p, v), [self.n]))
            return jax.vjp(lambda y, p: self._f(t, y, p), y, p)[1](v)

        return over_lanes(one, y)(t, y, p, v)

    def apply_mass(self, v: jax.Array) -> jax.Array:
        return v if self.mass is None else jnp.asarray(self.mass, self.dtype) @ v

    def apply_mass_transposed(self, v: jax.Array) -> jax.Array:
        return v if self.mass is None else jnp.asarray(self.mass.T, self.dtype) @ v

    def dense_jacobian(self, jacobian: jax.Array) -> jax.Array:
        return jacobian

    def rhs_jvp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, y_dot: jax.Array, p_dot: jax.Array
    ) -> jax.Array:
        def one(t: Any, y: Any, p: Any, y_dot: Any, p_dot: Any) -> jax.Array:
            return jax.jvp(lambda y, p: self._f(t, y, p), (y, p), (y_dot, p_dot))[1]

        return over_lanes(one, y)(t, y, p, y_dot, p_dot)

    def linearise_jvp(
        self, t: jax.Array, y: jax.Array, p: jax.Array, y_dot: jax.Array, p_dot: jax.Array
    ) -> tuple[Callable[[jax.Array], jax.Array], jax.Array | None]:
        def along(function: Callable[..., jax.Array], *args: jax.Array) -> jax.Array:
            def one(t: Any, y: Any, p: Any, y_dot: Any, p_dot: Any, *args: Any) -> jax.Array:
                moved = lambda y, p: function(t, y, p, *args)  # noqa: E731
                return jax.jvp(moved, (y, p), (y_dot, p_dot))[1]

            return over_lanes(one, y)(t, y, p, y_dot, p_dot, *args)

        f_t_dot = along(self._f_t) if self.timed else None
        return lambda u: along(lambda t, y, p, u: self._apply_jacobian(t, y, p, u[None])[0], u), (
            f_t_dot
        )

    def _apply_jacobian(self, t: jax.Array, y: jax.Array, p: jax.Array, u: jax.Array) -> jax.Array:
        """J applied to each row of u; directional derivatives are cheaper than the Jacobian."""
        if self._has_jacobian:
            return u @ self._jacobian(t, y, p).T
        _, along = jax.linearize(lambda x: self._f(t, x, p), y)
        return jax.vmap(along)(u)

    def linearise_vjp(
        self,
        t: jax.Array,
        y: jax.Array,
        p: jax.Array,
        u: jax.Array,
        v: jax.Array,
        w: jax.Array | None,
    ) -> tuple[jax.Array, jax.Array]:
        if w is None:
            w = jnp.zeros_like(y)
        return over_lanes(jax.grad(self._contraction, argnums=(1, 2)), y)(t, y, p, u, v, w)

    def _contraction(
        self,
        t: jax.Array,
        y: jax.Array,
        p: jax.Array,
        u: jax.Array,
        v: jax.Array,
        w: jax.Array,
    ) -> jax.Array:
        """`sum_i v_i^T J u_i + w^T f_t`."""
        total = jnp.sum(v * self._apply_jacobian(t, y, p, u))
        return total + jnp.sum(w * self._f_t(t, y, p)) if self.timed else total


def _as_function(closed: jex.ClosedJaxpr) -> Callable[..., jax.Array]:
    function = jex.jaxpr_as_fun(closed)
    return lambda *args: function(*args)[0]


def over_lanes(fun: Callable[..., Any], like: jax.Array, base: int = 1) -> Callable[..., Any]:
    """`fun` mapped over the trailing lane axis, where `like` has one beyond its `base` axes."""
    return jax.vmap(fun, in_axes=-1, out_axes=-1) if like.ndim > base else fun


def _uses_first_argument(closed: jex.ClosedJaxpr) -> bool:
    first = closed.jaxpr.invars[0]
    return any(first is atom for eqn in closed.jaxpr.eqns for atom in eqn.invars) or any(
        first is atom for atom in closed.jaxpr.outvars
    )
