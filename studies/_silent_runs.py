"""Gradients that may be wrong in silence, and the checks on them: each a row of numbers."""

from collections.abc import Callable

import numpy as np

from adapters import SolverFailure
from studies._journal import Row
from studies._silent_problems import problem_named, truth
from studies._silent_ways import WAYS, Found, NotOffered, Subject, direction, found, plain_gradient

TIGHTER = 0.1
# Central differences have an error of the order of the square of their step, and noise rtol / step.
DIFFERENCE_POWER = 1 / 3
SECOND, FORWARD = "scipy/radau/interpolating", "stiffgrad-jax/rodas5p/forward"


def _differences(subject: Subject) -> Found:
    problem, loss = subject.problem, WAYS[subject.kind].loss
    h = subject.rtol**DIFFERENCE_POWER
    up, down = (loss(subject, problem.p * np.exp(s * h * direction(problem))) for s in (1, -1))
    return Found((up + down) / 2, None, (up - down) / (2 * h))


def _tangent(subject: Subject) -> Found:
    return Found(float("nan"), None, WAYS[subject.kind].tangent(subject))


def _halved(subject: Subject) -> Found:
    halving = WAYS[subject.kind].halving
    if halving is None:
        raise NotOffered("only stiffgrad.jax.gradient_error halves the steps that were taken")
    return halving(subject)


def _itself(subject: Subject) -> Found:
    return WAYS[subject.kind].gradient(subject)


def _tighter(subject: Subject) -> Found:
    finer = Subject(subject.kind, subject.method, subject.problem, TIGHTER * subject.rtol)
    return _itself(finer)


ROLES: dict[str, Callable[[Subject], Found]] = {
    "itself": _itself,
    "tighter": _tighter,
    "tangent": _tangent,
    "differences": _differences,
    "halved": _halved,
}


def measure(part: str, kind: str, method: str, problem: str, rtol: float, role: str) -> Row:
    """One gradient with its error, or one check on it.

    Columns `log_1`, ... (dL/dlog p), `slope`, `loss`, `reported`, `gradient_error` and
    `loss_error`, both relative.
    """
    subject = Subject(kind, method, problem_named(problem), rtol)
    try:
        answer = ROLES[role](subject)
    except SolverFailure as error:
        return {"status": "diverged", "reason": str(error).splitlines()[0], "reported": 1.0}
    except NotOffered as error:
        return {"status": "unsupported", "reason": str(error)}
    true_loss, true = truth(problem)
    row: Row = {
        "slope": answer.slope,
        "loss": answer.loss,
        "reported": float(answer.reported),
        "loss_error": abs(answer.loss - true_loss) / abs(true_loss),
    }
    if answer.log_p is not None:
        row |= {f"log_{i}": float(value) for i, value in enumerate(answer.log_p, start=1)}
        row["gradient_error"] = float(np.linalg.norm(answer.log_p - true) / np.linalg.norm(true))
    values = [answer.slope] if answer.log_p is None else [*answer.log_p]
    if not np.all(np.isfinite(values)):
        row |= {"status": "non-finite", "reason": "NaN or infinity"}
    return row


def unrolled_implicit(part: str, method: str, scheme: str) -> Row:
    """torchdiffeq's fixed-step scheme, differentiated through its iteration, on ROBER to t = 100.

    In 160 log-spaced steps, against a continuous adjoint at 1e-6.
    """
    import array_api_compat.torch as xp
    import torch
    from torchdiffeq import odeint

    problem = problem_named("rober:t1=100:observations=160")
    p = torch.tensor(problem.p, requires_grad=True)
    times = torch.tensor(np.concatenate([[problem.t0], problem.times]))
    try:
        ys = odeint(
            lambda t, y: problem.rhs(t, y, p, xp), torch.tensor(problem.y0), times, method=scheme
        )
    except ValueError as error:
        reason = f"the installed torchdiffeq has no {scheme}: {str(error).splitlines()[0][:60]}"
        return {"status": "unsupported", "reason": reason}
    loss = problem.loss.value(ys[1:], xp)
    (slope,) = torch.autograd.grad(loss, p)
    checked = plain_gradient(Subject("plain", SECOND, problem, 1e-6))
    mine, true = found(problem, loss.detach(), slope.numpy()), checked.log_p
    assert mine.log_p is not None and true is not None
    return {
        "loss_error": abs(mine.loss - checked.loss) / abs(checked.loss),
        "gradient_error": float(np.linalg.norm(mine.log_p - true) / np.linalg.norm(true)),
    }
