"""`discrete`: the exact adjoint of the accepted steps, from a record of all of them.

Reverse differentiation of the map that the accepted steps make, with their sizes held fixed: the
gradient of what was returned, to rounding. It is as accurate as the steps are, and the steps were
chosen for the states: see `gradient_error` where that matters. Cost: one adjoint step per accepted
step, each about one and a half times a forward step, whatever the number of parameters. Memory:
3 + n numbers per step.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax._forward import Record, pick
from stiffgrad.jax._rosenbrock import Rosenbrock
from stiffgrad.jax._scalar_system import row


def pullback(
    method: Rosenbrock, record: Record, p: jax.Array, ys_bar: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Cotangents of y0 and p for cotangents of the observed states.

    Args:
        method: the method that made the record.
        record: of the forward pass.
        p: (m, *lanes).
        ys_bar: (T, n, *lanes).
    """
    n = ys_bar.shape[1]

    def body(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs, k, target, y_bar, p_bar = carry
        rows, p, ys_bar = inputs
        found = row(rows, k)
        t, h, hit = found[0], found[1], found[2] > 0
        y_bar = y_bar + jnp.where(hit, pick(ys_bar, target), 0)
        taken = h != 0
        y_new, p_term = method.pullback(t, jnp.where(taken, h, 1), found[3 : 3 + n], p, y_bar)
        y_bar = jnp.where(taken, y_new, y_bar)
        return inputs, k - 1, target - hit, y_bar, p_bar + jnp.where(taken, p_term, 0)

    def loop(*inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows, used, p, ys_bar = inputs
        last = jnp.full(p.shape[1:], len(ys_bar) - 1, jnp.int32)
        zeros = jnp.zeros_like(ys_bar[0]), jnp.zeros_like(p)
        carry = ((rows, p, ys_bar), used - 1, last, *zeros)
        return lax.while_loop(lambda c: c[1] >= 0, body, carry)[-2:]

    y_bar, p_bar = method.system.compiled(loop)(record.rows, record.used, p, ys_bar)
    return y_bar + ys_bar[0], p_bar
