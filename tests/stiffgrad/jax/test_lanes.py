"""Mapped solves: every trajectory as if it were alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import Status, _lanes, solve
from tests.stiffgrad.jax import cases

TIMES = jnp.asarray(cases.ROBER_TIMES[::10])
RATES = jnp.asarray(cases.ROBER_K * np.exp(0.5 * np.random.default_rng(1).normal(size=(5, 3))))


def loss(k, engine="auto"):
    ys = solve(cases.rober, cases.ROBER_Y0, TIMES, k, rtol=1e-4, atol=1e-8, engine=engine).ys
    return jnp.sum(ys[1:, 0])


@pytest.fixture(scope="module")
def one_by_one():
    run = jax.jit(jax.value_and_grad(loss))
    return [np.asarray(x) for x in zip(*(run(k) for k in RATES), strict=True)]


def check(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


@pytest.mark.parametrize("lanes_per_block", [2, 32])
def test_vmap_equals_a_loop(one_by_one, lanes_per_block, monkeypatch):
    monkeypatch.setattr(_lanes, "_LANES_PER_BLOCK", lanes_per_block)
    check(jax.jit(jax.vmap(jax.value_and_grad(lambda k: loss(k))))(RATES), one_by_one)


def test_vmap_equals_a_loop_with_arrays(one_by_one):
    check(jax.jit(jax.vmap(jax.value_and_grad(lambda k: loss(k, "array"))))(RATES), one_by_one)


def test_the_gradient_of_a_map_equals_the_map_of_gradients(one_by_one):
    total, gradient = jax.value_and_grad(lambda ks: jax.vmap(loss)(ks).sum())(RATES)
    assert total == pytest.approx(one_by_one[0].sum(), rel=1e-10)
    np.testing.assert_allclose(gradient, one_by_one[1], rtol=1e-10)


def test_maps_nest(one_by_one):
    nested = jax.vmap(jax.vmap(jax.grad(loss)))(RATES[:4].reshape(2, 2, 3))
    np.testing.assert_allclose(nested.reshape(4, 3), one_by_one[1][:4], rtol=1e-10)


def test_every_argument_may_be_mapped():
    p = jnp.array([[50.0, 1.2, 0.7], [3.0, 0.2, 2.0]])
    y0, rtol = jnp.array([1.7, -0.3]), jnp.array([1e-8, 1e-9])
    times = jnp.array([[0.0, 0.5, 1.0], [0.0, 0.1, 2.0]])

    def final(y0, t, p, rtol):
        solution = solve(cases.forced, y0, t, p, rtol=rtol, atol=1e-10)
        return solution.ys, solution.stats.accepted

    ys, accepted = jax.vmap(final)(y0, times, p, rtol)
    for k in range(2):
        np.testing.assert_allclose(ys[k], cases.forced_solution(times[k], y0[k], p[k]), atol=1e-6)
        assert final(y0[k], times[k], p[k], rtol[k])[1] == accepted[k]


def test_a_failing_trajectory_fails_alone():
    def final(p):
        solution = solve(lambda t, y, p: p * y**2, 1.0, jnp.array([0.0, 0.8]), p)
        return solution.ys[-1], solution.status

    grads, status = jax.vmap(jax.grad(final, has_aux=True))(jnp.array([0.5, 2.0, 1.0]))
    assert status[0] == status[2] == Status.SUCCESS != status[1]
    assert np.isnan(grads[1])
    exact = 0.8 / (1 - 0.8 * np.array([0.5, 1.0])) ** 2
    np.testing.assert_allclose(grads[np.array([0, 2])], exact, rtol=1e-4)
