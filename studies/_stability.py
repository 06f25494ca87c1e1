"""Stability functions R of one-step schemes and their derivatives, in closed form.

On y' = lambda y a step is y_1 = R(z) y_0 with z = h lambda, so N steps give
d y_N / d lambda = N h R(z)^(N-1) R'(z) y_0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np

Array = np.ndarray
_G = 1 - 1 / sqrt(2)


@dataclass(frozen=True)
class Scheme:
    """A one-step scheme with R = P / Q.

    Arguments:
        name: as stiffgrad.jax.solve knows it.
        p, q: coefficients of P and Q, highest power first.
        rate: R' goes to zero like |z|^-rate at infinity.
        limit: of z^rate R'(z).
        roots: where R' is zero on the negative real axis, nearest first.

    Source: the Pade table of e^z (Hairer and Wanner, Solving Ordinary Differential Equations II,
    sections IV.3 and IV.5); rates, limits and roots are derived from P and Q.
    """

    name: str
    p: tuple[float, ...]
    q: tuple[float, ...]
    rate: int
    limit: float
    roots: tuple[float, ...] = ()

    @property
    def damped(self) -> bool:
        """Whether R is 0 at infinity."""
        return len(self.p) < len(self.q)

    def value(self, z: Any) -> Any:
        return np.polyval(self.p, z) / np.polyval(self.q, z)

    def derivative(self, z: Any) -> Any:
        return np.polyval(self._slope(), z) / np.polyval(self.q, z) ** 2

    def derivative_roots(self) -> Array:
        """Zeros of R' on the negative real axis, nearest first."""
        roots = np.roots(np.trim_zeros(self._slope(), "f"))
        real = roots[(np.abs(roots.imag) < 1e-9) & (roots.real < 0)].real
        return np.sort(real)[::-1]

    def _slope(self) -> Array:
        p, q = np.poly1d(self.p), np.poly1d(self.q)
        return np.asarray((p.deriv() * q - p * q.deriv()).coeffs)

    def after(self, z: Any, steps: int) -> Any:
        """d y_N / d z of y_0 = 1."""
        return steps * self.value(z) ** (steps - 1) * self.derivative(z)


_SDIRK2 = ((1 - 2 * _G, 1.0), (_G**2, -2 * _G, 1.0), 2, -(2 + 2 * sqrt(2)), (-8.243,))
SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("backward-euler", (1,), (-1, 1), 2, 1),
        Scheme("trapezoid", (1, 2), (-1, 2), 2, 4),
        Scheme("implicit-midpoint", (1, 2), (-1, 2), 2, 4),
        Scheme("radau3", (2, 6), (1, -4, 6), 2, -2, (-8.196,)),
        Scheme("radau5", (-3, -24, -60), (1, -9, 36, -60), 2, 3, (-4.808, -17.73)),
        Scheme("gauss4", (1, 6, 12), (1, -6, 12), 2, -12, (-3.464,)),
        Scheme("gauss6", (-1, -12, -60, -120), (1, -12, 60, -120), 2, 24),
        Scheme("lobatto-iiic2", (2,), (1, -2, 2), 3, -4),
        Scheme("lobatto-iiic3", (-6, -24), (1, -6, 18, -24), 3, 12, (-7.235,)),
        Scheme("sdirk2", *_SDIRK2),
        Scheme("tr-bdf2", *_SDIRK2),
    )
}

# sum_j ALPHA_j y_(n-j) = BETA h f(y_n), by order; Hairer, Norsett and Wanner, Solving Ordinary
# Differential Equations I, eq. III.1.22', divided by the first coefficient.
BDF: dict[int, tuple[tuple[float, ...], float]] = {
    1: ((1, -1), 1),
    2: ((1, -4 / 3, 1 / 3), 2 / 3),
    3: ((1, -18 / 11, 9 / 11, -2 / 11), 6 / 11),
    4: ((1, -48 / 25, 36 / 25, -16 / 25, 3 / 25), 12 / 25),
    5: ((1, -300 / 137, 300 / 137, -200 / 137, 75 / 137, -12 / 137), 60 / 137),
}


def bdf_root(order: int, z: float) -> tuple[float, float]:
    """(|zeta|, |d zeta / d z|) of the largest root of rho(zeta) = z sigma(zeta)."""
    alpha, beta = BDF[order]
    coefficients = np.array(alpha, complex)
    coefficients[0] -= z * beta
    roots = np.roots(coefficients)
    root = roots[np.argmax(np.abs(roots))]
    slope = beta * root**order / np.polyval(np.polyder(coefficients), root)
    return float(abs(root)), float(abs(slope))


def by_tableau(name: str, z: Array) -> Array:
    """R'(z) by automatic differentiation of 1 + z b^T (I - z A)^-1 1."""
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax.integrators import RUNGE_KUTTA

    tableau = RUNGE_KUTTA[name]
    with jax.enable_x64(True):
        a, b = jnp.asarray(tableau.a), jnp.asarray(tableau.b)
        one = jnp.ones(len(b))

        def stability(z: Any) -> Any:
            return 1 + z * b @ jnp.linalg.solve(jnp.eye(len(b)) - z * a, one)

        return np.asarray(jax.jit(jax.vmap(jax.grad(stability)))(jnp.asarray(z)))


@lru_cache(maxsize=64)
def _program(name: str, steps: int) -> Callable[..., Any]:
    import jax

    from stiffgrad.jax import solve

    def read(p: Any, y0: Any, times: Any, weights: Any) -> Any:
        def rhs(t: Any, y: Any, p: Any) -> Any:
            return p["lambda"] * (y - p["forcing"] * jax.numpy.cos(t))

        return weights @ solve(rhs, y0, times, p, integrator=name, steps=1).ys

    return jax.jit(jax.value_and_grad(read))


def by_solver(
    name: str,
    rate: float,
    h: float,
    steps: tuple[int, ...],
    forcing: float = 0.0,
    start: float = 1.0,
    dtype: str = "float64",
) -> list[tuple[float, float]]:
    """(y_N, d y_N / d lambda) of y' = lambda (y - forcing cos t) for every N of `steps`.

    The gradient is that of stiffgrad.jax.solve, by reverse mode, with steps of size h.
    """
    import jax

    room = max(*steps, 10)
    with jax.enable_x64(True):
        times = (h * np.arange(room + 1)).astype(dtype)
        p = {"lambda": np.asarray(rate, dtype), "forcing": np.asarray(forcing, dtype)}
        y0 = np.asarray(start, dtype)
        found = []
        for n in steps:
            value, gradient = _program(name, room)(p, y0, times, np.eye(room + 1, dtype=dtype)[n])
            found.append((float(value), float(gradient["lambda"])))
    return found
