"""The public face: `solve`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stiffgrad.jax import _arguments
from stiffgrad.jax._flatten import User
from stiffgrad.jax._forward import Outcome
from stiffgrad.jax._prepare import Options, Prepared, prepare
from stiffgrad.jax._types import Solution, Stats


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
    memory_limit: int | None = None,
    chunk: int | None = None,
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
            under the error control. Forward mode (`jacfwd`) goes with these three. Continuous
            adjoints along the recorded solution, with an error control of their own, in reverse
            mode alone: "gauss", and to compare with it "imex", "quadrature" and, at a cost cubic
            in the parameters, "interpolating". "backsolve" and "backsolve-checkpointed" record
            nothing and integrate the states back: they fail on stiff problems.
        rtol: relative tolerance of the local error; may be traced.
        atol: absolute tolerance, a number or a pytree like y0; may be traced. In the units of y:
            small against the states that matter.
        steps: equal steps from each time to the next, instead of steps chosen by the tolerances.
        max_steps: the most steps to try. Memory for reverse differentiation is
            `8 (n + 3) max_steps` bytes.
        memory_limit: bytes for that record with "discrete"; where they do not suffice, some steps
            are kept and the others taken again.
        chunk: how many tangents "forward" and "forward-discrete" carry at once, one pass after the
            other, to save memory; how many parameters "interpolating", "backsolve" and
            "backsolve-checkpointed" have in their implicit system, in passes side by side.
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
    options = Options(integrator, adjoint, steps, max_steps, memory_limit, chunk, observe, engine)

    def user(n: int) -> User:
        return User(rhs, jacobian, vjp, _arguments.mass(mass, n))

    prepared = prepare(user, y0, t, p, rtol, atol, options)
    outcome = prepared.solver(prepared.inputs)
    return Solution(
        prepared.y.unravel(outcome.ys, keep_dtype=False),
        _stats(outcome, prepared, options),
        outcome.status,
    )


def _stats(outcome: Outcome, prepared: Prepared, options: Options) -> Stats:
    method = prepared.solver.plan.method
    per_step = method.rhs_per_step
    # One more for the size of the first step.
    first = options.steps is None
    return Stats(
        accepted=outcome.accepted,
        attempted=outcome.attempted,
        rhs_evaluations=None if per_step is None else outcome.attempted * per_step + first,
        integrator=options.integrator,
        adjoint=options.adjoint,
        engine=method.system.engine,
        engine_reason=prepared.engine_reason,
    )
