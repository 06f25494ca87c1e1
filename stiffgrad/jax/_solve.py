"""The public face: `solve`."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stiffgrad.jax import _engine
from stiffgrad.jax._flatten import Layout, trace
from stiffgrad.jax._forward import Inputs, Outcome
from stiffgrad.jax._rosenbrock import Rosenbrock
from stiffgrad.jax._solver import Solver
from stiffgrad.jax._types import ArgumentError, Solution, Stats
from stiffgrad.jax.integrators import TABLEAUX

STRATEGIES = ("discrete",)
_MOST_SOLVERS_KEPT = 128
_solvers: OrderedDict[Hashable, tuple[Solver, str]] = OrderedDict()


def solve(
    rhs: Callable[[Any, Any, Any], Any],
    y0: Any,
    t: Any,
    p: Any,
    *,
    integrator: str = "rodas5p",
    adjoint: str = "discrete",
    rtol: Any = 1e-6,
    atol: Any = 1e-9,
    max_steps: int = 4096,
    engine: str = "auto",
) -> Solution:
    """Solve the stiff initial value problem y' = rhs(t, y, p), differentiably.

    Works under `jit`, `vmap`, `grad` and `jacrev`, with gradients with respect to y0, t, p and
    traced values that rhs closes over. Trust a gradient as far as the steps resolve the
    sensitivities: the error control sees the states alone.

    Args:
        rhs: the right-hand side, in JAX operations; returns a pytree like y0.
        y0: state at `t[0]`, a pytree of real arrays.
        t: times at which the states are returned, shape (T,), strictly increasing or strictly
            decreasing; the first is the start. The steps end on every one of them.
        p: parameters, a pytree of real arrays; integer leaves have no gradient.
        integrator: "rodas5p", "rodas4" or "rosenbrock23".
        adjoint: "discrete", the exact adjoint of the accepted steps.
        rtol: relative tolerance of the local error; may be traced.
        atol: absolute tolerance, a number or a pytree like y0; may be traced. In the units of y:
            small against the states that matter.
        max_steps: the most steps to try. Memory for reverse differentiation is
            `8 (n + 3) max_steps` bytes.
        engine: "scalar" compiles rhs component by component with a sparse elimination fixed
            beforehand, for small systems; "array" keeps vectors and LAPACK; "auto" chooses.

    Returns:
        The states, a pytree like y0 with a leading axis of length T; statistics; the status.

    Raises:
        ArgumentError: if an argument cannot be used.
        SolveError: outside `jit` and `vmap`, if the solve does not reach the last time. Inside,
            the states not reached and all gradients are NaN and the status says why.
    """
    _check_choice("integrator", integrator, tuple(TABLEAUX))
    _check_choice("adjoint", adjoint, STRATEGIES)
    _check_choice("engine", engine, _engine.ENGINES)
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise ArgumentError(f"max_steps must be a positive integer, not {max_steps!r}")
    y_layout, p_layout = Layout(y0, "y0"), Layout(p, "p")
    if not y_layout.size:
        raise ArgumentError("y0 holds no numbers")
    dtype = jnp.result_type(*(a.dtype for a in y_layout.avals), jnp.float32)
    solver, reason, hoisted = _solver(
        rhs, y_layout, p_layout, dtype, (integrator, max_steps, engine)
    )
    own = p_layout.ravel(p, dtype)
    inputs = Inputs(
        y0=y_layout.ravel(y0, dtype),
        times=_times(t, dtype),
        p=jnp.concatenate([own, *(jnp.ravel(x).astype(dtype) for x in hoisted)]),
        rtol=_tolerance("rtol", rtol, dtype),
        atol=_absolute(atol, y_layout, dtype),
    )
    outcome = solver(inputs)
    return Solution(
        y_layout.unravel(outcome.ys, keep_dtype=False),
        _stats(outcome, solver, adjoint, reason),
        outcome.status,
    )


def _check_choice(what: str, given: Any, known: tuple[str, ...]) -> None:
    if given in known:
        return
    near = difflib.get_close_matches(str(given), known, n=1, cutoff=0.0)
    raise ArgumentError(
        f"{what}={given!r} is not known; the nearest is {near[0]!r}, and all are: "
        f"{', '.join(known)}"
    )


def _solver(
    rhs: Callable[[Any, Any, Any], Any], y: Layout, p: Layout, dtype: Any, options: tuple[Any, ...]
) -> tuple[Solver, str, list[Any]]:
    """The compiled problem, kept for the next call with the same right-hand side and shapes."""
    key = _key(rhs, y.key, p.key, str(dtype), options, jax.default_backend())
    if key is not None and key in _solvers:
        _solvers.move_to_end(key)
        return *_solvers[key], []
    integrator, max_steps, engine = options
    closed, hoisted = trace(rhs, y, p, dtype)
    system, reason = _engine.choose(closed, engine)
    solver = Solver(Rosenbrock(TABLEAUX[integrator], system), max_steps)
    if key is not None and not hoisted:
        _solvers[key] = solver, reason
        if len(_solvers) > _MOST_SOLVERS_KEPT:
            _solvers.popitem(last=False)
    return solver, reason, hoisted


def _key(*parts: Any) -> Hashable | None:
    try:
        hash(parts)
    except TypeError:
        return None
    return parts


def _times(t: Any, dtype: Any) -> jax.Array:
    times = jnp.asarray(t, dtype)
    if times.ndim != 1 or not len(times):
        raise ArgumentError(f"t must be a vector of times, not an array of shape {times.shape}")
    if not isinstance(times, jax.core.Tracer):
        gaps = np.diff(np.asarray(times))
        if not (np.isfinite(times).all() and ((gaps > 0).all() or (gaps < 0).all())):
            raise ArgumentError(
                f"t must be finite and strictly monotonic in {dtype}; repeated times can be "
                "solved for once and indexed"
            )
    return times


def _tolerance(name: str, value: Any, dtype: Any) -> jax.Array:
    array = jnp.asarray(value, dtype)
    if not isinstance(array, jax.core.Tracer):
        if not (np.isfinite(array).all() and (np.asarray(array) >= 0).all()):
            raise ArgumentError(f"{name} must be finite and not negative, not {value!r}")
        if name == "rtol" and array.ndim:
            raise ArgumentError("rtol must be one number; tolerances by state belong in atol")
    return array


def _absolute(atol: Any, y: Layout, dtype: Any) -> jax.Array:
    leaves, treedef = jax.tree.flatten(atol)
    if treedef != y.treedef or len(leaves) == 1:
        if len(leaves) != 1:
            raise ArgumentError(f"atol must be one number or a pytree like y0: {y.treedef}")
        leaves = leaves * len(y.avals)
    try:
        full = [
            jnp.broadcast_to(_tolerance("atol", leaf, dtype), aval.shape)
            for leaf, aval in zip(leaves, y.avals, strict=True)
        ]
    except ValueError as error:
        raise ArgumentError(f"atol does not have the shapes of y0: {error}") from error
    return jnp.concatenate([jnp.ravel(leaf) for leaf in full])


def _stats(outcome: Outcome, solver: Solver, adjoint: str, reason: str) -> Stats:
    method = solver.method
    return Stats(
        accepted=outcome.accepted,
        attempted=outcome.attempted,
        # One more for the size of the first step.
        rhs_evaluations=outcome.attempted * method.rhs_per_step + 1,
        integrator=method.tableau.name,
        adjoint=adjoint,
        engine=method.system.engine,
        engine_reason=reason,
    )
