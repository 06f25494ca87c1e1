"""From the arguments of a solve to a compiled solver and its inputs."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp

from stiffgrad.jax import _arguments, _engine
from stiffgrad.jax._flatten import Layout, Traced, User, trace
from stiffgrad.jax._forward import Inputs, Plan
from stiffgrad.jax._integrators import INTEGRATORS
from stiffgrad.jax._method import Method
from stiffgrad.jax._solver import Derivative, Pulled, Pushed, Solver
from stiffgrad.jax._types import ArgumentError
from stiffgrad.jax.strategies import CHUNKED, FORWARD, REVERSE
from stiffgrad.jax.strategies.checkpointed import Checkpointed, store_all_bytes

STRATEGIES = (*REVERSE, *CHUNKED, *FORWARD)
OBSERVATIONS = ("step", "dense")
_MOST_SOLVERS_KEPT = 128
_solvers: OrderedDict[Hashable, tuple[Solver, str]] = OrderedDict()


@dataclasses.dataclass(frozen=True)
class Options:
    """The choices that a compiled solver depends on; :func:`stiffgrad.jax.solve` explains them."""

    integrator: str = "rodas5p"
    adjoint: str = "discrete"
    steps: int | None = None
    max_steps: int = 4096
    memory_limit: int | None = None
    chunk: int | None = None
    observe: str = "step"
    engine: str = "auto"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A solve that is ready to run.

    Attributes:
        solver: the compiled problem.
        inputs: what to solve.
        y, p: how the user's pytrees lie in vectors.
        closed_over: how many numbers behind p's own are traced values that rhs closes over.
        engine_reason: why that engine.
    """

    solver: Solver
    inputs: Inputs
    y: Layout
    p: Layout
    closed_over: int
    engine_reason: str


def prepare(
    user: Callable[[int], User],
    y0: Any,
    t: Any,
    p: Any,
    rtol: Any,
    atol: Any,
    options: Options,
) -> Prepared:
    """Check the arguments, and compile or find the solver.

    Args:
        user: what the user says about a problem of that many states.
        y0, t, p, rtol, atol: as :func:`stiffgrad.jax.solve` takes them.
        options: the choices.

    Raises:
        ArgumentError: if an argument cannot be used.
    """
    _check(options)
    y_layout, p_layout = Layout(y0, "y0"), Layout(p, "p")
    if not y_layout.size:
        raise ArgumentError("y0 holds no numbers")
    dtype = jnp.result_type(*(a.dtype for a in y_layout.avals), jnp.float32)
    times = _arguments.times(t, dtype)
    if options.steps is not None:
        most = max(1, options.steps * (len(times) - 1))
        options = dataclasses.replace(options, max_steps=most)
    found = _solver(user(y_layout.size), y_layout, p_layout, dtype, options)
    solver, reason, hoisted = found
    more = [jnp.ravel(x).astype(dtype) for x in hoisted]
    inputs = Inputs(
        y0=y_layout.ravel(y0, dtype),
        times=times,
        p=jnp.concatenate([p_layout.ravel(p, dtype), *more]),
        rtol=_arguments.tolerance("rtol", rtol, dtype),
        atol=_arguments.absolute(atol, y_layout, dtype),
    )
    return Prepared(solver, inputs, y_layout, p_layout, sum(map(len, more)), reason)


def _check(options: Options) -> None:
    _arguments.check_choice("integrator", options.integrator, tuple(INTEGRATORS))
    _arguments.check_choice("adjoint", options.adjoint, STRATEGIES)
    _arguments.check_choice("observe", options.observe, OBSERVATIONS)
    _arguments.check_choice("engine", options.engine, _engine.ENGINES)
    for name in ("max_steps", "steps", "memory_limit", "chunk"):
        value = getattr(options, name)
        if name != "max_steps" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name} must be a positive integer, not {value!r}")


def _solver(
    user: User, y: Layout, p: Layout, dtype: Any, options: Options
) -> tuple[Solver, str, list[Any]]:
    """The compiled problem, kept for the next call with the same functions and shapes."""
    key = _key(user, y.key, p.key, str(dtype), options, jax.default_backend())
    if key is not None and key in _solvers:
        _solvers.move_to_end(key)
        return *_solvers[key], []
    traced, hoisted = trace(user, y, p, dtype)
    method, reason = _method(traced, y.size + p.size, options)
    plan = _plan(method, options)
    solver = Solver(plan, _derivative(plan, options))
    if key is not None and not hoisted:
        _solvers[key] = solver, reason
        if len(_solvers) > _MOST_SOLVERS_KEPT:
            _solvers.popitem(last=False)
    return solver, reason, hoisted


def _method(traced: Traced, unknowns: int, options: Options) -> tuple[Method, str]:
    """The integrator on an engine that can carry what is asked of it, and why that engine."""
    system, reason = _engine.choose(traced, options.engine)
    most = system.most_tangents
    tangents = min(options.chunk or unknowns, unknowns)
    if options.adjoint in FORWARD and most is not None and tangents > most:
        if options.engine != "auto":
            raise ArgumentError(
                f"engine={options.engine!r} carries at most {most} tangents of this problem at "
                f'once, not {tangents}; say chunk={most}, or engine="auto"'
            )
        system, reason = _engine.choose(traced, "array")[0], f"{tangents} tangents at once"
    method = INTEGRATORS[options.integrator](system)
    against = _engine.too_long(system) if options.engine == "auto" else ""
    if against:
        system, reason = _engine.choose(traced, "array")[0], against
        method = INTEGRATORS[options.integrator](system)
    return method, reason


def _plan(method: Method, options: Options) -> Plan:
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


def _derivative(plan: Plan, options: Options) -> Derivative:
    adjoint, limit = options.adjoint, options.memory_limit
    if limit is not None and adjoint != "discrete":
        raise ArgumentError(f'memory_limit goes with adjoint="discrete", not with {adjoint!r}')
    if options.chunk is not None and adjoint in REVERSE:
        raise ArgumentError(
            f"adjoint={adjoint!r} takes no chunk: it has the terms of all parameters by one "
            "vector-Jacobian product, which every chunk would compute again to save nothing. Leave "
            f"chunk out, or ask for {' or '.join(map(repr, (*FORWARD, *CHUNKED)))}"
        )
    if adjoint in FORWARD:
        return Pushed(FORWARD[adjoint](plan, options.chunk))
    if adjoint in CHUNKED:
        return Pulled(CHUNKED[adjoint](plan, options.chunk))
    if limit is not None and store_all_bytes(plan) > limit:
        return Pulled(Checkpointed(plan, limit))
    return Pulled(REVERSE[adjoint](plan))


def _key(*parts: Any) -> Hashable | None:
    try:
        hash(parts)
    except TypeError:
        return None
    return parts
