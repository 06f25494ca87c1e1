"""The one dataclass that says what a problem is; it imports no framework."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems._losses import Loss

Array = NDArray[np.float64]
Rhs = Callable[[Any, Any, Any, Any], Any]
Jacobian = Callable[[float, Array, Array], Array]

# A complex step this small is exact to rounding for analytic right-hand sides
# (Squire & Trapp 1998, SIAM Review 40, 110).
COMPLEX_STEP = 1e-40


class ProblemError(ValueError):
    """A problem or variant that cannot be built as asked; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A stiff initial value problem with a scalar loss on its observed states.

    M y' = rhs(t, y, p), y(t0) = y0; L = loss(y at the observation times).

    Arguments:
        name: canonical name, variants included (`rober:t1=10`).
        title, citation: what it is and the literature it comes from.
        states, parameters: names, with the unit in brackets where there is one; n and m of them.
        rhs: f(t, y, p, xp), y of shape (n,), p of shape (m,), `xp` an array-API namespace
            (numpy, array_api_compat.torch, jax.numpy); must also accept complex NumPy arrays
            unless both Jacobians are given.
        y0: shape (n,); p: shape (m,); times: shape (N,), increasing, all after t0; the last is t1.
            A batch has a row of y0 and p for each of its B members, shapes (B, n) and (B, m).
        log_times: whether observation times are spread evenly in log t rather than in t.
        y_scale: typical magnitude of every state, shape (n,): weights dL/dy0 and absolute errors.
        p_scale: weight of dL/dp, shape (m,): p itself, so that gradients are with respect to log p.
        atol_factor: default absolute tolerance as a multiple of the relative one.
        stiff_parameters: indices of the parameters that the variant `stiffness=X` multiplies.
        jacobian, parameter_jacobian: df/dy (n, n) and df/dp (n, m) on NumPy arrays; complex-step
            derivatives of rhs where not given.
        exact: closed form (t, y0, p) -> y, shape (n,), real or complex, where there is one.
        invariants: rows w with w·y constant in time, shape (c, n).
        mass: M, shape (n, n), constant; None for the identity. It may be singular, of index 1; y0
            then satisfies the algebraic equations, and dL/dy0 is the derivative with the states in
            M's null space slaved to the others by these.
        reference: name of the problem whose certified gradient this one's follows from by
            dL/dp = reference_p * dL/dp(reference), and so for y0 (the chain rule).
        reference_p, reference_y0: those factors, shapes (m,) and (n,), or (1,) for all alike; for
            y0 also a matrix (n, n), which multiplies the reference's dL/dy0 from the left.
    """

    name: str
    title: str
    citation: str
    states: tuple[str, ...]
    parameters: tuple[str, ...]
    rhs: Rhs
    y0: Array
    p: Array
    t0: float
    times: Array
    log_times: bool
    loss: Loss
    y_scale: Array
    p_scale: Array
    atol_factor: float
    stiff_parameters: tuple[int, ...] = ()
    given_jacobian: Jacobian | None = None
    given_parameter_jacobian: Jacobian | None = None
    exact: Callable[[float, Array, Array], Array] | None = None
    invariants: tuple[tuple[float, ...], ...] = ()
    mass: Array | None = None
    reference: str = ""
    reference_p: Array = field(default_factory=lambda: np.ones(1))
    reference_y0: Array = field(default_factory=lambda: np.ones(1))

    def __post_init__(self) -> None:
        names = ["y0", "p", "times", "y_scale", "p_scale", "reference_p", "reference_y0"]
        if self.mass is not None:
            names.append("mass")
        for name in names:
            array = np.array(getattr(self, name), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if not self.reference:
            object.__setattr__(self, "reference", self.name)
        self._check_shapes()

    def _check_shapes(self) -> None:
        rows = () if self.batch is None else (self.batch,)
        expected = {
            "y0": (*rows, self.n),
            "p": (*rows, self.m),
            "y_scale": (self.n,),
            "p_scale": (self.m,),
        }
        for name, wanted in expected.items():
            shape = getattr(self, name).shape
            if shape != wanted:
                raise ProblemError(f"{self.name}: {name} has shape {shape}, expected {wanted}")
        self._check_matrices()
        if not (np.all(np.diff(self.times) > 0) and self.times[0] > self.t0):
            raise ProblemError(
                f"{self.name}: observation times must increase and lie after t0 = {self.t0}"
            )

    def _check_matrices(self) -> None:
        square = (self.n, self.n)
        if self.mass is not None and not (
            self.mass.shape == square and np.all(np.isfinite(self.mass))
        ):
            raise ProblemError(
                f"{self.name}: mass has shape {self.mass.shape}, expected finite numbers of shape "
                f"{square}"
            )
        allowed: dict[str, list[tuple[int, ...]]] = {
            "reference_p": [(1,), (self.m,), self.p.shape],
            "reference_y0": [(1,), (self.n,), square],
        }
        for name, shapes in allowed.items():
            if getattr(self, name).shape not in shapes:
                raise ProblemError(
                    f"{self.name}: {name} has shape {getattr(self, name).shape}, expected one of "
                    f"{shapes}"
                )

    @property
    def n(self) -> int:
        """Number of states."""
        return len(self.states)

    @property
    def m(self) -> int:
        """Number of parameters."""
        return len(self.parameters)

    @property
    def batch(self) -> int | None:
        """Number of members of a batch; None for a single problem."""
        return None if self.y0.ndim == 1 else len(self.y0)

    @property
    def t1(self) -> float:
        """End of the time span: the last observation time."""
        return float(self.times[-1])

    @cached_property
    def program(self) -> Hashable:
        """Equal for problems that differ only in y0, p and scales: one compilation serves them."""
        mass = None if self.mass is None else self.mass.tobytes()
        sizes = self.n, self.m, self.batch
        return (self.rhs, self.t0, self.times.tobytes(), self.loss, *sizes, mass)

    def y0_from_reference(self, gradient: Array) -> Array:
        """dL/dy0, shape (n,), from that of the problem it follows from."""
        if self.reference_y0.ndim == 2:
            return self.reference_y0 @ gradient
        return self.reference_y0 * gradient

    @cached_property
    def loss_scale(self) -> float:
        """Natural size of L: its sensitivity to the states times their typical magnitudes."""
        ys = np.broadcast_to(self.y_scale, (self.times.size, self.n))
        return float(np.sum(np.abs(self.loss.gradient(ys)) * self.y_scale))

    def default_atol(self, rtol: float) -> float:
        """Scalar absolute tolerance that goes with `rtol`, in the units of the states."""
        return self.atol_factor * rtol

    def f(self, t: float, y: Array, p: Array) -> Array:
        """rhs on NumPy arrays, shape (n,)."""
        return self.rhs(t, y, p, np)

    def jacobian(self, t: float, y: Array, p: Array) -> Array:
        """df/dy on NumPy arrays, shape (n, n)."""
        if self.given_jacobian is not None:
            return self.given_jacobian(t, y, p)
        return _complex_step(lambda z: self.rhs(t, z, np.asarray(p, complex), np), y)

    def parameter_jacobian(self, t: float, y: Array, p: Array) -> Array:
        """df/dp on NumPy arrays, shape (n, m)."""
        if self.given_parameter_jacobian is not None:
            return self.given_parameter_jacobian(t, y, p)
        return _complex_step(lambda z: self.rhs(t, np.asarray(y, complex), z, np), p)


def _complex_step(f: Callable[[Array], Array], x: Array) -> Array:
    columns = []
    for j in range(x.size):
        step = np.zeros(x.size, dtype=complex)
        step[j] = 1j * COMPLEX_STEP
        columns.append(np.imag(f(x + step)) / COMPLEX_STEP)
    return np.stack(columns, axis=1)


def log_spaced(first: float, last: float, count: int) -> Array:
    """`count` times evenly spread in log t, both ends exact."""
    times = np.geomspace(first, last, count)
    times[0], times[-1] = first, last
    return times
