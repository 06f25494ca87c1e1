"""jax.experimental.ode.odeint: explicit Dormand-Prince 5(4) with the backsolve adjoint.

The states are integrated backward beside their adjoint, from one observation to the one before.
Trust it on problems that are not stiff: elsewhere the way back is unstable, and odeint returns no
status that would say so.

Source: Chen et al. 2018, NeurIPS 31, 6571, appendix C; Dormand & Prince 1980.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from adapters._interface import (
    Array,
    Call,
    Device,
    DeviceMemory,
    Gradient,
    Method,
    Solution,
    Solver,
)
from adapters._jax_common import Program, host, mapped, on_device, prepare
from problems import Problem

# Steps attempted at most from one observation to the next, either way; odeint's default has no end.
# Enough for y' = -1e5 y up to t = 1. odeint does not say when it stops here: the states it then
# returns are extrapolated, by many orders on ROBER and POLLU, and their gradients are NaN.
MAX_STEPS = 32768

METHODS = (
    Method(
        framework="jax",
        integrator="dopri5",
        strategy="backsolve",
        requires=("jax>=0.5",),
        implicit=False,
        devices=("cpu", "gpu"),
        batched="mapped",
        notes=f"mxstep={MAX_STEPS} an observation; odeint takes tolerances as constants, so every "
        "pair is compiled anew, and returns no status",
    ),
)


def _integrate(rhs: Callable[..., Any], *args: Any, rtol: float, atol: float) -> Any:
    """The states at `ts[1:]`, shape (N, n); `args` is y0 at ts[0], p, ts, direction.

    `direction` is 1 where `ts` increases and -1 where it decreases: odeint only runs forward.
    """
    import jax.numpy as jnp
    from jax.experimental.ode import odeint

    y0, p, ts, direction = args

    def f(y: Any, s: Any, p: Any, direction: Any) -> Any:
        return direction * rhs(direction * s, y, p, jnp)

    states = odeint(f, y0, direction * ts, p, direction, rtol=rtol, atol=atol, mxstep=MAX_STEPS)
    return states[1:]


@lru_cache(maxsize=32)
def _forward_program(rhs: Callable[..., Any], batched: bool, rtol: float, atol: float) -> Program:
    """The solve without a gradient, in either direction."""
    return Program(mapped(partial(_integrate, rhs, rtol=rtol, atol=atol), batched))


class OdeintSolver(Solver):
    """A problem under odeint, one compiled program for every pair of tolerances.

    `compile_cached`: whether the last gradient's program came from the persistent compile cache,
    None where none is in use.
    """

    def __init__(self, problem: Problem, method: Method, device: Device) -> None:
        super().__init__(problem, method)
        prepare(device)
        self.compile_cached: bool | None = None
        self._programs: dict[tuple[float, float], Program] = {}

    def compile(self, y0: Array, p: Array, rtol: float, atol: float) -> None:
        program = self._program(rtol, atol)
        program.executable(*self._arguments(y0, p))
        self.compile_cached = program.cached

    def forward(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        program = self._forward(rtol, atol)
        run = program.bind(*self._arguments(y0, p))
        return Call(run, lambda ys: Solution(host(ys)))

    def gradient(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Gradient]:
        self.compile(y0, p, rtol, atol)
        return Call(self._program(rtol, atol).bind(*self._arguments(y0, p)), _read_gradient)

    def device_memory(self, y0: Array, p: Array, rtol: float, atol: float) -> DeviceMemory:
        return self._program(rtol, atol).device_memory(*self._arguments(y0, p))

    def reverse(self, y1: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        # The observations the other way round, so that one compiled program serves both ways.
        times = self._times()[::-1]
        program = self._forward(rtol, atol)
        run = program.bind(*on_device(y1, p, times, -1.0))
        return Call(run, lambda ys: Solution(host(ys[-1])))

    def _times(self) -> Array:
        return np.concatenate([[self.problem.t0], self.problem.times])

    def _arguments(self, y0: Array, p: Array) -> tuple[Any, ...]:
        return on_device(y0, p, self._times(), 1.0)

    def _forward(self, rtol: float, atol: float) -> Program:
        return _forward_program(self.problem.rhs, self.problem.batch is not None, rtol, atol)

    def _program(self, rtol: float, atol: float) -> Program:
        key = (rtol, atol)
        if key not in self._programs:
            self._programs[key] = Program(_gradient(self.problem, rtol, atol))
        return self._programs[key]


def _gradient(problem: Problem, rtol: float, atol: float) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def loss(*args: Any) -> Any:
        return problem.loss.value(_integrate(problem.rhs, *args, rtol=rtol, atol=atol), jnp)

    return mapped(jax.value_and_grad(loss, argnums=(0, 1)), problem.batch is not None)


def _read_gradient(raw: Any) -> Gradient:
    loss, (y0, p) = raw
    return Gradient.of(host(loss), host(p), host(y0))


def build(problem: Problem, method: Method, device: Device = "cpu") -> OdeintSolver:
    """The solver of `problem` under `method`, in double precision; imports JAX."""
    return OdeintSolver(problem, method, device)
