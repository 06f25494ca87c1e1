"""The error of a discrete gradient, estimated by taking its own steps again at half their size."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _arguments, _forward
from stiffgrad.jax._flatten import Layout, User
from stiffgrad.jax._forward import Inputs, Outcome, Plan, Record
from stiffgrad.jax._prepare import Options, prepare
from stiffgrad.jax._stacks import row
from stiffgrad.jax._types import ArgumentError, Status
from stiffgrad.jax.strategies.discrete import Discrete


class GradientEstimate(NamedTuple):
    """A loss with its gradient and how far that gradient is off.

    Attributes:
        value: the loss.
        gradient: its derivatives by y0 and p, as :func:`stiffgrad.jax.solve` gives them.
        error: estimates of their errors, alike.
        improved: the gradient extrapolated from both solutions, alike; more accurate as a rule,
            and without an estimate of its own.
        status: how the solve ended, a :class:`stiffgrad.jax.Status`; all else is NaN unless
            SUCCESS.
    """

    value: jax.Array
    gradient: tuple[Any, Any]
    error: tuple[Any, Any]
    improved: tuple[Any, Any]
    status: jax.Array


def gradient_error(
    loss: Callable[[Any], Any],
    rhs: Callable[[Any, Any, Any], Any],
    y0: Any,
    t: Any,
    p: Any,
    *,
    rtol: Any = 1e-6,
    atol: Any = 1e-9,
    mass: Any = None,
    jacobian: Callable[[Any, Any, Any], Any] | None = None,
    vjp: Callable[[Any, Any, Any, Any], Any] | None = None,
    **options: Any,
) -> GradientEstimate:
    """The gradient of a loss by `adjoint="discrete"`, with an estimate of its error.

    Error control sees the states alone, so a tolerance says little about the gradient. Here the
    accepted steps are halved and gone through again; the difference of the two gradients estimates
    the error of the first as the steps of a method of order q do, to a factor of 1 - 2^-q, where
    they are short enough for the order to show. Cost: about three gradients. Works under `jit`.

    Args:
        loss: from the states at the times, a pytree like y0 with a leading axis, to a number.
        rhs, y0, t, p, rtol, atol, mass, jacobian, vjp: as :func:`stiffgrad.jax.solve` takes them.
        options: integrator, steps, max_steps and engine, as there.

    Raises:
        ArgumentError: if an argument cannot be used.
    """
    chosen = _options(options)
    prepared = prepare(
        lambda n: User(rhs, jacobian, vjp, _arguments.mass(mass, n)), y0, t, p, rtol, atol, chosen
    )
    if prepared.closed_over:
        raise ArgumentError("rhs closes over traced values; gradient_error wants them in p")
    return _compiled(prepared.solver.plan, prepared.y, prepared.p, loss)(prepared.inputs)


def _options(given: dict[str, Any]) -> Options:
    taken = ("integrator", "steps", "max_steps", "engine")
    for name in given:
        _arguments.check_choice("argument", name, taken)
    return Options(**given)


@lru_cache(maxsize=64)
def _compiled(
    plan: Plan, y: Layout, p: Layout, loss: Callable[[Any], Any]
) -> Callable[[Inputs], GradientEstimate]:
    return jax.jit(lambda inputs: _estimate(plan, y, p, loss, inputs))


def _estimate(
    plan: Plan, y: Layout, p: Layout, loss: Callable[[Any], Any], inputs: Inputs
) -> GradientEstimate:
    strategy = Discrete(plan)

    def flat_loss(ys: jax.Array) -> jax.Array:
        return loss(y.unravel(ys, keep_dtype=False))

    outcome, record = strategy.record(inputs, strategy.blank(inputs))
    value, ys_bar = jax.value_and_grad(flat_loss)(outcome.ys)
    first = strategy.pullback(inputs, outcome, record, ys_bar)[:2]
    halved, again = _halve(plan, inputs, outcome, record)
    second = strategy.pullback(inputs, halved, again, jax.grad(flat_loss)(halved.ys))[:2]
    error = tuple(a - b for a, b in zip(first, second, strict=True))
    gain = 2**plan.method.order - 1
    improved = tuple(b - e / gain for b, e in zip(second, error, strict=True))
    good = outcome.status == Status.SUCCESS

    def trees(parts: Any) -> tuple[Any, Any]:
        y_bar, p_bar = (jnp.where(good, x, jnp.nan) for x in parts)
        return y.unravel(y_bar), p.unravel(p_bar)

    value = jnp.where(good, value, jnp.nan)
    return GradientEstimate(value, trees(first), trees(error), trees(improved), outcome.status)


def _halve(plan: Plan, inputs: Inputs, outcome: Outcome, record: Record) -> tuple[Outcome, Record]:
    """The recorded steps again, each as two of half its size."""
    method, n = plan.method, plan.method.system.n

    def body(k: jax.Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
        fixed, state, target, ys, rows = carry
        old, p = fixed
        found = _forward.split_row(plan, row(old, k))
        half = 0.5 * found.h
        for part in range(2):
            t = found.t + part * half
            reached = part * found.reached
            head = jnp.stack([t, half, reached.astype(half.dtype)])
            made = jnp.concatenate([head, state])
            rows = lax.dynamic_update_index_in_dim(rows, made, 2 * k + part, 0)
            state = method.step(t, half, state, p).state
        ys = lax.dynamic_update_index_in_dim(ys, state[:n], target, 0)
        return fixed, state, target + found.reached, ys, rows

    def loop(old: jax.Array, used: jax.Array, p: jax.Array, *start: jax.Array) -> Any:
        return lax.fori_loop(0, used, body, ((old, p), *start))[3:]

    ys = _forward.blank_states(inputs)
    rows = jnp.zeros((2 * len(record.rows), plan.width), ys.dtype)
    state = method.begin(inputs.times[0], inputs.y0)
    start = state, jnp.ones((), jnp.int32), ys, rows
    halve = method.system.compiled(loop, written=2)
    ys, rows = halve(record.rows, record.used, inputs.p, *start)
    return outcome._replace(ys=ys), Record(rows, 2 * record.used)
