"""A traced problem with its method and strategy, made into functions that JAX can transform.

The derivative of a solve is a linear map of the tangents of y0 and p that comes with its transpose
(:mod:`stiffgrad.jax._linear`), so that forward and reverse mode both have it. Each part has a
batching rule of its own: trajectories that are mapped are solved as lanes side by side, in blocks
whose record stays in the cache, and the blocks one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.custom_batching
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero

from stiffgrad.jax import _lanes, _linear
from stiffgrad.jax._forward import Inputs, Outcome, Plan, blank_rows, solve_forward
from stiffgrad.jax._start import describe
from stiffgrad.jax._types import ArgumentError, SolveError, Status
from stiffgrad.jax.strategies import Forward, Reverse


class Derivative(Protocol):
    """How a solver differentiates: the solve together with its linearisation."""

    def linearise(self, inputs: Inputs) -> tuple[Outcome, Any]:
        """The outcome, and what :meth:`apply` needs."""

    def apply(
        self, inputs: Inputs, outcome: Outcome, kept: Any, y0_dot: jax.Array, p_dot: jax.Array
    ) -> jax.Array:
        """Tangent of the states at the times."""


class Solver:
    """The differentiable map from :class:`Inputs` to :class:`Outcome` for one problem.

    Args:
        plan: the forward pass.
        derivative: how it is differentiated.
    """

    def __init__(self, plan: Plan, derivative: Derivative) -> None:
        self.plan = plan
        self._derivative = derivative
        lanes = _plain_lanes(plan) if plan.lanes else None
        self._plain = _lanes.mappable(lambda inputs: _solve_plain(plan, inputs), lanes)
        differentiable = jax.custom_jvp(self._primal)
        differentiable.defjvp(self._jvp, symbolic_zeros=True)
        self._differentiable = differentiable

    def __call__(self, inputs: Inputs) -> Outcome:
        """Solve; raises :class:`SolveError` where the outcome is known and is a failure."""
        return self._differentiable(inputs)

    def _primal(self, inputs: Inputs) -> Outcome:
        return self._checked(inputs, self._plain(inputs))

    def _jvp(self, primals: tuple[Inputs], tangents: tuple[Inputs]) -> tuple[Outcome, Outcome]:
        (inputs,), (dot,) = primals, tangents
        outcome, kept = self._derivative.linearise(inputs)
        self._checked(inputs, outcome)
        y0_dot, p_dot = _filled(dot.y0), _filled(dot.p)
        moving = not isinstance(dot.times, SymbolicZero)
        if moving:
            slopes = self._slopes(inputs, outcome.ys)
            y0_dot = y0_dot - slopes[0] * dot.times[0]
        ys_dot = self._derivative.apply(inputs, outcome, kept, y0_dot, p_dot)
        if moving:
            ys_dot = ys_dot + slopes * dot.times[:, None]
        none: Any = np.zeros(jnp.shape(outcome.status), jax.dtypes.float0)
        return outcome, Outcome(ys_dot, none, none, none)

    def _checked(self, inputs: Inputs, outcome: Outcome) -> Outcome:
        if isinstance(outcome.status, jax.core.Tracer) or outcome.status == Status.SUCCESS:
            return outcome
        detail = f"{outcome.accepted} steps were accepted, {outcome.attempted} tried."
        if outcome.status == Status.INCONSISTENT:
            y0, times, *rest = inputs
            detail = describe(self.plan.method.system, times[0], y0, *rest)
        raise SolveError(Status(int(outcome.status)), detail)

    def _slopes(self, inputs: Inputs, ys: jax.Array) -> jax.Array:
        """The solution's slope at the times, along which its states move with them.

        The sizes of the steps, and so the discrete map, do not depend on the times in a
        differentiable way; the slope is what the steps approximate to their order.
        """
        system = self.plan.method.system
        if system.mass is not None:
            raise ArgumentError(
                "gradients with respect to t are not available with a mass matrix; hold t fixed "
                "(jax.lax.stop_gradient)"
            )
        p = jnp.broadcast_to(inputs.p[:, None], (system.m, len(ys)))
        return system.rhs(inputs.times, ys.T, p).T


class Pulled:
    """A reverse strategy as a linear map whose transpose is the strategy's pullback."""

    def __init__(self, strategy: Reverse) -> None:
        self._strategy = strategy
        self.linearise = _lanes.mappable(
            self._record,
            _plain_lanes(strategy.plan) if strategy.lanes else None,
            unmapped=self._no_record,
        )
        self._pulled = _lanes.mappable(
            self._pull,
            self._pull_lanes if strategy.lanes else None,
            dropped=2,
            again=self._pull_again,
        )
        self._pushed = _along_many(_lanes.one_by_one(strategy.push))
        self._pair = _linear.Pair(self._push, self._pull_checked)

    def apply(
        self, inputs: Inputs, outcome: Outcome, kept: Any, y0_dot: jax.Array, p_dot: jax.Array
    ) -> jax.Array:
        shape = jax.ShapeDtypeStruct(outcome.ys.shape, outcome.ys.dtype)
        return _linear.apply(self._pair, (inputs, outcome, kept), (y0_dot, p_dot), shape)

    def _record(self, inputs: Inputs) -> tuple[Outcome, Any]:
        return self._strategy.record(inputs, self._strategy.blank(inputs))

    def _no_record(self, inputs: Inputs) -> Any:
        # The adjoint of a block makes its record again: records of all blocks would leave the
        # cache, and fill the memory.
        one = jax.eval_shape(lambda x: self._record(jax.tree.map(lambda a: a[0], x)), inputs)
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), one[1])

    def _push(self, residuals: Any, y0_dot: jax.Array, p_dot: jax.Array) -> jax.Array:
        return self._pushed(residuals[0], y0_dot, p_dot)

    def _pull_checked(self, residuals: Any, ys_bar: jax.Array) -> tuple[jax.Array, ...]:
        inputs, outcome, kept = residuals
        y_bar, p_bar, status = self._pulled(inputs, ys_bar, outcome, kept)
        if not isinstance(status, jax.core.Tracer) and status != Status.SUCCESS:
            raise SolveError(Status(int(status)), "It is the adjoint's solve that failed.")
        return y_bar, p_bar

    def _pull(
        self, inputs: Inputs, ys_bar: jax.Array, outcome: Outcome, kept: Any
    ) -> tuple[jax.Array, ...]:
        y_bar, p_bar, status = self._strategy.pullback(inputs, outcome, kept, ys_bar)
        status = jnp.where(outcome.status == Status.SUCCESS, status, outcome.status)
        # A gradient of half a solve is worse than none.
        good = status == Status.SUCCESS
        return jnp.where(good, y_bar, jnp.nan), jnp.where(good, p_bar, jnp.nan), status

    def _pull_again(self, inputs: Inputs, ys_bar: jax.Array) -> tuple[jax.Array, ...]:
        return self._pull(inputs, ys_bar, *self._record(inputs))

    def _pull_lanes(self, inputs: Inputs, ys_bar: jax.Array) -> tuple[jax.Array, ...]:
        def block(room: Any, args: tuple[Inputs, jax.Array]) -> tuple[Any, Any]:
            inputs, ys_bar = args
            outcome, record = self._strategy.record(inputs, room)
            return record.rows, self._pull(inputs, ys_bar, outcome, record)

        return _lanes.over_blocks(
            block, (inputs, ys_bar), lambda args: self._strategy.blank(args[0])
        )


class Pushed:
    """A forward strategy: the sensitivities of the states at the times, as one array."""

    def __init__(self, strategy: Forward) -> None:
        self.linearise = _lanes.mappable(strategy.sensitivities, None)

    def apply(
        self, inputs: Inputs, outcome: Outcome, kept: Any, y0_dot: jax.Array, p_dot: jax.Array
    ) -> jax.Array:
        return kept @ jnp.concatenate([y0_dot, p_dot])


def _solve_plain(plan: Plan, inputs: Inputs) -> Outcome:
    return solve_forward(plan, inputs, blank_rows(plan, inputs.y0, keep=False))[0]


def _plain_lanes(plan: Plan) -> Any:
    def lanes(inputs: Inputs) -> Outcome:
        def block(room: jax.Array, inputs: Inputs) -> tuple[jax.Array, Outcome]:
            outcome, record = solve_forward(plan, inputs, room)
            return record.rows, outcome

        return _lanes.over_blocks(
            block, inputs, lambda inputs: blank_rows(plan, inputs.y0, keep=False)
        )

    return lanes


def _along_many(push: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`push` for one tangent, which a map over tangents alone gives all of them together."""

    @jax.custom_batching.custom_vmap
    def one(inputs: Inputs, y0_dot: jax.Array, p_dot: jax.Array) -> jax.Array:
        return push(inputs, y0_dot[None], p_dot[None])[0]

    @one.def_vmap
    def _map(size: int, batched: list[Any], *args: Any) -> tuple[jax.Array, bool]:
        inputs, *dots = args
        mapped = jax.tree.leaves(batched[0])
        dots = [
            x if has else jnp.broadcast_to(x, (size, *x.shape))
            for has, x in zip(batched[1:], dots, strict=True)
        ]
        if not any(mapped):
            return push(inputs, *dots), True
        over = jax.tree.map(lambda has: 0 if has else None, batched[0])
        alone = jax.vmap(lambda i, a, b: push(i, a[None], b[None])[0], in_axes=(over, 0, 0))
        return alone(inputs, *dots), True

    return one


def _filled(tangent: Any) -> jax.Array:
    if isinstance(tangent, SymbolicZero):
        return lax.full(tangent.shape, 0, tangent.dtype)
    return tangent
