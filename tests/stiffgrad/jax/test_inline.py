"""The inline engine with more tangents, cotangents or trajectories than its loops can hold."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, solve

HIDDEN, STATES = 26, 3
TIMES = np.linspace(0.0, 0.1, 3)
Y0 = np.array([1.0, 0.5, -0.2])
RNG = np.random.default_rng(3)
WEIGHTS = {
    "into": 0.3 * RNG.normal(size=(HIDDEN, STATES)),
    "out": 0.3 * RNG.normal(size=(STATES, HIDDEN)),
}


def network(t, y, w):
    return w["out"] @ jnp.tanh(w["into"] @ y) - y


def states(weights, y0=Y0, **options):
    return solve(network, y0, TIMES, weights, engine="inline", **options).ys[1:]


def test_forward_mode_along_every_weight_equals_reverse_mode():
    forward, reverse = (jax.jit(jac(states))(WEIGHTS) for jac in (jax.jacfwd, jax.jacrev))
    for a, b in zip(jax.tree.leaves(forward), jax.tree.leaves(reverse), strict=True):
        assert a.shape[2:] == b.shape[2:] and a.size > 100
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)


def test_a_map_over_trajectories_equals_a_loop():
    starts = Y0 + RNG.normal(size=(32, STATES))
    gradient = jax.grad(lambda y0: jnp.sum(states(WEIGHTS, y0) ** 2))
    found = jax.jit(jax.vmap(gradient))(starts)
    one = jax.jit(gradient)
    np.testing.assert_allclose(found, [one(y0) for y0 in starts], rtol=1e-10)


@pytest.mark.parametrize("adjoint", ["forward", "forward-discrete"])
def test_more_tangents_than_it_can_carry_are_refused(adjoint):
    with pytest.raises(ArgumentError, match=r"at most (\d+) tangents.*say chunk=\1"):
        states(WEIGHTS, adjoint=adjoint)


def test_the_chunk_that_the_error_names_works():
    jacobian = jax.jit(jax.jacfwd(partial(states, adjoint="forward-discrete", chunk=26)))
    found = jacobian(WEIGHTS)["into"]
    np.testing.assert_allclose(found, jax.jacrev(states)(WEIGHTS)["into"], rtol=1e-9, atol=1e-13)
