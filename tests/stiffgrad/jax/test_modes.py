"""Forward and reverse mode, and the ways of arranging a solve, against one another."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, Status, _dense, _engine, solve
from stiffgrad.jax._flatten import Traced
from stiffgrad.jax._integrators import INTEGRATORS
from tests.stiffgrad.jax import cases

TIMES = cases.ROBER_TIMES[::10]
P = jnp.array([50.0, 2.0, 3.0])
T = jnp.linspace(0.0, 2.0, 9)


def states(k, times=TIMES, y0=cases.ROBER_Y0, **options):
    return solve(cases.rober, y0, times, k, rtol=1e-6, atol=1e-10, **options).ys


def weighted(ys):
    return jnp.sum(ys * jnp.array([1.0, 1e4, 2.0]))


def in_logs(gradient):
    return np.asarray(gradient) * cases.ROBER_K


ARGS = cases.ROBER_K, cases.ROBER_Y0


def loss_of(**options):
    return lambda k, y0: weighted(states(k, y0=y0, **options))


@cache
def discrete(observe="step"):
    """Loss and gradients by rates and initial states, which several tests compare with."""
    return jax.jit(jax.value_and_grad(loss_of(observe=observe), (0, 1)))(*ARGS)


@pytest.mark.parametrize("observe", ["step", "dense"])
def test_forward_and_reverse_mode_are_the_same_derivative(observe):
    forward = jax.jit(jax.jacfwd(loss_of(observe=observe), (0, 1)))(*ARGS)
    for a, b in zip(discrete(observe)[1], forward, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_forward_discrete_is_discrete():
    def gradient(**options):
        return jax.jit(jax.value_and_grad(lambda k: weighted(states(k, **options))))(cases.ROBER_K)

    value, (reverse, _) = discrete()
    for options in ({}, {"chunk": 2}):
        other, forward = gradient(adjoint="forward-discrete", **options)
        np.testing.assert_allclose(other, value, rtol=1e-12)
        np.testing.assert_allclose(forward, reverse, rtol=1e-9)
    jacobian = jax.jit(jax.jacrev(lambda k: states(k, adjoint="forward-discrete")[-1]))
    tangents = jax.jit(jax.jacfwd(lambda k: states(k)[-1]))
    np.testing.assert_allclose(jacobian(cases.ROBER_K), tangents(cases.ROBER_K), rtol=1e-8)


def test_forward_reaches_the_reference_as_its_tolerance_falls():
    @jax.jit
    def gradient(rtol):
        def loss(k):
            solution = solve(
                cases.rober,
                cases.ROBER_Y0,
                cases.ROBER_TIMES,
                k,
                adjoint="forward",
                rtol=rtol,
                atol=1e-5 * rtol,
            )
            return jnp.sum(solution.ys[1:, 0])

        return jax.grad(loss)(cases.ROBER_K)

    size = np.linalg.norm(in_logs(cases.ROBER_DK))
    errors = [
        np.linalg.norm(in_logs(gradient(rtol) - cases.ROBER_DK)) / size
        for rtol in (1e-3, 1e-5, 1e-7)
    ]
    assert errors[0] < 1e-3
    assert errors[1] < 0.1 * errors[0]
    assert errors[2] < 1e-7


def at_rest(t, y, p):
    """Started at its equilibrium p1/p0, where the error estimate of the state is zero."""
    return p[1] - p[0] * y


def test_forward_controls_what_the_states_do_not_show():
    p, y0, times = jnp.array([1.0, 1.0]), jnp.array(1.0), jnp.array([0.0, 20.0])
    true = np.array([-1.0, 1.0])

    def error(adjoint):
        end = jax.grad(
            lambda p: solve(at_rest, y0, times, p, adjoint=adjoint, rtol=1e-8, atol=1e-8).ys[-1]
        )
        return np.abs(end(p) - true).max()

    assert error("discrete") > 1e-4
    assert error("forward") < 1e-8


def test_forward_by_chunks_meets_the_tolerance_in_every_pass():
    def gradient(**options):
        return jax.jit(jax.grad(lambda k: weighted(states(k, adjoint="forward", **options))))(
            cases.ROBER_K
        )

    np.testing.assert_allclose(gradient(chunk=2), gradient(), rtol=2e-5)


@pytest.mark.parametrize("observe", ["step", "dense"])
def test_checkpointed_equals_store_all(observe):
    value, whole = discrete(observe)
    loss = loss_of(observe=observe, memory_limit=20_000)
    other, checkpointed = jax.jit(jax.value_and_grad(loss, (0, 1)))(*ARGS)
    np.testing.assert_allclose(other, value, rtol=1e-12)
    for a, b in zip(whole, checkpointed, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-11)


def test_a_failing_checkpointed_solve_has_no_gradient():
    grad = jax.jit(
        jax.grad(lambda k: weighted(states(k, memory_limit=20_000, max_steps=30)), allow_int=True)
    )
    assert np.isnan(grad(cases.ROBER_K)).all()


def test_maps_of_what_takes_no_lanes_equal_a_loop():
    ps = P * jnp.exp(0.1 * jnp.arange(6).reshape(2, 3))

    def final(p, **options):
        return solve(cases.forced, 1.0, T[:3], p, **options).ys[-1]

    for options in ({"memory_limit": 20_000}, {"adjoint": "forward", "observe": "dense"}):
        grad = jax.grad(partial(final, **options))
        mapped = jax.jit(jax.vmap(grad))(ps)
        np.testing.assert_allclose(mapped, jax.jit(partial(jax.lax.map, grad))(ps), rtol=1e-10)
    forward = jax.jit(jax.vmap(jax.jacfwd(final)))(ps)
    np.testing.assert_allclose(forward, jax.jit(jax.vmap(jax.grad(final)))(ps), rtol=1e-8)


@pytest.mark.parametrize("integrator", ["rodas5p", "rodas4", "rosenbrock23"])
def test_dense_output_has_its_order(integrator):
    # One more than its own order, locally, as far as the steps' ends are as good.
    rate = {"rodas5p": 5, "rodas4": 4, "rosenbrock23": 2}[integrator]
    p, fine = jnp.array([3.0, 2.0, 3.0]), jnp.linspace(0.003, 1.997, 38)
    exact = cases.forced_solution(fine, 1.0, p)

    def error(count):
        """Steps of equal size, read off in between."""
        closed = jax.make_jaxpr(lambda t, y, p: cases.forced(t, y, p))(0.0, jnp.ones(1), p)
        method = INTEGRATORS[integrator](_engine.choose(Traced(closed), "scalar")[0])
        h = 2.0 / count

        def body(y, t):
            step = method.step(t, jnp.asarray(h), y, p)
            return step.state, (y, step.terms)

        _, (starts, terms) = jax.jit(
            lambda: jax.lax.scan(body, jnp.ones(1), jnp.arange(count) * h)
        )()
        where = np.minimum((np.asarray(fine) / h).astype(int), count - 1)
        theta = np.asarray(fine) / h - where
        read = jax.vmap(_dense.value)(starts[where], terms[where], jnp.asarray(theta))
        return np.abs(read[:, 0] - exact).max()

    assert np.log2(error(25) / error(50)) == pytest.approx(rate, abs=0.4)


def test_fixed_steps_converge_and_report_what_they_took():
    def end(steps):
        solution = solve(cases.forced, 1.0, T, P, steps=steps)
        return solution, abs(float(solution.ys[-1] - cases.forced_solution(T[-1], 1.0, P)))

    (coarse, first), (_, second) = end(4), end(8)
    assert coarse.stats.accepted == coarse.stats.attempted == 4 * (len(T) - 1)
    assert np.log2(first / second) > 4
    gradient = jax.grad(lambda p: solve(cases.forced, 1.0, T, p, steps=8).ys[-1])(P)
    exact = jax.grad(lambda p: cases.forced_solution(T[-1], 1.0, p))(P)
    np.testing.assert_allclose(gradient, exact, rtol=1e-6)


def test_a_fixed_step_that_fails_ends_the_solve():
    def outside(t, y, p):
        return jnp.log(p * y - 2)

    status = jax.jit(lambda: solve(outside, 1.0, jnp.array([0.0, 3.0]), 1.0, steps=3).status)()
    assert status == Status.NON_FINITE


def test_second_derivatives_are_refused():
    with pytest.raises(ArgumentError, match="second derivatives"):
        jax.hessian(lambda p: solve(cases.forced, 1.0, T, p).ys[-1])(P)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a positive integer"),
        ({"memory_limit": 100}, "memory_limit=100 bytes is too little"),
        ({"memory_limit": 10**6, "adjoint": "forward"}, "memory_limit goes with"),
        ({"chunk": 2}, "takes no chunk"),
        ({"adjoint": "forward", "steps": 3}, "forward-discrete"),
        ({"observe": "densely"}, "'dense'"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ArgumentError, match=message):
        solve(cases.forced, 1.0, T, P, **options)
