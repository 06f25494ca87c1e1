"""torchdiffeq: explicit dopri5, fixed-step implicit Adams, and SciPy's stiff solvers in PyTorch.

`discrete` backpropagates through the steps of `odeint`; `backsolve` is `odeint_adjoint`, which
integrates states and adjoints backwards together, from one observation to the one before. Trust
either on mildly stiff problems only: where stability bounds dopri5's step, its `discrete` gradient
can be wrong by many orders while its states are right, and the backward solve of `backsolve` is
unstable wherever the forward one is strongly damped.

Source: Chen et al. 2018, NeurIPS 31, 6571, algorithm 1 (odeint_adjoint); Dormand & Prince 1980
(dopri5); Hairer, Norsett & Wanner 1993, section III.1 (Adams methods).
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters._interface import (
    Call,
    Counters,
    Device,
    DeviceMemory,
    Gradient,
    Method,
    NotAvailable,
    Solution,
    Solver,
)
from adapters._torchdiffeq_failures import Work, outspoken, reporting
from problems import Problem

Array = NDArray[np.float64]
Integrate = Callable[..., Any]

# Above order 4 the stability region of Adams methods shrinks fast: y' = -100 y on [0.3, 1] in 100
# steps is right to 1e-10 at order 4 and 25 decades off at torchdiffeq's default, order 12.
ADAMS_ORDER = 4
# Instead of torchdiffeq's 4: the corrector then converges wherever it contracts at all; where the
# prediction is good it stops after one or two all the same.
ADAMS_ITERATIONS = 20

DOPRI5 = Method(
    framework="torchdiffeq",
    integrator="dopri5",
    strategy="discrete",
    requires=("torchdiffeq>=0.2.3", "torch>=2.5"),
    implicit=False,
    devices=("cpu", "gpu"),
    batched="joint",
    notes="torchdiffeq's defaults; explicit: on stiff problems stability bounds the step",
)
ADAMS = replace(
    DOPRI5,
    integrator="implicit-adams",
    adaptive=False,
    notes="fixed step: ceil(rtol^(-1/4)) equal steps an observation interval; order 4, since the "
    "default 12 is unstable; rtol and atol are the corrector's (fixed point, 20 iterations, a "
    "warning where they do not converge)",
)
SCIPY = replace(
    DOPRI5,
    strategy="backsolve",
    requires=(*DOPRI5.requires, "scipy>=1.11"),
    implicit=True,
    devices=("cpu",),
    notes="scipy_solver; Jacobians by differences, torchdiffeq passing none",
)
SCIPY_CLASSES = {"scipy-bdf": "BDF", "scipy-lsoda": "LSODA", "scipy-radau": "Radau"}

METHODS = (
    DOPRI5,
    replace(DOPRI5, strategy="backsolve"),
    ADAMS,
    replace(ADAMS, strategy="backsolve"),
    *(replace(SCIPY, integrator=integrator) for integrator in SCIPY_CLASSES),
)


# PyTorch's names of the devices.
DEVICES: dict[Device, str] = {"cpu": "cpu", "gpu": "cuda"}


def build(problem: Problem, method: Method, device: Device = "cpu") -> Solver:
    """The solver of a problem under one of `METHODS`; imports torch, for one thread.

    Raises NotAvailable where torch finds no GPU and one is asked for.
    """
    import torch
    import torchdiffeq  # noqa: F401

    if device == "gpu" and not torch.cuda.is_available():
        raise NotAvailable(
            f"PyTorch {torch.__version__} sees no GPU; on a machine with one, install the build "
            "for it that https://pytorch.org/get-started names"
        )
    torch.set_num_threads(1)
    classes = {"dopri5": Dopri5, "implicit-adams": ImplicitAdams}
    return classes.get(method.integrator, ScipySolver)(problem, method, DEVICES[device])


class _Rhs:
    """f(t, y) at given parameters, counted; of a batch, all members' at one time."""

    def __init__(self, problem: Problem, p: Any, work: Work) -> None:
        import array_api_compat.torch as xp

        self.f, self.p, self.xp, self.work = problem.rhs, p, xp, work
        self.batched = problem.batch is not None

    def __call__(self, t: Any, y: Any) -> Any:
        self.work.rhs += 1
        self.work.t = t
        if self.batched:
            return _mapped(lambda y, p: self.f(t, y, p, self.xp))(y, self.p)
        return self.f(t, y, self.p, self.xp)

    def _accepted(self, t: Any, y: Any, dt: Any) -> None:
        self.work.accepted += 1

    def _rejected(self, t: Any, y: Any, dt: Any) -> None:
        self.work.rejected += 1


class _Dopri5Rhs(_Rhs):
    """With the names by which torchdiffeq's adaptive solvers report steps."""

    callback_accept_step = callback_accept_step_adjoint = _Rhs._accepted
    callback_reject_step = callback_reject_step_adjoint = _Rhs._rejected


class _AdamsRhs(_Rhs):
    """With the name by which torchdiffeq's fixed-step solvers report steps."""

    callback_step = callback_step_adjoint = _Rhs._accepted


class TorchSolver(Solver):
    """What torchdiffeq's integrators share; tensors live on `device`, one of PyTorch's names.

    The counters of a gradient cover both solves, the forward and the backward one.
    """

    rhs_class: type[_Rhs] = _Rhs

    def __init__(self, problem: Problem, method: Method, device: str) -> None:
        super().__init__(problem, method)
        self.device = device

    @abstractmethod
    def settings(self, rtol: float, work: Work) -> dict[str, Any]:
        """`method` and `options` of torchdiffeq."""

    @abstractmethod
    def counters(self, work: Work) -> Counters:
        """What torchdiffeq lets be counted with this integrator."""

    def observe(self, integrate: Integrate, y: Any, times: Any) -> Any:
        """States at `times[1:]`, starting from y at `times[0]`."""
        return integrate(y, times)[1:]

    def forward(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        run = partial(self._run_states, "forward", y0, p, self._times(), rtol, atol)
        return Call(run, lambda raw: Solution(_numpy(raw[0]), self.counters(raw[1])))

    def reverse(self, y1: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        run = partial(self._run_states, "reverse", y1, p, self._times()[::-1], rtol, atol)
        return Call(run, lambda raw: Solution(_numpy(raw[0][-1]), self.counters(raw[1])))

    def gradient(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Gradient]:
        run = partial(self._run_gradient, y0, p, rtol, atol)
        return Call(run, self._read_gradient)

    def device_memory(self, y0: Array, p: Array, rtol: float, atol: float) -> DeviceMemory:
        import torch

        call = self.gradient(y0, p, rtol, atol)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call.run()
        return DeviceMemory(torch.cuda.max_memory_allocated() - before, "torch.cuda allocator")

    def _run_states(
        self, solve: str, y: Array, p: Array, times: Array, rtol: float, atol: float
    ) -> Any:
        import torch
        from torchdiffeq import odeint

        work = Work(times[0])
        start, parameters, moments = (self._tensor(x) for x in (y, p, times))
        rhs = self.rhs_class(self.problem, parameters, work)
        integrate = partial(odeint, rhs, rtol=rtol, atol=atol, **self.settings(rtol, work))
        with torch.no_grad(), reporting(work, solve):
            ys = self.observe(integrate, start, moments)
        if self.problem.batch is not None:
            ys = ys.movedim(0, 1)
        _wait(ys)
        return ys, work

    def _run_gradient(self, y0: Array, p: Array, rtol: float, atol: float) -> Any:
        import torch

        work = Work(self.problem.t0)
        start, parameters = (self._tensor(x).requires_grad_() for x in (y0, p))
        moments = self._tensor(self._times())
        integrate = self._differentiable(self.rhs_class(self.problem, parameters, work), rtol, atol)
        with reporting(work, "forward"):
            ys = self.observe(integrate, start, moments)
        loss = total = self._loss(ys)
        if self.problem.batch is not None:
            total = loss.sum()
        with reporting(work, "backward"):
            slopes = torch.autograd.grad(total, (parameters, start))
        _wait(slopes[0])
        return loss.detach(), *slopes, work

    def _loss(self, ys: Any) -> Any:
        """Of states of shape (N, n), a 0-d tensor; of a batch's, (N, B, n), one of shape (B,)."""
        import array_api_compat.torch as xp

        if self.problem.batch is None:
            return self.problem.loss.value(ys, xp)
        return _mapped(lambda ys: self.problem.loss.value(ys, xp))(ys.movedim(0, 1))

    def _differentiable(self, rhs: _Rhs, rtol: float, atol: float) -> Integrate:
        from torchdiffeq import odeint, odeint_adjoint

        settings = self.settings(rtol, rhs.work)
        if self.method.strategy == "discrete":
            return partial(odeint, rhs, rtol=rtol, atol=atol, **settings)
        return partial(
            odeint_adjoint, rhs, rtol=rtol, atol=atol, adjoint_params=(rhs.p,), **settings
        )

    def _read_gradient(self, raw: Any) -> Gradient:
        loss, p, y0, work = raw
        return Gradient.of(_numpy(loss), _numpy(p), _numpy(y0), self.counters(work))

    def _times(self) -> Array:
        return np.concatenate([[self.problem.t0], self.problem.times])

    def _tensor(self, values: Array) -> Any:
        import torch

        return torch.tensor(np.ascontiguousarray(values), dtype=torch.float64, device=self.device)


class Dopri5(TorchSolver):
    """Dormand-Prince 5(4) with torchdiffeq's own controller and interpolant."""

    rhs_class = _Dopri5Rhs

    def settings(self, rtol: float, work: Work) -> dict[str, Any]:
        return {"method": "dopri5", "options": {}}

    def counters(self, work: Work) -> Counters:
        return Counters(steps=work.accepted, steps_rejected=work.rejected, rhs_evaluations=work.rhs)


class ImplicitAdams(TorchSolver):
    """Adams-Bashforth-Moulton, PEC with fixed-point iteration, on equal steps.

    torchdiffeq uses the coefficients of equal steps whatever the grid, so that every observation
    interval is a call of its own, started by two Runge-Kutta steps. Its error falls as the fourth
    power of the step: rtol^(-1/4) steps an interval make it proportional to rtol.
    """

    rhs_class = _AdamsRhs

    def settings(self, rtol: float, work: Work) -> dict[str, Any]:
        import torch

        steps = math.ceil(rtol ** (-1 / ADAMS_ORDER))

        def equal_steps(f: Any, y: Any, t: Any) -> Any:
            return torch.linspace(t[0], t[-1], steps + 1, dtype=t.dtype, device=t.device)

        options = {
            "grid_constructor": equal_steps,
            "max_order": ADAMS_ORDER,
            "max_iters": ADAMS_ITERATIONS,
        }
        return {"method": "implicit_adams", "options": options}

    def observe(self, integrate: Integrate, y: Any, times: Any) -> Any:
        import torch

        ys = []
        for leg in times.unfold(0, 2, 1):
            y = integrate(y, leg)[-1]
            ys.append(y)
        return torch.stack(ys)

    def counters(self, work: Work) -> Counters:
        return Counters(steps=work.accepted, rhs_evaluations=work.rhs)


class ScipySolver(TorchSolver):
    """A solver of scipy.integrate, stepping on the CPU, called through torchdiffeq."""

    def settings(self, rtol: float, work: Work) -> dict[str, Any]:
        scipy_class = outspoken(SCIPY_CLASSES[self.method.integrator], work)
        return {"method": "scipy_solver", "options": {"solver": scipy_class}}

    def counters(self, work: Work) -> Counters:
        return Counters(
            steps=work.accepted,
            rhs_evaluations=work.rhs,
            jacobian_evaluations=sum(int(solver.njev) for solver in work.scipy_solvers),
            factorisations=sum(int(solver.nlu) for solver in work.scipy_solvers),
        )


def _mapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Over the first axes: right-hand sides and losses are written for one member."""
    import torch

    return torch.func.vmap(function)


def _numpy(tensor: Any) -> Array:
    return tensor.detach().cpu().numpy()


def _wait(tensor: Any) -> None:
    if tensor.is_cuda:
        import torch

        torch.cuda.synchronize(tensor.device)
