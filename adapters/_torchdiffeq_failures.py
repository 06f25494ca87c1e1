"""How failures of torchdiffeq and of SciPy underneath it become SolverFailure with a reason."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adapters._interface import SolverFailure

# LSODA's own limit of steps a call (mxstep of ODEPACK) is void in solve_ivp, which calls it step by
# step: on a diverged adjoint it can take steps of zero length without end.
IDLE_STEPS = 500

# What torchdiffeq asserts (its beginning), in plain words.
ASSERTED = {
    "underflow in dt": "the step fell below the spacing of floating-point numbers",
    "non-finite values in state": "the state became infinite or NaN",
}


@dataclass
class Work:
    """What a call has done so far, and where it is: at what time, in which solve."""

    t: Any
    solve: str = ""
    rhs: int = 0
    accepted: int = 0
    rejected: int = 0
    scipy_solvers: list[Any] = field(default_factory=list)


@contextmanager
def reporting(work: Work, solve: str) -> Iterator[None]:
    """Turn what torchdiffeq and SciPy say of a failed solve into SolverFailure.

    Warnings go into the reason of a failure, and on to the caller where there is none.
    """
    work.solve = solve
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            yield
        except (AssertionError, SolverFailure) as error:
            raise SolverFailure(_reason(work, error, warned)) from error
    for w in warned:
        warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


def _reason(work: Work, error: Exception, warned: list[warnings.WarningMessage]) -> str:
    original = " ".join(str(error).split())
    plain = next((words for start, words in ASSERTED.items() if original.startswith(start)), "")
    said = f"{plain} ({original})" if plain else original
    warnings_said = "".join(f"; {text}" for text in dict.fromkeys(str(w.message) for w in warned))
    return f"{work.solve} solve stopped near t = {float(work.t):.6g}: {said}{warnings_said}"


def outspoken(name: str, work: Work) -> type:
    """SciPy's solver class `name`, raising SolverFailure where it fails.

    torchdiffeq 0.2.5 does not look at whether solve_ivp succeeded: a failed solve would go on as
    output of the wrong shape. It hands its `solver` to solve_ivp, which takes a class as well.
    """
    import scipy.integrate

    base: Any = getattr(scipy.integrate, name)

    class Outspoken(base):
        def __init__(self, fun: Any, t0: Any, y0: Any, t_bound: Any, **options: Any) -> None:
            # zero, and SciPy warns of it everywhere but in LSODA
            options.pop("min_step", None)
            try:
                super().__init__(fun, t0, y0, t_bound, **options)
            except ValueError as error:
                if np.all(np.isfinite(y0)):
                    raise
                reason = f"the state to go on from is infinite or NaN ({error})"
                raise SolverFailure(reason) from error
            self.idle = 0
            work.scipy_solvers.append(self)

        def step(self) -> str | None:
            try:
                message = super().step()
            except ValueError as error:
                if "infs or NaNs" not in str(error):
                    raise
                reason = f"the Jacobian became infinite or NaN in SciPy's {name} ({error})"
                raise SolverFailure(reason) from error
            if self.status == "failed":
                raise SolverFailure(f"SciPy's {name} gave up ({message})")
            work.accepted += 1
            self._check_progress()
            return message

        def _check_progress(self) -> None:
            self.idle = self.idle + 1 if self.t == self.t_old else 0
            if self.idle == IDLE_STEPS:
                raise SolverFailure(
                    f"SciPy's {name} hangs: {IDLE_STEPS} steps in a row did not advance the time, "
                    "and solve_ivp sets no limit"
                )

    return Outspoken
