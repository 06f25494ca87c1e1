"""Differentiable stiff ODE solving in JAX.

    from stiffgrad.jax import solve

    def rhs(t, y, p): ...
    ys = solve(rhs, y0, t, p).ys

See :func:`solve`; :func:`gradient_error` says how far a gradient is off, and
:mod:`stiffgrad.jax.corrections` mends gradients of parameters that are others at every step.
"""

from stiffgrad.jax import corrections
from stiffgrad.jax._gradient_error import GradientEstimate, gradient_error
from stiffgrad.jax._solve import solve
from stiffgrad.jax._types import ArgumentError, Solution, SolveError, Stats, Status

__all__ = [
    "ArgumentError",
    "GradientEstimate",
    "Solution",
    "SolveError",
    "Stats",
    "Status",
    "corrections",
    "gradient_error",
    "solve",
]
