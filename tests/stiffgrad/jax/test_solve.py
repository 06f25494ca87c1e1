"""The public function: solutions, gradients, arguments and failures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from stiffgrad.jax import ArgumentError, SolveError, Status, solve
from stiffgrad.jax.integrators import ROSENBROCK
from tests.stiffgrad.jax import cases

P = jnp.array([50.0, 1.2, 0.7])


def rober_loss(y0, k, times, rtol, **options):
    ys = solve(cases.rober, y0, times, k, rtol=rtol, atol=1e-4 * rtol, **options).ys
    return jnp.sum(ys[1:, 0])


@pytest.mark.parametrize("integrator", ROSENBROCK)
def test_rober_reaches_its_reference(integrator):
    rtol = 1e-4 if integrator == "rosenbrock23" else 1e-6
    bound = 1e-3 if integrator == "rosenbrock23" else 2e-6
    loss = jax.jit(
        jax.value_and_grad(
            lambda y, k: rober_loss(y, k, cases.ROBER_TIMES, rtol, integrator=integrator),
            argnums=(0, 1),
        )
    )
    value, (dy0, dk) = loss(cases.ROBER_Y0, cases.ROBER_K)
    assert value == pytest.approx(cases.ROBER_LOSS, rel=bound)
    np.testing.assert_allclose(dk, cases.ROBER_DK, rtol=5 * bound)
    np.testing.assert_allclose(dy0, cases.ROBER_DY0, rtol=5 * bound)


def test_gradient_errors_fall_with_traced_tolerances_in_one_compilation():
    compiled = jax.jit(jax.grad(rober_loss, argnums=1))
    errors = []
    for rtol in (1e-3, 1e-5, 1e-7):
        dk = compiled(cases.ROBER_Y0, cases.ROBER_K, cases.ROBER_TIMES, rtol)
        errors.append(np.linalg.norm(dk / cases.ROBER_DK - 1))
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    assert compiled._cache_size() == 1


@pytest.mark.parametrize(
    ("integrator", "engine"), [*((name, "scalar") for name in ROSENBROCK), ("rodas4", "array")]
)
def test_time_dependent_problem_and_gradients_against_closed_form(engine, integrator):
    times = jnp.array([0.3, 0.4, 1.0, 2.5])
    rtol = 1e-5 if integrator == "rosenbrock23" else 1e-8
    weights = jnp.array([0.7, 1.0, -2.0, 0.5])

    def loss(y0, times, p):
        ys = solve(
            cases.forced, y0, times, p, integrator=integrator, engine=engine, rtol=rtol, atol=rtol
        ).ys
        return weights @ ys

    def exact(y0, times, p):
        lam, a, w = p
        size = a * lam / (lam**2 + w**2)

        def particular(t):
            return size * (lam * jnp.cos(w * t) + w * jnp.sin(w * t))

        decay = jnp.exp(-lam * (times - times[0]))
        return weights @ (particular(times) + (y0 - particular(times[0])) * decay)

    found = jax.value_and_grad(loss, argnums=(0, 1, 2))(1.7, times, P)
    expected = jax.value_and_grad(exact, argnums=(0, 1, 2))(1.7, times, P)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=200 * rtol, atol=200 * rtol)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_random_stiff_linear_systems_against_the_matrix_exponential(seed):
    rng = np.random.default_rng(seed)
    n = 4
    basis = np.eye(n) + 0.3 * rng.normal(size=(n, n))
    eigenvalues = -np.logspace(0, 4, n)
    matrix = basis @ np.diag(eigenvalues) @ np.linalg.inv(basis)
    y0, w = rng.normal(size=n), rng.normal(size=n)
    value, (dy0, dmatrix) = linear_loss(y0, matrix, w)
    reference = [scipy.linalg.expm(t * matrix) for t in (0.1, 1.0)]
    np.testing.assert_allclose(value, sum(w @ e @ y0 for e in reference), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(dy0, sum(e.T @ w for e in reference), rtol=1e-5, atol=1e-7)
    # d/dA of w^T exp(tA) y0, from the exponential of a block matrix (Van Loan 1978).
    expected = np.zeros((n, n))
    for t in (0.1, 1.0):
        block = np.block([[matrix.T, np.outer(w, y0)], [np.zeros((n, n)), matrix.T]])
        expected += scipy.linalg.expm(t * block)[:n, n:]
    np.testing.assert_allclose(dmatrix, expected, rtol=1e-4, atol=1e-6)


def linear(t, y, matrix):
    return matrix @ y


@jax.jit
def linear_loss(y0, matrix, w):
    def loss(y0, matrix):
        times = jnp.array([0.0, 0.1, 1.0])
        return jnp.sum(solve(linear, y0, times, matrix, rtol=1e-9, atol=1e-11).ys[1:] @ w)

    return jax.value_and_grad(loss, argnums=(0, 1))(y0, matrix)


def test_backwards_in_time():
    forwards = solve(cases.forced, 1.7, jnp.array([0.0, 0.05]), P, rtol=1e-10, atol=1e-12)
    end = forwards.ys[-1]
    back = solve(cases.forced, end, jnp.array([0.05, 0.02, 0.0]), P, rtol=1e-10, atol=1e-12)
    assert back.ys[-1] == pytest.approx(1.7, abs=1e-7)


def test_one_time_returns_the_start():
    solution = solve(cases.forced, 1.7, jnp.array([0.3]), P)
    assert solution.ys == pytest.approx([1.7])
    assert solution.status == Status.SUCCESS
    assert solution.stats.attempted == 0


def test_pytrees_of_states_parameters_and_tolerances():
    def rhs(t, y, p):
        flow = p["k"] * y["a"]
        return {"a": -flow, "b": jnp.outer(flow, p["split"])}

    y0 = {"a": jnp.array([1.0, 2.0]), "b": jnp.zeros((2, 3))}
    p = {"k": jnp.array([3.0, 100.0]), "split": jnp.array([0.2, 0.3, 0.5]), "unused": 4}
    times = jnp.array([0.0, 0.5])
    atol = {"a": 1e-12, "b": jnp.full((2, 3), 1e-11)}

    def total(y0, p):
        ys = solve(rhs, y0, times, p, rtol=1e-9, atol=atol).ys
        assert ys["b"].shape == (2, 2, 3)
        return ys["a"][-1].sum() + ys["b"][-1].sum(), ys

    (value, ys), grads = jax.value_and_grad(total, argnums=(0, 1), has_aux=True, allow_int=True)(
        y0, p
    )
    np.testing.assert_allclose(value, 3, rtol=1e-8)
    np.testing.assert_allclose(ys["a"][-1], y0["a"] * np.exp(-0.5 * p["k"]), atol=1e-9)
    np.testing.assert_allclose(grads[0]["a"], 1, atol=1e-8)
    np.testing.assert_allclose(grads[1]["k"], 0, atol=1e-8)


def test_values_that_the_rhs_closes_over_are_differentiated():
    times = jnp.array([0.0, 1.0])

    def loss(rate):
        return solve(lambda t, y, p: -rate * y, 1.0, times, None, rtol=1e-9).ys[-1]

    for gradient in (jax.grad(loss), jax.jit(jax.grad(loss))):
        assert gradient(2.0) == pytest.approx(-np.exp(-2), rel=1e-7)


def test_jit_and_jacrev_agree_with_eager_grad():
    def final(p):
        return solve(cases.forced, 1.7, jnp.array([0.0, 1.0]), p).ys[-1]

    eager = jax.grad(final)(P)
    np.testing.assert_allclose(jax.jit(jax.grad(final))(P), eager, rtol=1e-12)
    np.testing.assert_allclose(jax.jacrev(final)(P), eager, rtol=1e-12)


def test_single_precision():
    f32 = jnp.float32

    def final(p):
        times = jnp.array([0.0, 0.5, 1.0], f32)
        ys = solve(cases.forced, jnp.asarray(1.7, f32), times, p, rtol=1e-4, atol=1e-5).ys
        assert ys.dtype == f32
        return ys[-1]

    value, gradient = jax.value_and_grad(final)(P.astype(f32))
    exact = jax.grad(lambda p: cases.forced_solution(1.0, 1.7, p))(P)
    assert gradient.dtype == f32
    assert value == pytest.approx(float(cases.forced_solution(1.0, 1.7, P)), abs=1e-4)
    np.testing.assert_allclose(gradient, exact, rtol=2e-2, atol=1e-4)


def test_statistics_say_what_was_done():
    stats = solve(cases.forced, 1.7, jnp.array([0.0, 1.0]), P).stats
    assert (stats.integrator, stats.adjoint, stats.engine) == ("rodas5p", "discrete", "scalar")
    assert 0 < stats.accepted <= stats.attempted
    assert stats.rhs_evaluations == 8 * stats.attempted + 1
    assert "1 states" in stats.engine_reason


def blow_up(t, y, p):
    return p * y**2


def not_a_number(t, y, p):
    return jnp.log(p - y)


def noise(t, y, p):
    return jnp.where(t > 0.4, p * jnp.sin(1e20 * t), 0.0)


FAILURES = {
    Status.MAX_STEPS: (cases.forced, P, {"max_steps": 3}),
    Status.STEP_TOO_SMALL: (noise, 1e12, {}),
    Status.NON_FINITE: (not_a_number, 0.5, {}),
}


@pytest.mark.parametrize("engine", ["scalar", "array"])
@pytest.mark.parametrize("status", FAILURES)
def test_failures_raise_outside_jit_and_are_nan_inside(status, engine):
    rhs, p, options = FAILURES[status]
    times = jnp.array([0.0, 0.4, 1.0])

    def final(p):
        solution = solve(rhs, 1.0, times, p, engine=engine, **options)
        return solution.ys[-1], solution.status

    with pytest.raises(SolveError) as caught:
        final(p)
    assert caught.value.status == status
    with pytest.raises(SolveError):
        jax.grad(final, has_aux=True)(p)
    gradient, found = jax.jit(jax.grad(final, has_aux=True))(p)
    assert found == status
    assert np.isnan(np.concatenate([np.ravel(x) for x in jax.tree.leaves(gradient)])).all()


def test_a_blow_up_is_not_a_solution():
    with pytest.raises(SolveError):
        solve(blow_up, 1.0, jnp.array([0.0, 2.0]), 1.0)


def test_states_before_a_failure_are_kept_and_later_ones_are_nan():
    run = jax.jit(lambda: solve(blow_up, 1.0, jnp.array([0.0, 0.5, 2.0]), 1.0))
    solution = run()
    assert solution.status != Status.SUCCESS
    np.testing.assert_allclose(solution.ys[:2], [1, 2], rtol=1e-5)
    assert np.isnan(solution.ys[2])


TIMES = jnp.array([0.0, 1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"integrator": "rodas5"}, "rodas5p"),
        ({"adjoint": "discret"}, "nearest is 'discrete'"),
        ({"engine": "gpu"}, "engine"),
        ({"max_steps": 0}, "max_steps"),
        ({"rtol": -1.0}, "rtol"),
        ({"rtol": jnp.ones(2)}, "rtol"),
        ({"atol": np.nan}, "atol"),
        ({"atol": {"x": 1.0, "y": 2.0}}, "atol"),
        ({"t": jnp.array([0.0, 1.0, 1.0])}, "monotonic"),
        ({"t": jnp.array([0.0, np.inf])}, "finite"),
        ({"t": 1.0}, "vector"),
        ({"y0": "one"}, "y0"),
        ({"y0": 1j}, "complex"),
        ({"y0": jnp.zeros(0)}, "no numbers"),
        ({"rhs": lambda t, y, p: jnp.ones(3)}, "must return"),
    ],
)
def test_unusable_arguments_are_named(changes, message):
    given = {"rhs": cases.forced, "y0": 1.0, "t": TIMES, "p": P} | changes
    with pytest.raises(ArgumentError, match=message):
        solve(**given)
