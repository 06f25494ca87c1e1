"""Telling XLA's CPU compiler how to cut a small program into native functions.

By default the CPU compiler runs a loop as a list of kernels and merges scalar arithmetic by
duplicating it. For steps that cost a fraction of a microsecond both are ruinous. Two attributes on
a call, attached through :func:`jax.experimental.xla_metadata.set_xla_metadata`, change that for the
marked call alone: `xla_cpu_small_call` compiles the whole call, its loops included, as one native
function; `inlineable` keeps a call apart, so that its values are computed once and stored.

The attributes are hints: without them, or on a compiler that does not know them, results are the
same and only slower. They are not attached where the default backend is not a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

F = TypeVar("F", bound=Callable[..., Any])


def one_function(fun: F, written: int = 0) -> F:
    """`fun`, compiled as one native function on a CPU when it is part of a traced program.

    Its operations must exclude dot products, LAPACK calls, scatters and collectives, which the
    emitter of such functions does not have.

    Args:
        fun: a function of pytrees.
        written: how many of its last arguments are arrays that it writes into and returns.
    """
    if jax.default_backend() != "cpu":
        return fun

    def marked(*args: Any) -> Any:
        leaves, treedef = jax.tree.flatten(args)
        full = [x for x in leaves if x.size]
        in_place = sum(bool(x.size) for x in args[len(args) - written :])

        def touched(*full: jax.Array) -> Any:
            given = iter(full)
            again = [next(given) if x.size else jnp.zeros_like(x) for x in leaves]
            # A corner of what is written would have to be taken before: XLA would copy the whole.
            corners = [_corner(x) for x in full[: len(full) - in_place]]
            return fun(*jax.tree.unflatten(treedef, again)), corners

        with set_xla_metadata(inlineable="false", xla_cpu_small_call="true"):
            result = jax.jit(touched)(*lax.optimization_barrier(full))
        # XLA aborts the process on such a function with a parameter that nothing in it reads, be
        # it that the compiler itself found the reader superfluous. The barriers keep JAX from
        # dropping the corners, which read every parameter but those that come back as results, and
        # XLA from moving known arguments inside.
        return lax.optimization_barrier(result)[0]

    return marked  # type: ignore[return-value]


def _corner(x: jax.Array) -> jax.Array:
    return lax.slice(x, [0] * x.ndim, [1] * x.ndim)


def apart(fun: F) -> F:
    """`fun`, kept as a call of its own inside a :func:`one_function`."""
    if jax.default_backend() != "cpu":
        return fun

    def marked(*args: Any) -> Any:
        with set_xla_metadata(inlineable="false"):
            return jax.jit(fun)(*args)

    return marked  # type: ignore[return-value]
