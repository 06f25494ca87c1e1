"""stiffgrad.jax: our own stiff solvers, every strategy on the same integrator.

A solve that does not reach the end, or an adjoint that does not, has a status and NaN gradients,
never a truncated one.

Source: stiffgrad.jax.solve; the integrators' files under stiffgrad/jax/integrators name theirs.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from adapters._interface import (
    Array,
    Call,
    Counters,
    Device,
    DeviceMemory,
    Gradient,
    Method,
    Solution,
    Solver,
    Strategy,
    raise_failed,
)
from adapters._jax_common import Program, host, mapped, on_device, prepare
from problems import Problem

# Steps tried at most; the record of a reverse solve is as long. The methods of low order take the
# most: rosenbrock23 1 500 on ROBER at rtol 1e-6.
MAX_STEPS = 4096
# The checkpointed variant may use this part of what storing every step takes.
CHECKPOINTED_PART = 10

# Every strategy on the default integrator, with its variant.
STRATEGIES: tuple[tuple[Strategy, str], ...] = (
    ("discrete", ""),
    ("discrete", "checkpointed"),
    ("forward-discrete", ""),
    ("forward", ""),
    ("interpolating", ""),
    ("quadrature", ""),
    ("gauss", ""),
    ("imex", ""),
    ("backsolve", ""),
    ("backsolve", "checkpointed"),
)
# The others with the strategies that tell their families apart: one-step linearly implicit,
# diagonally and fully implicit, explicit and switching.
OTHERS: dict[str, tuple[Strategy, ...]] = {
    "rodas4": ("discrete",),
    "rosenbrock23": ("discrete",),
    "radau5": ("discrete", "forward", "gauss"),
    "radau3": ("discrete",),
    "kvaerno5": ("discrete", "forward", "gauss"),
    "sdirk2": ("discrete",),
    "tr-bdf2": ("discrete",),
    "auto-tsit5-rosenbrock23": ("discrete",),
    "tsit5": ("discrete",),
}
ROSENBROCK = ("rodas5p", "rodas4", "rosenbrock23")
WITH_MASS = (*ROSENBROCK, "radau5", "radau3", "sdirk2")


def _method(integrator: str, strategy: Strategy, variant: str = "") -> Method:
    return Method(
        framework="stiffgrad-jax",
        integrator=integrator,
        strategy=strategy,
        variant=variant,
        requires=("jax>=0.10",),
        implicit=integrator != "tsit5",
        mass_matrix=integrator in WITH_MASS and strategy in ("discrete", "forward"),
        devices=("cpu", "gpu"),
        batched="mapped",
        notes=f"max_steps={MAX_STEPS}; small systems as scalars with a sparse elimination fixed at "
        "compile time",
    )


METHODS = (
    *(_method("rodas5p", *strategy) for strategy in STRATEGIES),
    *(_method(name, strategy) for name, found in OTHERS.items() for strategy in found),
)


Mass = tuple[tuple[float, ...], ...] | None


def _options(method: Method, n: int) -> dict[str, Any]:
    """What `solve` calls the method, for n states."""
    if method.strategy == "discrete" and method.variant == "checkpointed":
        # Of the 8-byte numbers of store-all's rows: t, h, times reached, and the state.
        return {"memory_limit": 8 * (3 + n) * MAX_STEPS // CHECKPOINTED_PART}
    return {"adjoint": "-".join(filter(None, (method.strategy, method.variant)))}


def _solve(
    rhs: Callable[..., Any], mass: Mass, options: dict[str, Any], *args: Any
) -> tuple[Any, Any]:
    """stiffgrad's solution at all of `ts` but the first; `args` is y0, p, rtol, atol, ts."""
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    y0, p, rtol, atol, ts = args
    solution = solve(
        lambda t, y, p: rhs(t, y, p, jnp),
        y0,
        ts,
        p,
        mass=mass,
        rtol=rtol,
        atol=atol,
        max_steps=MAX_STEPS,
        **options,
    )
    stats = solution.stats
    return solution.ys[1:], (solution.status, stats.accepted, stats.attempted)


def _mass(problem: Problem) -> Mass:
    """The mass matrix in a form that can be hashed."""
    return None if problem.mass is None else tuple(map(tuple, problem.mass.tolist()))


@lru_cache(maxsize=16)
def _forward_program(
    rhs: Callable[..., Any], mass: Mass, integrator: str, batched: bool
) -> Program:
    """The solve without a gradient, in either direction."""
    return Program(mapped(partial(_solve, rhs, mass, {"integrator": integrator}), batched))


def _gradient_program(problem: Problem, method: Method) -> Program:
    import jax
    import jax.numpy as jnp

    options = {"integrator": method.integrator, **_options(method, problem.n)}

    def loss(*args: Any) -> Any:
        ys, outcome = _solve(problem.rhs, _mass(problem), options, *args)
        return problem.loss.value(ys, jnp), outcome

    gradient = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    return Program(mapped(gradient, problem.batch is not None))


def _counters(outcome: Any, integrator: str) -> Counters:
    """Of a successful solve; raises SolverFailure with stiffgrad's message of any other."""
    from stiffgrad.jax import Status
    from stiffgrad.jax._types import MESSAGES

    statuses, *counts = (np.asarray(value) for value in outcome)
    raise_failed(statuses != Status.SUCCESS, lambda k: MESSAGES[Status(int(statuses.flat[k]))])
    accepted, attempted = (int(np.sum(count)) for count in counts)
    # A Rosenbrock step has one Jacobian; the other families do not count theirs.
    once = attempted if integrator in ROSENBROCK else None
    return Counters(
        steps=accepted,
        steps_rejected=attempted - accepted,
        jacobian_evaluations=once,
        factorisations=once,
    )


class StiffgradSolver(Solver):
    """A problem under one of stiffgrad's integrators; tolerances and times are arguments."""

    def __init__(self, problem: Problem, method: Method, device: Device) -> None:
        super().__init__(problem, method)
        prepare(device)
        self._forward = _forward_program(
            problem.rhs, _mass(problem), method.integrator, problem.batch is not None
        )
        self._gradient = _gradient_program(problem, method)

    @property
    def compile_cached(self) -> bool | None:
        return self._gradient.cached

    def compile(self, y0: Array, p: Array, rtol: float, atol: float) -> None:
        self._gradient.executable(*self._arguments(y0, p, rtol, atol))

    def forward(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        return Call(self._forward.bind(*self._arguments(y0, p, rtol, atol)), self._read_solution)

    def gradient(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Gradient]:
        return Call(self._gradient.bind(*self._arguments(y0, p, rtol, atol)), self._read_gradient)

    def device_memory(self, y0: Array, p: Array, rtol: float, atol: float) -> DeviceMemory:
        return self._gradient.device_memory(*self._arguments(y0, p, rtol, atol))

    def reverse(self, y1: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        args = on_device(y1, p, rtol, atol, self._times()[::-1])
        return Call(self._forward.bind(*args), self._read_end)

    def _times(self) -> Array:
        return np.concatenate([[self.problem.t0], self.problem.times])

    def _arguments(self, y0: Array, p: Array, rtol: float, atol: float) -> tuple[Any, ...]:
        return on_device(y0, p, rtol, atol, self._times())

    def _read_solution(self, raw: Any) -> Solution:
        ys, outcome = raw
        return Solution(host(ys), _counters(outcome, self.method.integrator))

    def _read_end(self, raw: Any) -> Solution:
        solution = self._read_solution(raw)
        return Solution(solution.ys[-1], solution.counters)

    def _read_gradient(self, raw: Any) -> Gradient:
        (loss, outcome), (y0, p) = raw
        counters = _counters(outcome, self.method.integrator)
        return Gradient.of(host(loss), host(p), host(y0), counters)


def build(problem: Problem, method: Method, device: Device = "cpu") -> StiffgradSolver:
    """The solver of `problem` under `method`, in double precision; imports JAX."""
    return StiffgradSolver(problem, method, device)
