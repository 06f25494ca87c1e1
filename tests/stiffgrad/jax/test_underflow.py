"""States that decay below the smallest number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import Status, solve

RATES = np.array([1e4, 10.0], np.float32)
Y0 = np.array([1.0, 0.0, 0.0], np.float32)
TIMES = np.array([0.0, 1.0, 1e3], np.float32)


def chain(t, y, k):
    return jnp.stack([-k[0] * y[0], k[0] * y[0] - k[1] * y[1], k[1] * y[1]])


@pytest.mark.parametrize("integrator", ["rodas5p", "radau5", "kvaerno5"])
def test_they_become_zero_in_single_precision(integrator):
    def last(y0):
        options = {"integrator": integrator, "engine": "scalar", "rtol": 1e-4, "atol": 1e-6}
        found = solve(chain, y0, TIMES, RATES, **options)
        return found.ys[-1, 2], found

    gradient, found = jax.jit(jax.grad(last, has_aux=True))(Y0)
    assert found.status == Status.SUCCESS
    assert found.ys.dtype == np.float32
    # All mass ends in the last state, wherever it started.
    np.testing.assert_allclose(found.ys[-1], [0, 0, 1], atol=1e-4)
    np.testing.assert_allclose(gradient, [1, 1, 1], rtol=1e-4)
