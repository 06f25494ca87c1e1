"""The adjoint equation of a system along a recorded solution, as a system itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from stiffgrad.jax._forward import Plan
from stiffgrad.jax._path import Path
from stiffgrad.jax._system import Coupled, System

Loop = TypeVar("Loop", bound=Callable[..., Any])


class Along(NamedTuple):
    """What the adjoint equation depends on; to a method it is the system's p.

    Attributes:
        p: parameters of the system whose adjoint it is, (m,).
        rows: the record of the solution, with the terms of its dense output.
        number: of the record's row that holds the start of the adjoint's step, or of a later one.
        origin: the time from which the adjoint's own is counted.
    """

    p: jax.Array
    rows: jax.Array
    number: jax.Array
    origin: jax.Array


class AdjointSystem:
    """`M^T dlambda/ds = f_y(t, y(t), p)^T lambda` with `t = origin - s`.

    Time is counted back from the last jump: the first step after it is short, and would be lost in
    the rounding of a large t. The Jacobian is that of the system transposed, whose factors serve.

    Args:
        plan: how the solution is recorded, with the terms of its dense output.
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
        # With the solution to look up, a stage is too much to write out as often as there are.
        return True

    def compiled(self, loop: Loop, written: int = 0) -> Loop:
        return self.base.compiled(loop, written)

    def pulled(self, t: jax.Array, y: jax.Array, p: Along) -> tuple[jax.Array, jax.Array]:
        """`f_y^T lambda` and `f_p^T lambda`; the integral of the second is dL/dp."""
        time = p.origin - t
        return self.base.rhs_vjp(time, self.path.value(p.rows, p.number, time), p.p, y)

    def rhs(self, t: jax.Array, y: jax.Array, p: Along) -> jax.Array:
        return self.pulled(t, y, p)[0]

    def linearise(self, t: jax.Array, y: jax.Array, p: Along) -> tuple[Any, jax.Array]:
        jacobian, (moved, _) = self.linearise_both(t, y, p)
        return jacobian, moved

    def linearise_both(
        self, t: jax.Array, y: jax.Array, p: Along
    ) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        """The system's own Jacobian, and the derivatives of :meth:`pulled` by s."""
        time = p.origin - t
        solution, slope = self.path.value_and_slope(p.rows, p.number, time)
        jacobian, f_t = self.base.linearise(time, solution, p.p)
        # lambda^T df/dt along the solution has the mixed derivatives either way round.
        weight = None if f_t is None else y
        moved = self.base.linearise_vjp(time, solution, p.p, slope[None], y[None], weight)
        return jacobian, (-moved[0], -moved[1])

    def factor(self, jacobian: Any, shift: jax.Array) -> Any:
        return self.base.factor(jacobian, shift)

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return self.base.solve_transposed(factors, b)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return self.base.solve(factors, b)

    def backward_error(
        self, jacobian: Any, shift: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        """That of the factors for the system: where they serve it, they serve its adjoint."""
        solved = self.base.solve(factors, b)
        return self.base.backward_error(jacobian, shift, factors, solved, b)

    def coupled(self, inverse: np.ndarray) -> _TransposedCoupled:
        return _TransposedCoupled(self.base.coupled(inverse.T))

    def apply_mass(self, v: jax.Array) -> jax.Array:
        return self.base.apply_mass_transposed(v)

    def apply_mass_transposed(self, v: jax.Array) -> jax.Array:
        return self.base.apply_mass(v)


class _TransposedCoupled:
    """The stages' linear systems of an adjoint, by those of its system with A transposed."""

    def __init__(self, base: Coupled) -> None:
        self._base = base

    def factor(self, jacobians: Any, h: jax.Array) -> Any:
        return self._base.factor(jacobians, h)

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return self._base.solve_transposed(factors, b)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return self._base.solve(factors, b)

    def backward_error(
        self, jacobians: Any, h: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        return self._base.backward_error(jacobians, h, factors, self._base.solve(factors, b), b)
