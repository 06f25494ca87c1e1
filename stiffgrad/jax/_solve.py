"""The public face: `solve`."""

from __future__ import annotations

import dataclasses
import difflib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stiffgrad.jax import _engine
from stiffgrad.jax._flatten import Layout, User, trace
from stiffgrad.jax._forward import Inputs, Outcome, Plan
from stiffgrad.jax._integrators import INTEGRATORS
from stiffgrad.jax._method import Method
from stiffgrad.jax._solver import Derivative, Pulled, Pushed, Solver
from stiffgrad.jax._types import ArgumentError, Solution, Stats
from stiffgrad.jax.strategies import FORWARD, REVERSE

STRATEGIES = (*REVERSE, *FORWARD)
OBSERVATIONS = ("step", "dense")
_MOST_SOLVERS_KEPT = 128
_solvers: OrderedDict[Hashable, tuple[Solver, str]] = OrderedDict()


@dataclasses.dataclass(frozen=True)
class _Options:
    """The choices that a compiled solver depends on."""

    integrator: str
    adjoint: str
    steps: int | None
    max_steps: int
    observe: str
    engine: str


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
    steps: int | None = None,
    max_steps: int = 4096,
    observe: str = "step",
    mass: Any = None,
    jacobian: Callable[[Any, Any, Any], Any] | None = None,
    vjp: Callable[[Any, Any, Any, Any], Any] | None = None,
    engine: str = "auto",
) -> Solution:
    """Solve the stiff initial value problem y' = rhs(t, y, p), differentiably.

    Works under `jit`, `vmap`, `grad`, `jacrev` and `jacfwd`, with gradients with respect to y0, t,
    p and traced values that rhs closes over. Trust a gradient as far as the steps resolve the
    sensitivities: but for `adjoint="forward"`, the error control sees the states alone.

    Args:
        rhs: the right-hand side, in JAX operations; returns a pytree like y0.
        y0: state at `t[0]`, a pytree of real arrays.
        t: times at which the states are returned, shape (T,), strictly increasing or strictly
            decreasing; the first is the start.
        p: parameters, a pytree of real arrays; integer leaves have no gradient.
        integrator: the time-stepping scheme, by name; docs/strategies.md lists them.
        adjoint: how the gradient is obtained. "discrete": the exact adjoint of the accepted steps;
            "forward-discrete": the same, carried forward; "forward": continuous sensitivities
            under the error control. Forward mode (`jacfwd`) goes with these three.
        rtol: relative tolerance of the local error; may be traced.
        atol: absolute tolerance, a number or a pytree like y0; may be traced. In the units of y:
            small against the states that matter.
        steps: equal steps from each time to the next, instead of steps chosen by the tolerances.
        max_steps: the most steps to try. Memory for reverse differentiation is
            `8 (n + 3) max_steps` bytes.
        observe: "step" ends a step on every time; "dense" reads the states off the steps'
            polynomials, for many times. The gradient is that of what is returned.
        mass: M of `M y' = rhs(t, y, p)`, a constant matrix (n, n) in the order of y0's leaves; may
            be singular (index 1), and y0 then has to satisfy the algebraic equations.
        jacobian: `(t, y, p)` to the matrix (n, n) of rhs's derivatives by y; derived by default.
        vjp: `(t, y, p, v)` to `(v^T rhs_y, v^T rhs_p)`, like y0 and p; derived by default.
        engine: "scalar" compiles rhs component by component with a sparse elimination fixed
            beforehand, for small systems; "array" keeps vectors and LAPACK; "auto" chooses.

    Returns:
        The states, a pytree like y0 with a leading axis of length T; statistics; the status.

    Raises:
        ArgumentError: if an argument cannot be used.
        SolveError: outside `jit` and `vmap`, if the solve does not reach the last time. Inside,
            the states not reached and all gradients are NaN and the status says why.
    """
    options = _Options(integrator, adjoint, steps, max_steps, observe, engine)
    _check(options)
    y_layout, p_layout = Layout(y0, "y0"), Layout(p, "p")
    if not y_layout.size:
        raise ArgumentError("y0 holds no numbers")
    dtype = jnp.result_type(*(a.dtype for a in y_layout.avals), jnp.float32)
    times = _times(t, dtype)
    if steps is not None:
        options = dataclasses.replace(options, max_steps=max(1, steps * (len(times) - 1)))
    user = User(rhs, jacobian, vjp, _mass(mass, y_layout.size))
    solver, reason, hoisted = _solver(user, y_layout, p_layout, dtype, options)
    own = p_layout.ravel(p, dtype)
    inputs = Inputs(
        y0=y_layout.ravel(y0, dtype),
        times=times,
        p=jnp.concatenate([own, *(jnp.ravel(x).astype(dtype) for x in hoisted)]),
        rtol=_tolerance("rtol", rtol, dtype),
        atol=_absolute(atol, y_layout, dtype),
    )
    outcome = solver(inputs)
    return Solution(
        y_layout.unravel(outcome.ys, keep_dtype=False),
        _stats(outcome, solver, options, reason),
        outcome.status,
    )


def _check(options: _Options) -> None:
    _check_choice("integrator", options.integrator, tuple(INTEGRATORS))
    _check_choice("adjoint", options.adjoint, STRATEGIES)
    _check_choice("observe", options.observe, OBSERVATIONS)
    _check_choice("engine", options.engine, _engine.ENGINES)
    for name in ("max_steps", "steps"):
        value = getattr(options, name)
        if name == "steps" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name} must be a positive integer, not {value!r}")


def _mass(mass: Any, n: int) -> tuple[tuple[float, ...], ...] | None:
    if mass is None:
        return None
    if isinstance(mass, jax.core.Tracer):
        raise ArgumentError("mass must be a constant matrix; it is traced here")
    matrix = np.asarray(mass, float)
    if matrix.shape != (n, n) or not np.isfinite(matrix).all():
        raise ArgumentError(
            f"mass must be a finite matrix of shape {(n, n)}, not of shape {matrix.shape}"
        )
    return tuple(map(tuple, matrix.tolist()))


def _check_choice(what: str, given: Any, known: tuple[str, ...]) -> None:
    if given in known:
        return
    near = difflib.get_close_matches(str(given), known, n=1, cutoff=0.0)
    raise ArgumentError(
        f"{what}={given!r} is not known; the nearest is {near[0]!r}, and all are: "
        f"{', '.join(known)}"
    )


def _solver(
    user: User, y: Layout, p: Layout, dtype: Any, options: _Options
) -> tuple[Solver, str, list[Any]]:
    """The compiled problem, kept for the next call with the same functions and shapes."""
    key = _key(user, y.key, p.key, str(dtype), options, jax.default_backend())
    if key is not None and key in _solvers:
        _solvers.move_to_end(key)
        return *_solvers[key], []
    traced, hoisted = trace(user, y, p, dtype)
    system, reason = _engine.choose(traced, options.engine)
    plan = _plan(INTEGRATORS[options.integrator](system), options)
    solver = Solver(plan, _derivative(plan, options))
    if key is not None and not hoisted:
        _solvers[key] = solver, reason
        if len(_solvers) > _MOST_SOLVERS_KEPT:
            _solvers.popitem(last=False)
    return solver, reason, hoisted


def _plan(method: Method, options: _Options) -> Plan:
    if options.steps is None and not method.adaptive:
        raise ArgumentError(
            f"integrator={options.integrator!r} has no error estimate to choose steps by; say how "
            "many equal steps to take between two times: steps=..."
        )
    dense = options.observe == "dense"
    if dense and not method.dense_degree:
        raise ArgumentError(
            f'integrator={options.integrator!r} has no dense output; leave observe="step"'
        )
    return Plan(method, options.max_steps, options.steps, dense)


def _derivative(plan: Plan, options: _Options) -> Derivative:
    if options.adjoint in REVERSE:
        return Pulled(REVERSE[options.adjoint](plan))
    return Pushed(FORWARD[options.adjoint](plan))


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


def _stats(outcome: Outcome, solver: Solver, options: _Options, reason: str) -> Stats:
    method = solver.plan.method
    return Stats(
        accepted=outcome.accepted,
        attempted=outcome.attempted,
        # One more for the size of the first step.
        rhs_evaluations=outcome.attempted * method.rhs_per_step + (options.steps is None),
        integrator=options.integrator,
        adjoint=options.adjoint,
        engine=method.system.engine,
        engine_reason=reason,
    )
