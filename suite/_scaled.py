"""A problem in scaled variables with its sensitivities: what both reference methods integrate."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from problems import Problem

Array = NDArray[np.float64]


class CertificationError(RuntimeError):
    """A reference could not be computed, or the methods disagree; the message says why."""


@dataclass(frozen=True)
class Answer:
    """What one method computed: the loss, dL/dp of shape (m,), dL/dy0 of shape (n,).

    `method`: its name and source; `settings`: whatever it takes to repeat it.
    """

    method: str
    settings: dict[str, float | int]
    loss: float
    gradient_p: Array
    gradient_y0: Array


@dataclass(frozen=True)
class Scaled:
    """States in units of y_scale and parameters in units of p_scale, so that all count alike.

    The q = m + n directions are the parameters, then the initial states.
    """

    problem: Problem
    p_unit: Array = field(init=False)

    def __post_init__(self) -> None:
        p_scale = self.problem.p_scale
        object.__setattr__(self, "p_unit", np.where(p_scale == 0, 1.0, p_scale))

    @property
    def q(self) -> int:
        """Number of directions that are differentiated along."""
        return self.problem.m + self.problem.n

    def start(self) -> tuple[Array, Array]:
        """Scaled y0, shape (n,), and its derivatives, shape (n, q)."""
        n, m = self.problem.n, self.problem.m
        return self.problem.y0 / self.problem.y_scale, np.hstack([np.zeros((n, m)), np.eye(n)])

    def rhs(self, t: float, y: Array) -> Array:
        """Scaled f, shape (n,)."""
        unit = self.problem.y_scale
        return self.problem.f(t, y * unit, self.problem.p) / unit

    def jacobian(self, t: float, y: Array) -> Array:
        """Scaled df/dy, shape (n, n)."""
        unit = self.problem.y_scale
        return self.problem.jacobian(t, y * unit, self.problem.p) * unit / unit[:, None]

    def parameter_jacobian(self, t: float, y: Array) -> Array:
        """Scaled df/dp, shape (n, m)."""
        unit = self.problem.y_scale
        derivative = self.problem.parameter_jacobian(t, y * unit, self.problem.p)
        return derivative * self.p_unit / unit[:, None]

    def answer(
        self, method: str, settings: dict[str, float | int], ys: Array, sensitivities: Array
    ) -> Answer:
        """The loss and its gradient in the problem's own units.

        `ys`: scaled states at the observation times, shape (N, n); `sensitivities`: their scaled
        derivatives, shape (N, n, q).
        """
        unit = self.problem.y_scale
        states = ys * unit
        slope = self.problem.loss.gradient(states) * unit
        gradient = np.einsum("ti,tiq->q", slope, sensitivities)
        if not np.all(np.isfinite(gradient)):
            raise CertificationError(f"{self.problem.name}: {method} gave a non-finite gradient")
        along_p, along_y0 = np.split(gradient, [self.problem.m])
        loss = float(self.problem.loss.value(states, np))
        return Answer(method, settings, loss, along_p / self.p_unit, along_y0 / unit)
