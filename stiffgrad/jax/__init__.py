"""Differentiable stiff ODE solving in JAX.

    from stiffgrad.jax import solve

    def rhs(t, y, p): ...
    ys = solve(rhs, y0, t, p).ys

See :func:`solve`.
"""

from stiffgrad.jax._solve import solve
from stiffgrad.jax._types import ArgumentError, Solution, SolveError, Stats, Status

__all__ = ["ArgumentError", "Solution", "SolveError", "Stats", "Status", "solve"]
