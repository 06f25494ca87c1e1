"""stiffgrad: differentiable stiff ODE solvers with every adjoint strategy on the same integrators.

The JAX library is :mod:`stiffgrad.jax`.
"""
