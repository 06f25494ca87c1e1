"""stiffgrad.jax: our own Rosenbrock solvers with the exact discrete adjoint of their steps.

The gradient is that of the returned values with the accepted step sizes held fixed; a solve that
does not reach the end has a status and NaN gradients, never a truncated one.

Source: stiffgrad.jax.solve; Steinebach 2023, BIT 63, 27 (rodas5p); Hairer & Wanner 1996, section
IV.7 (rodas4); Shampine & Reichelt 1997, SIAM J. Sci. Comput. 18, 1 (rosenbrock23).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from adapters._interface import (
    Array,
    Call,
    Counters,
    Gradient,
    Method,
    Solution,
    Solver,
    SolverFailure,
)
from adapters._jax_common import Program, host, on_device, prepare
from problems import Problem

# Steps tried at most; the record of a reverse solve is as long. rosenbrock23 takes the most: 1 500
# on ROBER at rtol 1e-6.
MAX_STEPS = 4096

METHODS = tuple(
    Method(
        framework="stiffgrad-jax",
        integrator=integrator,
        strategy="discrete",
        requires=("jax>=0.10",),
        devices=("cpu", "gpu"),
        notes=f"every step recorded, max_steps={MAX_STEPS}; small systems as scalars with a sparse "
        "elimination fixed at compile time",
    )
    for integrator in ("rodas5p", "rodas4", "rosenbrock23")
)


Mass = tuple[tuple[float, ...], ...] | None


def _solve(rhs: Callable[..., Any], mass: Mass, integrator: str, *args: Any) -> Any:
    """stiffgrad's solution at all of `ts` but the first; `args` is y0, p, rtol, atol, ts."""
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    y0, p, rtol, atol, ts = args
    solution = solve(
        lambda t, y, p: rhs(t, y, p, jnp),
        y0,
        ts,
        p,
        integrator=integrator,
        mass=mass,
        rtol=rtol,
        atol=atol,
        max_steps=MAX_STEPS,
    )
    stats = solution.stats
    return solution.ys[1:], (solution.status, stats.accepted, stats.attempted)


def _mass(problem: Problem) -> Mass:
    """The mass matrix in a form that can be hashed."""
    return None if problem.mass is None else tuple(map(tuple, problem.mass.tolist()))


@lru_cache(maxsize=16)
def _forward_program(rhs: Callable[..., Any], mass: Mass, integrator: str) -> Program:
    """The solve without a gradient, in either direction."""
    return Program(lambda *args: _solve(rhs, mass, integrator, *args))


def _gradient_program(problem: Problem, integrator: str) -> Program:
    import jax
    import jax.numpy as jnp

    def loss(*args: Any) -> Any:
        ys, outcome = _solve(problem.rhs, _mass(problem), integrator, *args)
        return problem.loss.value(ys, jnp), outcome

    return Program(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


def _counters(outcome: Any) -> Counters:
    """Of a successful solve; raises SolverFailure with stiffgrad's message of any other."""
    from stiffgrad.jax import Status
    from stiffgrad.jax._types import MESSAGES

    status, accepted, attempted = (int(value) for value in outcome)
    if status != Status.SUCCESS:
        raise SolverFailure(MESSAGES[Status(status)])
    return Counters(
        steps=accepted,
        steps_rejected=attempted - accepted,
        jacobian_evaluations=attempted,
        factorisations=attempted,
    )


class StiffgradSolver(Solver):
    """A problem under one of stiffgrad's integrators; tolerances and times are arguments."""

    def __init__(self, problem: Problem, method: Method) -> None:
        super().__init__(problem, method)
        prepare()
        self._forward = _forward_program(problem.rhs, _mass(problem), method.integrator)
        self._gradient = _gradient_program(problem, method.integrator)

    @property
    def compile_cached(self) -> bool | None:
        return self._gradient.cached

    def compile(self, y0: Array, p: Array, rtol: float, atol: float) -> None:
        self._gradient.executable(*self._arguments(y0, p, rtol, atol))

    def forward(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        return Call(self._forward.bind(*self._arguments(y0, p, rtol, atol)), _read_solution)

    def gradient(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Gradient]:
        return Call(self._gradient.bind(*self._arguments(y0, p, rtol, atol)), _read_gradient)

    def reverse(self, y1: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        args = on_device(y1, p, rtol, atol, self._times()[::-1])
        return Call(self._forward.bind(*args), _read_end)

    def _times(self) -> Array:
        return np.concatenate([[self.problem.t0], self.problem.times])

    def _arguments(self, y0: Array, p: Array, rtol: float, atol: float) -> tuple[Any, ...]:
        return on_device(y0, p, rtol, atol, self._times())


def _read_solution(raw: Any) -> Solution:
    ys, outcome = raw
    return Solution(host(ys), _counters(outcome))


def _read_end(raw: Any) -> Solution:
    solution = _read_solution(raw)
    return Solution(solution.ys[-1], solution.counters)


def _read_gradient(raw: Any) -> Gradient:
    (loss, outcome), (y0, p) = raw
    return Gradient(float(loss), host(p), host(y0), _counters(outcome))


def build(problem: Problem, method: Method) -> StiffgradSolver:
    """The solver of `problem` under `method`, in double precision; imports JAX."""
    return StiffgradSolver(problem, method)
