"""The automatic switch: when it switches, and the derivatives on both sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, solve
from stiffgrad.jax._forward import Inputs, Plan, blank_rows, solve_forward
from tests.stiffgrad.jax import cases, methods

NAME = "auto-tsit5-rosenbrock23"


def modes(rhs, y0, times, p, rtol=1e-5):
    """Whether each accepted step was one of the stiff method."""
    plan = Plan(methods.make(NAME, rhs, y0, p), 4096)
    y0 = jnp.asarray(y0)
    inputs = Inputs(y0, jnp.asarray(times), jnp.asarray(p), jnp.asarray(rtol), 1e-4 * rtol + 0 * y0)
    outcome, record = jax.jit(lambda i: solve_forward(plan, i, blank_rows(plan, i.y0)))(inputs)
    assert outcome.status == 0
    return np.asarray(record.rows[: record.used, 3 + len(y0)]) > 0


def passing(t, y, p):
    """Stiff in the middle of the interval [0, 10] alone."""
    rate = 1 + p[0] * jnp.exp(-((t - 5.0) ** 4))
    return -rate * (y - jnp.cos(t))


def test_it_is_stiff_where_the_problem_is():
    found = modes(passing, [1.0], [0.0, 10.0], [1e5])
    switches = np.flatnonzero(np.diff(found))
    assert not found[0]
    assert not found[-1]
    assert len(switches) == 2
    assert not modes(passing, [1.0], [0.0, 10.0], [1.0]).any()


def test_it_switches_after_eleven_stiff_and_four_other_steps():
    solver = methods.make(NAME, methods.linear, [1.0], [1.0])

    def step(z, state):
        return solver.step(jnp.zeros(()), jnp.ones(()), state, z).state

    run = methods.compiled(solver, step)

    def steps_until(state, z):
        before, count = float(state[1]), 0
        while state[1] == before and count < 50:
            state = run(jnp.full(1, z), state.at[0].set(1.0))
            count += 1
        return count, state

    # The estimate of the eigenvalue is exact on a linear problem; 0.9 * 3.5068 = 3.156.
    explicit = solver.begin(jnp.zeros(()), jnp.ones(1))
    assert steps_until(explicit, -3.1)[0] == 50
    count, stiff = steps_until(explicit, -3.2)
    assert count == 11
    assert steps_until(stiff, -3.2)[0] == 50
    assert steps_until(stiff, -3.1)[0] == 4


def test_the_derivatives_of_a_step():
    states = [(jnp.concatenate([methods.Y, jnp.array([mode, 0.0])]), 2) for mode in (0.0, 1.0)]
    methods.check_derivatives(methods.make(NAME), states)


def test_rober_reaches_its_reference():
    @jax.jit
    @jax.value_and_grad
    def loss(k):
        options = {"integrator": NAME, "rtol": 1e-5, "atol": 1e-9}
        return jnp.sum(
            solve(cases.rober, cases.ROBER_Y0, cases.ROBER_TIMES, k, **options).ys[1:, 0]
        )

    value, dk = loss(cases.ROBER_K)
    assert value == pytest.approx(cases.ROBER_LOSS, rel=1e-4)
    np.testing.assert_allclose(dk, cases.ROBER_DK, rtol=1e-4)


def test_dense_output_and_a_map():
    times = jnp.linspace(0.0, 10.0, 21)
    options = {"integrator": NAME, "observe": "dense", "rtol": 1e-6, "atol": 1e-8}

    def total(p):
        return jnp.sum(solve(passing, jnp.ones(1), times, p, **options).ys)

    ps = jnp.array([[1e4], [2.0]])
    one = jax.jit(jax.value_and_grad(total))
    mapped = jax.vmap(jax.value_and_grad(total))(ps)
    for i, found in enumerate(zip(*mapped, strict=True)):
        for a, b in zip(found, one(ps[i]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)
    ends = [one(ps[1] + sign * 1e-3)[0] for sign in (1, -1)]
    assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(float(one(ps[1])[1][0]), rel=1e-2)


def test_it_refuses_mass_matrices():
    with pytest.raises(ArgumentError, match="radau5"):
        methods.make(NAME, mass=np.diag([1.0, 0.0]))
