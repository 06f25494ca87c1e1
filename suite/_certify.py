"""Certification: the same loss and gradient by independent methods, and how far they agree."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from problems import Problem
from suite._collocation import collocate, halved
from suite._scaled import Answer, CertificationError, Scaled
from suite._sensitivities import integrate

Array = NDArray[np.float64]

# Tolerance of the solve whose accepted steps, sensitivities included, are the collocation's mesh.
MESH_RTOL = 1e-5
TIGHT_RTOL = 1e-11
# More digits than this are never claimed.
MOST_DIGITS = 15.0
# Methods that differ by more than this part of the whole gradient certify nothing.
WORST_DISAGREEMENT = 1e-6
# A gradient this small a part of the loss's natural size counts as zero.
NEGLIGIBLE = 1e-9
CLOSED_FORM = "closed form, complex step"
# As in problems: exact to rounding for analytic functions.
COMPLEX_STEP = 1e-40


@dataclass(frozen=True)
class Agreement:
    """Digits on which all answers agree: the loss, dL/dp of shape (m,), dL/dy0 of shape (n,)."""

    loss: float
    p: Array
    y0: Array


def answers(problem: Problem) -> tuple[Answer, ...]:
    """Loss and gradient by every method, the one to be trusted most first.

    With a closed form: that, then collocation on two meshes. Without: collocation on the finer and
    the coarser mesh, then tight forward sensitivities. Raises CertificationError where a method
    fails.
    """
    scaled = Scaled(problem)
    mesh, _ = integrate(scaled, MESH_RTOL)
    numerical = tuple(_with_mesh_rtol(collocate(scaled, m)) for m in (halved(mesh), mesh))
    if problem.exact is not None:
        return (closed_form(problem), *numerical)
    return (*numerical, integrate(scaled, TIGHT_RTOL)[1])


def _with_mesh_rtol(answer: Answer) -> Answer:
    return replace(answer, settings=answer.settings | {"mesh_rtol": MESH_RTOL})


def closed_form(problem: Problem) -> Answer:
    """Loss and gradient from `problem.exact`, differentiated by complex step."""
    ys = _exact(problem, problem.y0, problem.p).real
    slope = problem.loss.gradient(ys)

    def derivative(y0: Array, p: Array) -> float:
        return float(np.sum(slope * _exact(problem, y0, p).imag) / COMPLEX_STEP)

    steps_p, steps_y0 = (1j * COMPLEX_STEP * np.eye(size) for size in (problem.m, problem.n))
    return Answer(
        CLOSED_FORM,
        {"complex_step": COMPLEX_STEP},
        float(problem.loss.value(ys, np)),
        np.array([derivative(problem.y0, problem.p + step) for step in steps_p]),
        np.array([derivative(problem.y0 + step, problem.p) for step in steps_y0]),
    )


def _exact(problem: Problem, y0: Array, p: Array) -> NDArray[np.complex128]:
    assert problem.exact is not None
    y0, p = y0.astype(complex), p.astype(complex)
    return np.stack([problem.exact(t, y0, p) for t in problem.times.tolist()])


def agreement(found: tuple[Answer, ...]) -> Agreement:
    """How many digits the first answer shares with all others, component by component."""
    return Agreement(
        float(digits(*(answer.loss for answer in found))),
        digits(*(answer.gradient_p for answer in found)),
        digits(*(answer.gradient_y0 for answer in found)),
    )


def digits(trusted: Array | float, *others: Array | float) -> Array:
    """-log10 of the largest relative difference, to 0.1 downwards, between 0 and MOST_DIGITS.

    A zero agrees with zeros alone.
    """
    spread = np.max([np.abs(np.subtract(other, trusted)) for other in others], axis=0)
    size = np.abs(trusted)
    relative = np.divide(spread, size, out=np.ones_like(spread), where=size > 0)
    relative = np.where(spread == 0, 0.0, relative)
    exponents = -np.log10(np.maximum(relative, 10**-MOST_DIGITS))
    # adding zero turns -0.0 into 0.0
    return np.clip(np.floor(10 * exponents) / 10, 0.0, MOST_DIGITS) + 0.0


def check(problem: Problem, found: tuple[Answer, ...]) -> None:
    """Raise CertificationError where the methods disagree on the gradient as a whole."""
    first, *others = (_weighted(problem, answer) for answer in found)
    size = max(float(np.linalg.norm(first)), NEGLIGIBLE * problem.loss_scale)
    for answer, other in zip(found[1:], others, strict=True):
        gap = float(np.linalg.norm(other - first)) / size
        if not gap < WORST_DISAGREEMENT:
            raise CertificationError(
                f"{problem.name}: {found[0].method} and {answer.method} differ by {gap:.1e} of "
                f"the gradient; no reference"
            )


def _weighted(problem: Problem, answer: Answer) -> Array:
    """The gradient in scaled parameters and initial states, shape (m + n,)."""
    return np.concatenate(
        [answer.gradient_p * problem.p_scale, answer.gradient_y0 * problem.y_scale]
    )
