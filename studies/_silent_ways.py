"""Ways to a gradient that may be wrong in silence, each with what a check needs of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import Unsupported, get_method
from problems import Problem
from studies._methods import solver

Array = NDArray[np.float64]

# ROBER to t = 10 takes explicit schemes 7 000 steps.
MOST_STEPS = 16384
# diffrax's own default.
DEFAULT_STEPS = 4096


class NotOffered(Unsupported):
    """There is no such check for this gradient."""


@dataclass(frozen=True)
class Found:
    """What a way to a gradient gave, with respect to log parameters.

    `log_p`: dL/dlog p, shape (m,), or None where only `slope`, along the study's direction, is
    known; `reported`: whether the solver itself said that something went wrong.
    """

    loss: float
    log_p: Array | None
    slope: float
    reported: bool = False


def direction(problem: Problem) -> Array:
    """The unit vector in log parameters along which slopes are compared, shape (m,).

    Of alternating signs: all alike would leave the equilibrium where it is.
    """
    return (-1.0) ** np.arange(problem.m) / problem.m**0.5


@dataclass(frozen=True)
class Subject:
    """One way to a gradient: `kind` says how the method is used, see `WAYS`."""

    kind: str
    method: str
    problem: Problem
    rtol: float

    @property
    def atol(self) -> float:
        return self.problem.default_atol(self.rtol)

    @property
    def integrator(self) -> str:
        return get_method(self.method).integrator


def found(problem: Problem, loss: Any, p: Any, reported: Any = False) -> Found:
    """`p`: dL/dp, shape (m,)."""
    log_p = np.asarray(p, dtype=float) * problem.p
    return Found(float(loss), log_p, float(direction(problem) @ log_p), bool(reported))


# A registered method as it is.


def plain_gradient(subject: Subject) -> Found:
    problem = subject.problem
    call = solver(problem, subject.method).gradient(
        problem.y0, problem.p, subject.rtol, subject.atol
    )
    gradient = call()
    return found(problem, gradient.loss, gradient.p)


def plain_loss(subject: Subject, p: Array) -> float:
    problem = subject.problem
    call = solver(problem, subject.method).forward(problem.y0, p, subject.rtol, subject.atol)
    return float(problem.loss.value(call().ys, np))


def plain_tangent(subject: Subject) -> float:
    """By the forward strategy of the same integrator."""
    method = get_method(subject.method)
    if method.framework == "torchdiffeq":
        raise NotOffered("PyTorch's forward mode does not go through torchdiffeq (0.2.5)")
    strategy = "forward" if method.framework == "scipy" else "forward-discrete"
    name = f"{method.framework}/{method.integrator}/{strategy}"
    other = plain_gradient(Subject("plain", name, subject.problem, subject.rtol))
    return other.slope


# stiffgrad as its users call it, with room for many steps; perhaps with a Jacobian that is
# held constant when the step is differentiated.


def _library_rhs(problem: Problem) -> Callable[..., Any]:
    import jax.numpy as jnp

    return lambda t, y, p: problem.rhs(t, y, p, jnp)


def _frozen(rhs: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    jacobian = jax.jacfwd(rhs, argnums=1)
    return lambda t, y, p: jax.lax.stop_gradient(jacobian(t, y, p))


def _library_loss(subject: Subject) -> Callable[[Any], Any]:
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    problem, rhs = subject.problem, _library_rhs(subject.problem)
    times = np.concatenate([[problem.t0], problem.times])

    def loss(p: Any) -> Any:
        solution = solve(
            rhs,
            jnp.asarray(problem.y0),
            jnp.asarray(times),
            p,
            integrator=subject.integrator,
            jacobian=_frozen(rhs) if subject.kind == "frozen" else None,
            rtol=subject.rtol,
            atol=subject.atol,
            max_steps=MOST_STEPS,
        )
        return problem.loss.value(solution.ys[1:], jnp)

    return loss


def _parameters(problem: Problem) -> Any:
    import jax.numpy as jnp

    from adapters._jax_common import prepare

    prepare()
    return jnp.asarray(problem.p)


def library_gradient(subject: Subject) -> Found:
    import jax

    p = _parameters(subject.problem)
    return found(subject.problem, *jax.value_and_grad(_library_loss(subject))(p))


def library_loss(subject: Subject, p: Array) -> float:
    _parameters(subject.problem)
    return float(_library_loss(subject)(np.asarray(p)))


def library_tangent(subject: Subject) -> float:
    import jax

    problem = subject.problem
    dot = problem.p * direction(problem)
    return float(jax.jvp(_library_loss(subject), (_parameters(problem),), (dot,))[1])


def library_halving(subject: Subject) -> Found:
    """The gradient less the error that halving its steps estimates."""
    import jax.numpy as jnp

    from stiffgrad.jax import gradient_error

    problem, rhs = subject.problem, _library_rhs(subject.problem)
    estimate = gradient_error(
        lambda ys: problem.loss.value(ys[1:], jnp),
        rhs,
        jnp.asarray(problem.y0),
        jnp.asarray(np.concatenate([[problem.t0], problem.times])),
        _parameters(problem),
        integrator=subject.integrator,
        jacobian=_frozen(rhs) if subject.kind == "frozen" else None,
        rtol=subject.rtol,
        atol=subject.atol,
        max_steps=MOST_STEPS,
    )
    halved = np.asarray(estimate.gradient[1]) - np.asarray(estimate.error[1])
    return found(problem, estimate.value, halved)


# diffrax with its default controller and step limit, told not to throw, its result not read.


def _careless(subject: Subject, adjoint: Any) -> Callable[[Any], Any]:
    import diffrax
    import jax.numpy as jnp

    from adapters.diffrax import INTEGRATORS

    problem, rhs = subject.problem, _library_rhs(subject.problem)
    final = problem.times.size == 1
    saved = {"t1": True} if final else {"ts": jnp.asarray(problem.times)}

    def loss(p: Any) -> Any:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rhs),
            getattr(diffrax, INTEGRATORS[subject.integrator].solver)(),
            problem.t0,
            problem.t1,
            None,
            jnp.asarray(problem.y0),
            p,
            saveat=diffrax.SaveAt(**saved),
            stepsize_controller=diffrax.PIDController(rtol=subject.rtol, atol=subject.atol),
            adjoint=adjoint,
            max_steps=DEFAULT_STEPS if subject.kind == "truncated" else MOST_STEPS,
            throw=False,
        )
        failed = solution.result != diffrax.RESULTS.successful
        return problem.loss.value(solution.ys, jnp), failed

    return loss


def careless_gradient(subject: Subject) -> Found:
    import diffrax
    import jax

    p = _parameters(subject.problem)
    loss = _careless(subject, diffrax.RecursiveCheckpointAdjoint())
    (value, failed), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(p)
    return found(subject.problem, value, slope, failed)


def careless_loss(subject: Subject, p: Array) -> float:
    import diffrax
    import jax

    _parameters(subject.problem)
    return float(jax.jit(_careless(subject, diffrax.ForwardMode()))(np.asarray(p))[0])


def careless_tangent(subject: Subject) -> float:
    import diffrax
    import jax

    problem = subject.problem
    loss = _careless(subject, diffrax.ForwardMode())
    p, dot = _parameters(problem), problem.p * direction(problem)
    push = jax.jit(lambda p, dot: jax.jvp(lambda q: loss(q)[0], (p,), (dot,))[1])
    return float(push(p, dot))


@dataclass(frozen=True)
class Way:
    """How a kind of subject is differentiated, solved, pushed forward and halved."""

    gradient: Callable[[Subject], Found]
    loss: Callable[[Subject, Array], float]
    tangent: Callable[[Subject], float]
    halving: Callable[[Subject], Found] | None = None


_LIBRARY = Way(library_gradient, library_loss, library_tangent, library_halving)
_CARELESS = Way(careless_gradient, careless_loss, careless_tangent)
WAYS = {
    "plain": Way(plain_gradient, plain_loss, plain_tangent),
    "library": _LIBRARY,
    "frozen": _LIBRARY,
    "default": _CARELESS,
    "truncated": _CARELESS,
}
