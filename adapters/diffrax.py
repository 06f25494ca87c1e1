"""diffrax (Kidger 2021, arXiv:2202.02435): Runge-Kutta in JAX, with every adjoint it offers."""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple
from unittest import mock

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
    SolverFailure,
    Strategy,
    Unsupported,
    raise_failed,
)
from adapters._jax_common import Program, host, mapped, on_device, prepare
from problems import Problem

# Steps attempted at most in one solve; an exhausted bound is a failure. Backward Euler on ROBER at
# rtol 1e-6 takes 7 400; the explicit schemes, bound by stability, 7 000 up to t = 10.
MAX_STEPS = 16384


class Integrator(NamedTuple):
    """A solver class of diffrax with the step-size controller it is run at.

    `pcoeff`, `icoeff`: gains of `PIDController`; (0, 1) is diffrax's default.
    """

    solver: str
    implicit: bool
    pcoeff: float
    icoeff: float


# Gains compared at equal gradient error on ROBER and POLLU at rtol 1e-4 and 1e-6, in attempted
# steps. Kvaerno5 with (0, 1) rejects every second step; with (0.4, 0.3), which diffrax's
# documentation suggests, it takes 24-74 % fewer, and 8-15 % fewer than with (0.3, 0.4). Kvaerno3
# and backward Euler gain at most 5 % over the default, which they keep. The explicit schemes at
# their stability limit (ROBER to t = 10, rtol 1e-6) take 17 % fewer with (0.4, 0.3) at equal
# tolerance, and their gradient is 100 to 1000 times more accurate.
INTEGRATORS = {
    "kvaerno3": Integrator("Kvaerno3", True, 0.0, 1.0),
    "kvaerno5": Integrator("Kvaerno5", True, 0.4, 0.3),
    "implicit-euler": Integrator("ImplicitEuler", True, 0.0, 1.0),
    "tsit5": Integrator("Tsit5", False, 0.4, 0.3),
    "dopri5": Integrator("Dopri5", False, 0.4, 0.3),
}

ADJOINTS: tuple[tuple[Strategy, str, str], ...] = (
    ("discrete", "recursive", "RecursiveCheckpointAdjoint keeping every step"),
    ("discrete", "direct", "DirectAdjoint"),
    ("forward-discrete", "", "ForwardMode with jacfwd over p and y0"),
    ("backsolve", "", "BacksolveAdjoint, same tolerances backward, throwing"),
)


def _method(name: str, strategy: Strategy, variant: str, adjoint: str) -> Method:
    integrator = INTEGRATORS[name]
    gains = f"pcoeff={integrator.pcoeff:g}, icoeff={integrator.icoeff:g}"
    return Method(
        framework="diffrax",
        integrator=name,
        strategy=strategy,
        variant=variant,
        requires=("diffrax>=0.5", "jax>=0.4.30"),
        implicit=integrator.implicit,
        devices=("cpu", "gpu"),
        batched="mapped",
        notes=f"{adjoint}; {gains}, max_steps={MAX_STEPS}",
    )


METHODS = tuple(_method(name, *adjoint) for name in INTEGRATORS for adjoint in ADJOINTS)


class _Solved(NamedTuple):
    """What one solve gives: values at `ts`, diffrax's result, accepted and rejected steps."""

    ys: Any
    result: Any
    accepted: Any
    rejected: Any


class _Failed(NamedTuple):
    """Stands for the values of a run that the solver ended with an error."""

    message: str


def _adjoint(method: Method, batched: bool) -> Any:
    import diffrax

    match method.strategy, method.variant:
        case "discrete", "recursive":
            # A checkpoint for every step, so that none is recomputed: 10-30 % faster on ROBER and
            # POLLU than the default of 180, for 6 MB at most. A batch of 100 ROBERs is four times
            # faster with the default.
            return diffrax.RecursiveCheckpointAdjoint(None if batched else MAX_STEPS)
        case "discrete", "direct":
            return diffrax.DirectAdjoint()
        case "forward-discrete", "":
            if not hasattr(diffrax, "ForwardMode"):
                raise Unsupported(f"diffrax {diffrax.__version__} has no ForwardMode; 0.6.2 has")
            return diffrax.ForwardMode()
        case "backsolve", "":
            # Otherwise a truncated backward solve passes as a finite gradient.
            return diffrax.BacksolveAdjoint(throw=True)
    raise ValueError(f"{method.name}: diffrax has no such strategy")


class _Quiet(Program):
    """A program compiled with Equinox's run-time checks giving NaN instead of raising.

    This is EQX_ON_ERROR=nan for a single program. Raising takes a callback into Python, and JAX
    keeps no program with a callback in its persistent cache.
    """

    def _compile(self, args: tuple[Any, ...]) -> Any:
        from equinox import _errors

        names = ("EQX_ON_ERROR", "branched_error_if_impl", "branched_error_if_impl_jit")
        if not all(hasattr(_errors, name) for name in names):
            return super()._compile(args)
        # The jitted check remembers how it was traced for a program that may raise.
        with mock.patch.multiple(
            _errors, EQX_ON_ERROR="nan", branched_error_if_impl_jit=_errors.branched_error_if_impl
        ):
            return super()._compile(args)


def _solve(
    rhs: Callable[..., Any], integrator: Integrator, adjoint: Any, y0: Any, p: Any, *rest: Any
) -> _Solved:
    """Integrate y' = rhs from t0 to the last of `ts`; `rest` is rtol, atol, t0, ts.

    `ts` may run backward in time from t0.
    """
    import diffrax
    import jax.numpy as jnp

    rtol, atol, t0, ts = rest
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, p: rhs(t, y, p, jnp)),
        getattr(diffrax, integrator.solver)(),
        t0,
        ts[-1],
        None,
        y0,
        p,
        saveat=diffrax.SaveAt(ts=ts),
        stepsize_controller=diffrax.PIDController(
            rtol=rtol, atol=atol, pcoeff=integrator.pcoeff, icoeff=integrator.icoeff
        ),
        adjoint=adjoint,
        max_steps=MAX_STEPS,
        # The result is returned and checked: no solve that failed is read as a success.
        throw=False,
    )
    steps = solution.stats
    return _Solved(
        solution.ys, solution.result, steps["num_accepted_steps"], steps["num_rejected_steps"]
    )


def _reverse_mode(problem: Problem, solve: Callable[..., _Solved]) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    def loss(y0: Any, p: Any, *rest: Any) -> tuple[Any, _Solved]:
        solved = solve(y0, p, *rest)
        return problem.loss.value(solved.ys, jnp), solved

    return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)


def _forward_mode(problem: Problem, solve: Callable[..., _Solved]) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    n = problem.n

    def gradient(y0: Any, p: Any, *rest: Any) -> Any:
        def loss(x: Any) -> tuple[Any, Any]:
            solved = solve(x[:n], x[n:], *rest)
            value = problem.loss.value(solved.ys, jnp)
            return value, (value, solved)

        slope, value_and_solved = jax.jacfwd(loss, has_aux=True)(jnp.concat([y0, p]))
        return value_and_solved, (slope[:n], slope[n:])

    return gradient


@lru_cache(maxsize=16)
def _forward_program(rhs: Callable[..., Any], name: str, batched: bool) -> Program:
    """The solve without a gradient: the same for every strategy, so compiled once for all."""
    import diffrax

    # Without an adjoint to serve, the plain while loop, which is what ForwardMode runs.
    plain = getattr(diffrax, "ForwardMode", diffrax.RecursiveCheckpointAdjoint)
    solve = partial(_solve, rhs, INTEGRATORS[name], plain())
    return _Quiet(mapped(solve, batched))


def _gradient_program(problem: Problem, method: Method) -> Program:
    batched = problem.batch is not None
    solve = partial(_solve, problem.rhs, INTEGRATORS[method.integrator], _adjoint(method, batched))
    if method.strategy == "backsolve":
        # diffrax drops the results of the backward solves, so these must raise.
        return Program(mapped(_reverse_mode(problem, solve), batched))
    mode = _forward_mode if method.strategy == "forward-discrete" else _reverse_mode
    return _Quiet(mapped(mode(problem, solve), batched))


def _solver_message(error: Exception) -> str | None:
    """What diffrax said in an error thrown inside a compiled program; None if it was not diffrax.

    Equinox raises within a callback, so JAX's error holds the message in a traceback's last lines.
    """
    found = re.search(r"EquinoxRuntimeError: (.+?)(?:\n|$)", str(error))
    return found and found[1].strip()


def _guarded(run: Callable[[], Any]) -> Callable[[], Any]:
    import jax

    def guarded() -> Any:
        try:
            return run()
        except jax.errors.JaxRuntimeError as error:
            message = _solver_message(error)
            if message is None:
                raise
            return _Failed(message)

    return guarded


def _counters(solved: _Solved) -> Counters:
    """Of a successful solve; raises SolverFailure with diffrax's message of any other."""
    import diffrax
    import jax

    results: Any = diffrax.RESULTS
    failed = np.asarray(solved.result != results.successful)
    raise_failed(failed, lambda k: results[jax.tree.map(lambda x: x.reshape(-1)[k], solved.result)])
    accepted, rejected = (int(np.sum(host(x))) for x in (solved.accepted, solved.rejected))
    return Counters(steps=accepted, steps_rejected=rejected)


class DiffraxSolver(Solver):
    """A problem under one of diffrax's integrators and adjoints; tolerances are arguments.

    `compile_cached`: whether the gradient came from the persistent compile cache, None where none
    is in use. The counters of `backsolve` are those of its forward solve: diffrax does not tell the
    others.
    """

    def __init__(self, problem: Problem, method: Method, device: Device) -> None:
        super().__init__(problem, method)
        prepare(device)
        self._forward = _forward_program(problem.rhs, method.integrator, problem.batch is not None)
        self._gradient = _gradient_program(problem, method)

    @property
    def compile_cached(self) -> bool | None:
        return self._gradient.cached

    def compile(self, y0: Array, p: Array, rtol: float, atol: float) -> None:
        self._gradient.executable(*self._arguments(y0, p, rtol, atol))

    def forward(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        args = self._arguments(y0, p, rtol, atol)
        return Call(self._forward.bind(*args), _read_solution)

    def gradient(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Gradient]:
        args = self._arguments(y0, p, rtol, atol)
        return Call(_guarded(self._gradient.bind(*args)), _read_gradient)

    def device_memory(self, y0: Array, p: Array, rtol: float, atol: float) -> DeviceMemory:
        return self._gradient.device_memory(*self._arguments(y0, p, rtol, atol))

    def reverse(self, y1: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        # As many times as forward, so that one compiled program serves both.
        times = np.append(self.problem.times[-2::-1], self.problem.t0)
        args = on_device(y1, p, rtol, atol, self.problem.t1, times)
        return Call(self._forward.bind(*args), _read_end)

    def _arguments(self, y0: Array, p: Array, rtol: float, atol: float) -> tuple[Any, ...]:
        return on_device(y0, p, rtol, atol, self.problem.t0, self.problem.times)


def _read_solution(raw: _Solved) -> Solution:
    counters = _counters(raw)
    return Solution(host(raw.ys), counters)


def _read_end(raw: _Solved) -> Solution:
    counters = _counters(raw)
    return Solution(host(raw.ys[-1]), counters)


def _read_gradient(raw: Any) -> Gradient:
    if isinstance(raw, _Failed):
        raise SolverFailure(raw.message)
    (loss, solved), (y0, p) = raw
    counters = _counters(solved)
    return Gradient.of(host(loss), host(p), host(y0), counters)


def build(problem: Problem, method: Method, device: Device = "cpu") -> DiffraxSolver:
    """The solver of `problem` under `method`, in double precision."""
    return DiffraxSolver(problem, method, device)
