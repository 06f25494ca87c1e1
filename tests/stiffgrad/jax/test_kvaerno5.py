"""Kvaerno5's dense output where the problem is stiff, by the adjoints that follow it."""

import jax
import jax.numpy as jnp
import numpy as np

from stiffgrad.jax import solve
from tests.stiffgrad.jax import cases


def test_a_continuous_adjoint_along_it_is_accurate_at_a_tight_tolerance():
    rtol = 1e-8
    options = {"rtol": rtol, "atol": np.array([1e-2, 1e-6, 1e-2]) * rtol}

    def loss(k):
        y0, times = cases.ROBER_Y0, cases.ROBER_TIMES
        found = solve(cases.rober, y0, times, k, integrator="kvaerno5", adjoint="gauss", **options)
        return jnp.sum(found.ys[1:, 0])

    wanted = cases.ROBER_DK * cases.ROBER_K
    error = jax.jit(jax.grad(loss))(cases.ROBER_K) * cases.ROBER_K - wanted
    # Weights on its inner stages, right to order 2 alone, would leave 4e-6.
    assert np.linalg.norm(error) < 5e-7 * np.linalg.norm(wanted)
