"""What an adapter promises: methods declared as data, and solvers that answer calls.

A framework's file holds `METHODS`, a tuple of `Method`, and `build(problem, method) -> Solver`,
with the device as a third argument where its methods declare more than the CPU. It imports its
framework inside functions only, so that methods can be listed without it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from problems import Problem

Array = NDArray[np.float64]

Device = Literal["cpu", "gpu"]
Strategy = Literal[
    "finite-difference",
    "forward",
    "forward-discrete",
    "discrete",
    "backsolve",
    "interpolating",
    "quadrature",
    "gauss",
    "imex",
]
FAMILIES: dict[str, str] = {
    "finite-difference": "finite differences",
    "forward": "forward, continuous",
    "forward-discrete": "forward, discrete",
    "discrete": "reverse, discrete",
    "backsolve": "reverse, continuous",
    "interpolating": "reverse, continuous",
    "quadrature": "reverse, continuous",
    "gauss": "reverse, continuous",
    "imex": "reverse, continuous",
}


class SolverFailure(RuntimeError):
    """The solver itself said that it did not succeed; the message is the solver's own."""


class Unsupported(RuntimeError):
    """The method cannot do what the case asks; the message says what and why."""


class NotAvailable(RuntimeError):
    """The framework sees no device of the kind asked for; the message says what to do."""


@dataclass(frozen=True)
class Method:
    """A way to a gradient: framework / integrator / strategy, with what must be installed.

    Arguments:
        framework: name of the adapter's file, a hyphen standing for an underscore there.
        integrator: the time-stepping scheme.
        strategy: how the gradient is obtained; one of the closed list `Strategy`.
        variant: a refinement of the strategy (`recursive`, `direct`, `checkpointed`), or "".
        requires: distributions with version specifiers, such as `diffrax>=0.7`.
        implicit: whether the integrator solves with the Jacobian (made for stiff problems).
        adaptive: whether it controls its step by rtol and atol.
        mass_matrix: whether it takes a singular mass matrix.
        gradients: what it differentiates with respect to.
        devices: where it can run.
        batched: how it solves a batch: `mapped`, every member in steps of its own; `joint`, all as
            one system in common steps; "", not at all.
        notes: one line on the settings it is run at, and why.
    """

    framework: str
    integrator: str
    strategy: Strategy
    variant: str = ""
    requires: tuple[str, ...] = ()
    implicit: bool = True
    adaptive: bool = True
    mass_matrix: bool = False
    gradients: tuple[Literal["p", "y0"], ...] = ("p", "y0")
    devices: tuple[Device, ...] = ("cpu",)
    batched: Literal["mapped", "joint", ""] = ""
    notes: str = ""

    @property
    def name(self) -> str:
        """`framework/integrator/strategy`, with `-variant` where there is one."""
        tail = f"-{self.variant}" if self.variant else ""
        return f"{self.framework}/{self.integrator}/{self.strategy}{tail}"

    @property
    def family(self) -> str:
        """Forward or reverse, continuous or discrete: the group it is compared within."""
        return FAMILIES[self.strategy]


@dataclass(frozen=True)
class Counters:
    """What the last call cost in steps and evaluations; None where the solver does not say.

    Of a mapped batch the sum over its members.
    """

    steps: int | None = None
    steps_rejected: int | None = None
    rhs_evaluations: int | None = None
    jacobian_evaluations: int | None = None
    factorisations: int | None = None


@dataclass(frozen=True)
class Solution:
    """States at the observation times, shape (N, n) (of a reverse solve: at t0, shape (n,)).

    Those of a batch's members have shape (B, N, n).
    """

    ys: Array
    counters: Counters = Counters()


@dataclass(frozen=True)
class Gradient:
    """The loss, dL/dp of shape (m,) and dL/dy0 of shape (n,), NumPy float64.

    Of a batch: the sum of its members' losses; the gradient of each with respect to its own p and
    y0, shapes (B, m) and (B, n); and `losses`, shape (B,), which is None otherwise.
    """

    loss: float
    p: Array
    y0: Array
    counters: Counters = Counters()
    losses: Array | None = None

    @classmethod
    def of(cls, loss: Array, p: Array, y0: Array, counters: Counters = Counters()) -> "Gradient":
        """From a loss of shape (), or (B,) for a batch."""
        return cls(float(np.sum(loss)), p, y0, counters, loss if loss.ndim else None)

    def member(self, number: int) -> "Gradient":
        """That of one member of a batch."""
        assert self.losses is not None
        return Gradient(float(self.losses[number]), self.p[number], self.y0[number])


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes that one gradient takes at most on an accelerator, and whose figure that is."""

    peak_bytes: int
    source: str


Result = TypeVar("Result")


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A bound computation, split so that only the framework's own work is timed.

    `run()` computes, waits for the device and returns the framework's own values; `read(raw)` turns
    them into NumPy and raises SolverFailure if the solver did not succeed.
    """

    run: Callable[[], Any]
    read: Callable[[Any], Result]

    def __call__(self) -> Result:
        return self.read(self.run())


def raise_failed(failed: NDArray[np.bool_], message: Callable[[int], str]) -> None:
    """Raise SolverFailure if a solve failed, of a batch's any one.

    Arguments:
        failed: shape (), or (B,) for a batch.
        message: the solver's own for the solve of that number, 0 for a single one.
    """
    bad = np.flatnonzero(failed)
    if not bad.size:
        return
    which = f"{bad.size} of {failed.size} members failed, first {bad[0]}: " if failed.ndim else ""
    raise SolverFailure(which + message(int(bad[0])))


class Solver(ABC):
    """One problem's program under one method, ready for any y0, p and tolerances.

    It must not bake in y0, p or the tolerances: one solver serves every problem of equal
    `Problem.program` and all tolerances. `y0`: shape (n,); `p`: shape (m,); `rtol`, `atol`: floats.
    Of a batch, which only methods get that declare `batched`, (B, n) and (B, m).
    """

    def __init__(self, problem: Problem, method: Method) -> None:
        self.problem = problem
        self.method = method

    def compile(self, y0: Array, p: Array, rtol: float, atol: float) -> None:  # noqa: B027
        """Do all one-off work of `gradient` (tracing, compiling); timed apart. May do nothing."""

    @abstractmethod
    def forward(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        """The states at the observation times, no gradient."""

    @abstractmethod
    def gradient(self, y0: Array, p: Array, rtol: float, atol: float) -> Call[Gradient]:
        """The loss with its derivatives."""

    @abstractmethod
    def reverse(self, y1: Array, p: Array, rtol: float, atol: float) -> Call[Solution]:
        """From the states y1 at t1 back to t0 with the same integrator; `ys` of shape (n,).

        Not asked of batches.
        """

    def device_memory(self, y0: Array, p: Array, rtol: float, atol: float) -> DeviceMemory:
        """What a warm gradient takes on an accelerator; every method that runs on one tells."""
        raise NotImplementedError(f"{self.method.name} does not tell what memory it takes")
