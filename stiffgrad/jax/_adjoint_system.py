"""The adjoint equation of a system along a recorded solution, as a system itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax

from stiffgrad.jax._forward import Plan
from stiffgrad.jax._path import Path
from stiffgrad.jax._system import System

Loop = TypeVar("Loop", bound=Callable[..., Any])


class Along(NamedTuple):
    """What the adjoint equation depends on: its `p`.

    Attributes:
        p: parameters of the system itself, (m,).
        rows: the record of the solution, with the terms of its dense output.
        number: of the record's row that holds the start of the step, or of a later one.
        origin: the time that the adjoint's own time is counted from.
    """

    p: jax.Array
    rows: jax.Array
    number: jax.Array
    origin: jax.Array


class AdjointSystem:
    """`M^T dlambda/ds = f_y(t, y(t), p)^T lambda` with `t = origin - s`.

    The time s is local, counted back from the last jump: the first step after a jump is short, and
    would be lost in the rounding of a large t. The Jacobian is that of the system transposed, so
    that its factors serve, and nothing is factored but n x n matrices.

    Args:
        plan: how the solution was recorded, with the terms of its dense output.
    """

    timed = True

    def __init__(self, plan: Plan) -> None:
        base: System = plan.method.system
        self.base = base
        self.path = Path(plan)
        self.engine = base.engine
        self.n, self.m, self.dtype = base.n, base.m, base.dtype
        self.mass = None if base.mass is None else base.mass.T

    def rolled(self, y: jax.Array) -> bool:
        return self.base.rolled(y)

    def compiled(self, loop: Loop) -> Loop:
        return self.base.compiled(loop)

    def rhs(self, t: jax.Array, y: jax.Array, p: Along) -> jax.Array:
        time = p.origin - t
        solution = self.path.value(p.rows, p.number, time)
        return self.base.rhs_vjp(time, solution, p.p, y)[0]

    def parameter_term(self, t: jax.Array, y: jax.Array, p: Along) -> jax.Array:
        """`f_p^T lambda`, whose integral is the gradient with respect to p."""
        time = p.origin - t
        solution = self.path.value(p.rows, p.number, time)
        return self.base.rhs_vjp(time, solution, p.p, y)[1]

    def linearise(self, t: jax.Array, y: jax.Array, p: Along) -> tuple[Any, jax.Array]:
        time = p.origin - t
        solution, slope = self.path.value_and_slope(p.rows, p.number, time)
        jacobian, f_t = self.base.linearise(time, solution, p.p)
        # d/dt of f_y^T lambda along the solution, with lambda held; s runs against t.
        weight = None if f_t is None else y
        moved = self.base.linearise_vjp(time, solution, p.p, slope[None], y[None], weight)[0]
        return jacobian, -moved

    def factor(self, jacobian: Any, shift: jax.Array) -> Any:
        return self.base.factor(jacobian, shift)

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return self.base.solve_transposed(factors, b)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return self.base.solve(factors, b)

    def backward_error(
        self, jacobian: Any, shift: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        """That of the factors on `W z = b`: they are as good for the one as for the other."""
        return self.base.backward_error(jacobian, shift, factors, self.base.solve(factors, b), b)

    def apply_mass(self, v: jax.Array) -> jax.Array:
        return self.base.apply_mass_transposed(v)

    def apply_mass_transposed(self, v: jax.Array) -> jax.Array:
        return self.base.apply_mass(v)
