"""The discrete adjoint against the derivative of the same steps taken again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import _engine
from stiffgrad.jax._flatten import Traced
from stiffgrad.jax._forward import Inputs, Plan, blank_rows, solve_forward
from stiffgrad.jax._rosenbrock import Rosenbrock
from stiffgrad.jax.integrators import ROSENBROCK
from stiffgrad.jax.strategies.discrete import Discrete
from tests.stiffgrad.jax import cases


def recorded(name, engine, rtol=1e-5):
    """ROBER's plan, inputs, outcome and record."""
    closed = jax.make_jaxpr(cases.rober)(0.0, cases.ROBER_Y0, cases.ROBER_K)
    plan = Plan(Rosenbrock(ROSENBROCK[name], _engine.choose(Traced(closed), engine)[0]), 512)
    inputs = Inputs(
        jnp.asarray(cases.ROBER_Y0),
        jnp.asarray(cases.ROBER_TIMES[::10]),
        jnp.asarray(cases.ROBER_K),
        jnp.asarray(rtol),
        jnp.full(3, 1e-4 * rtol),
    )
    run = jax.jit(lambda i: solve_forward(plan, i, blank_rows(plan, i.y0)))
    return plan, inputs, *run(inputs)


@pytest.mark.parametrize(
    ("name", "engine"), [*((name, "scalar") for name in ROSENBROCK), ("rosenbrock23", "array")]
)
def test_reverse_is_the_derivative_of_the_frozen_steps(name, engine):
    plan, inputs, outcome, record = recorded(name, engine)
    rows = record.rows[: record.used]
    hits = np.flatnonzero(np.asarray(rows[:, 2]))

    def again(y0, p):
        def step(y, row):
            y = plan.method.step(row[0], row[1], y, p).state
            return y, y

        states = jax.lax.scan(step, y0, rows)[1]
        return jnp.concatenate([y0[None], states[hits]])

    rng = np.random.default_rng(3)
    dy0, dlogp = rng.normal(size=3), rng.normal(size=3)
    dp = inputs.p * dlogp
    ys_bar = jnp.asarray(rng.normal(size=outcome.ys.shape))
    states, moved = jax.jit(lambda: jax.jvp(again, (inputs.y0, inputs.p), (dy0, dp)))()
    np.testing.assert_allclose(states, outcome.ys, rtol=1e-11)
    strategy = Discrete(plan)
    pull = jax.jit(lambda: strategy.pullback(inputs, outcome, record, ys_bar))
    y_bar, p_bar, _ = pull()
    forward, reverse = jnp.sum(moved * ys_bar), y_bar @ dy0 + p_bar @ dp
    scale = jnp.abs(y_bar * dy0).sum() + jnp.abs(p_bar * dp).sum()
    assert abs(forward - reverse) < 1e-10 * scale


def test_the_record_is_the_solution_path():
    _, inputs, outcome, record = recorded("rodas5p", "scalar")
    rows = np.asarray(record.rows[: record.used])
    t, h, hit = rows[:, 0], rows[:, 1], rows[:, 2]
    np.testing.assert_allclose(t[1:], t[:-1] + h[:-1], rtol=1e-14)
    np.testing.assert_allclose((t + h)[hit > 0], inputs.times[1:], rtol=1e-14)
    assert record.used == outcome.accepted == len(rows)
    starts = rows[1:, 3:][hit[:-1] > 0]
    np.testing.assert_array_equal(starts, outcome.ys[1:-1])
