"""Corrected per-layer gradients converge where the raw ones do not, at the rates they promise.

y' = -y + theta(t)^2 on (0, 1) with L = y(1) has G(t) = 2 theta(t) exp(t - 1) in closed form.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, corrections, solve

COARSE, FINE = 40, 80


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def theta(t):
    return 1 + 0.5 * np.sin(3 * t)


def exact(t):
    return 2 * theta(t) * np.exp(t - 1)


def rhs(t, y, p):
    return -y + p**2


def leapfrog(layers, h):
    """y_0 to y_N by the formula itself, a layer a step."""
    first = 0.3 + h * rhs(0, 0.3, layers[0])

    def step(pair, layer):
        new = pair[0] + 2 * h * rhs(0, pair[1], layer)
        return (pair[1], new), new

    later = jax.lax.scan(step, (jnp.float64(0.3), first), layers[1:])[1]
    return jnp.concatenate([jnp.array([0.3]), first[None], later])


def two_stage(stages, h, b2):
    """y_0 to y_N, and room for a shift of the state before each step."""
    shifts = jnp.zeros(len(stages))

    def states(stages, shifts):
        def step(y, given):
            (a, b), shift = given
            y = y + shift
            k1 = rhs(0, y, a)
            return y + h * ((1 - b2) * k1 + b2 * rhs(0, y + h / (2 * b2) * k1, b)), y

        end, before = jax.lax.scan(step, jnp.float64(0.3), (stages, shifts))
        return jnp.append(before, end)

    def end(stages, shifts):
        ys = states(stages, shifts)
        return ys[-1], ys

    gradients, ys = jax.jit(jax.grad(end, argnums=(0, 1), has_aux=True))(stages, shifts)
    return np.asarray(gradients[0]), ys, np.append(gradients[1], 1.0)


def rate(error):
    coarse, fine = error(COARSE), error(FINE)
    return np.log2(coarse / fine)


def worst(found, t):
    return float(np.max(np.abs(np.asarray(found) - exact(t))))


def raw_leapfrog(n):
    gradient = jax.jit(jax.grad(lambda layers: leapfrog(layers, 1 / n)[-1]))
    return np.asarray(gradient(theta(np.arange(n) / n)))


def test_raw_gradients_of_leapfrog_do_not_converge_and_filtered_ones_do():
    def raw(n):
        return worst(raw_leapfrog(n) * n, np.arange(n) / n)

    def corrected(n):
        return worst(corrections.filtered(raw_leapfrog(n), 1 / n), np.arange(n + 1) / n)

    assert abs(rate(raw)) < 0.1 and raw(FINE) > 1
    assert 1.7 < rate(corrected) < 2.3 and corrected(FINE) < 2e-3


def test_a_loss_of_the_smoothed_end_leaves_nothing_to_correct():
    def error(n):
        times = np.arange(n + 1) / n

        def loss(layers):
            return corrections.smoothed_end(leapfrog(layers, 1 / n))

        gradient = jax.jit(jax.grad(loss))(theta(times)) * n
        return worst(gradient[1 : n - 1], times[1 : n - 1])

    assert 1.7 < rate(error) < 2.3


@pytest.mark.parametrize("b2", [1.0, 0.5, 0.75])
def test_sums_over_stages_and_costates_of_nodes_converge_at_second_order(b2):
    node_costate = jax.jit(partial(corrections.node_costate, rhs))

    def gradients(n):
        t = np.arange(n) / n
        stages = np.stack([theta(t), theta(t + 1 / (2 * b2 * n))], axis=1)
        return t, *two_stage(stages, 1 / n, b2)

    def raw(n):
        t, by_stages, *_ = gradients(n)
        return worst(by_stages[:, 0] * 2 * n, t)

    def summed(n):
        t, by_stages, *_ = gradients(n)
        return worst(corrections.stage_sum(by_stages, 1 / n), t + 0.5 / n)

    def costate(n):
        t, _, ys, costates = gradients(n)
        t = np.append(t, 1.0)
        return worst(node_costate(t, ys, theta(t), costates), t)

    assert 1.8 < rate(summed) < 2.2
    assert 1.8 < rate(costate) < 2.2
    assert bool(rate(raw) > 0.9) == (b2 == 0.5)


def test_trimmed_gradients_of_ab2_converge():
    def gradient(n):
        times = np.arange(n + 1) / n

        def loss(layers):
            def lookup(t, y, p):
                return rhs(t, y, p[jnp.round(t * n).astype(int)])

            return solve(lookup, 0.3, times, layers, integrator="ab2", steps=1).ys[-1]

        return jax.jit(jax.grad(loss))(theta(times))[:n]

    times = {n: np.arange(n) / n for n in (COARSE, FINE)}
    found = {n: gradient(n) for n in times}
    assert abs(rate(lambda n: worst(found[n] * n, times[n]))) < 0.1
    trimmed = {n: corrections.trimmed(found[n], 1 / n, 2) for n in times}
    assert rate(lambda n: worst(trimmed[n], times[n])) > 1.5
    # too few layers leave an end in
    short = {n: corrections.trimmed(found[n], 1 / n, 0) for n in times}
    assert abs(rate(lambda n: worst(short[n], times[n]))) < 0.1


def test_the_filter_takes_a_zig_zag_away_and_keeps_a_straight_line():
    n = jnp.arange(10.0)
    line = 3 + 2 * n
    # as leapfrog counts its first layer
    given = (line + 5 * (-1.0) ** (n + 1)).at[0].divide(2)
    inner = corrections.filtered(given, 1.0)[1:9]
    np.testing.assert_allclose(inner, line[1:9], rtol=1e-12)


def test_pytrees_and_steps_of_their_own_sizes():
    gradients = {"a": jnp.ones((4, 2, 3)), "b": (jnp.ones((4, 2)),)}
    h = jnp.array([1.0, 2.0, 4.0, 8.0])
    found = corrections.stage_sum(gradients, h)
    np.testing.assert_allclose(found["a"], np.broadcast_to((2 / h)[:, None], (4, 3)))
    np.testing.assert_allclose(found["b"][0], 2 / h)


def test_the_index_is_one_for_a_zig_zag_and_small_for_a_smooth_gradient():
    n = jnp.arange(40)
    assert corrections.oscillation_index((-1.0) ** n) == pytest.approx(1)
    assert corrections.oscillation_index(jnp.ones(40)) == pytest.approx(0)
    both = {"smooth": jnp.ones((40, 2)), "bad": jnp.stack([(-1.0) ** n, jnp.zeros(40)], 1)}
    assert corrections.oscillation_index(both) == pytest.approx(1)


@pytest.mark.parametrize(
    "call",
    [
        lambda: corrections.filtered(jnp.ones(2), 0.1),
        lambda: corrections.smoothed_end(jnp.ones((2, 3))),
        lambda: corrections.trimmed(jnp.ones(5), 0.1, 2),
    ],
)
def test_too_few_layers_are_refused(call):
    with pytest.raises(ArgumentError, match="layers along the first axis"):
        call()
