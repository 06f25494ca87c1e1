"""The estimate of a gradient's error against its true error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, Status, gradient_error, solve
from tests.stiffgrad.jax import cases


def observed(ys):
    return jnp.sum(ys[1:, 0])


def estimate(k, rtol, **options):
    return gradient_error(
        observed,
        cases.rober,
        cases.ROBER_Y0,
        cases.ROBER_TIMES,
        k,
        rtol=rtol,
        atol=1e-4 * rtol,
        **options,
    )


def test_it_tells_the_error_of_a_stiff_gradient():
    run = jax.jit(estimate)
    for rtol in (1e-4, 1e-6):
        found = run(cases.ROBER_K, rtol)
        true = (found.gradient[1] - cases.ROBER_DK) * cases.ROBER_K
        told = found.error[1] * cases.ROBER_K
        assert np.linalg.norm(told) == pytest.approx(np.linalg.norm(true), rel=0.3)
        better = (found.improved[1] - cases.ROBER_DK) * cases.ROBER_K
        assert np.linalg.norm(better) < 0.1 * np.linalg.norm(true)


def test_the_gradient_is_that_of_solve():
    found = estimate(cases.ROBER_K, 1e-6)

    def loss(y0, k):
        ys = solve(cases.rober, y0, cases.ROBER_TIMES, k, rtol=1e-6, atol=1e-10).ys
        return observed(ys)

    value, gradient = jax.value_and_grad(loss, (0, 1))(cases.ROBER_Y0, cases.ROBER_K)
    assert found.value == pytest.approx(float(value), rel=1e-12)
    for a, b in zip(found.gradient, gradient, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


def test_it_sees_what_error_control_on_the_state_cannot():
    # At an equilibrium the steps are as long as they like, at any tolerance.
    found = gradient_error(
        lambda ys: ys[-1],
        lambda t, y, p: p[1] - p[0] * y,
        1.0,
        jnp.array([0.0, 20.0]),
        jnp.array([1.0, 1.0]),
        rtol=1e-12,
        atol=1e-12,
    )
    true = found.gradient[1] - np.array([-1.0, 1.0])
    assert np.abs(true).max() > 1e-4
    np.testing.assert_allclose(found.error[1], true, rtol=0.2)


def test_a_failed_solve_has_no_estimate():
    found = estimate(cases.ROBER_K, 1e-6, max_steps=20)
    assert found.status == Status.MAX_STEPS
    assert np.isnan(found.gradient[1]).all() and np.isnan(found.error[1]).all()


def test_options_it_does_not_take():
    with pytest.raises(ArgumentError, match="adjoint"):
        estimate(cases.ROBER_K, 1e-6, adjoint="forward")
