"""The choice of engine, what it does to the compiled program, and its guard."""

from functools import cache, partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, SolveError, Status, solve
from tests.stiffgrad.jax import cases

TIMES = jnp.array([0.0, 1.0])


def engine_of(rhs, y0, p, **options):
    stats = solve(rhs, y0, TIMES, p, **options).stats
    return stats.engine, stats.engine_reason


def test_small_systems_are_scalar():
    assert engine_of(cases.rober, cases.ROBER_Y0, cases.ROBER_K)[0] == "scalar"


@pytest.mark.parametrize(
    ("rhs", "n", "reason"),
    [
        (lambda t, y, p: -p * y, 150, "150 states"),
        (lambda t, y, p: -p * y @ jnp.ones((60, 60)) @ jnp.ones((60, 60)) / 3600, 60, "operations"),
        (lambda t, y, p: -jax.nn.softplus(p * y), 3, "custom_jvp"),
    ],
)
def test_what_the_scalar_engine_is_not_for_goes_to_arrays(rhs, n, reason):
    engine, why = engine_of(rhs, jnp.linspace(0.5, 1, n), 2.0)
    assert engine == "array"
    assert reason in why


def test_asking_for_the_impossible_engine_is_an_error():
    with pytest.raises(ArgumentError, match="custom_jvp"):
        solve(lambda t, y, p: -jax.nn.softplus(y), 1.0, TIMES, None, engine="scalar")


def test_the_loop_is_one_native_function_on_a_cpu():
    if jax.default_backend() != "cpu":
        pytest.skip("the marks are for the CPU compiler")

    def loss(k):
        return solve(cases.rober, cases.ROBER_Y0, TIMES, k).ys[-1, 0]

    text = jax.jit(jax.grad(loss)).lower(cases.ROBER_K).compile().as_text()
    calls = [line for line in text.splitlines() if " call(" in line]
    assert any('xla_cpu_small_call="true"' in line for line in calls)
    entry = text[text.index("ENTRY") :]
    assert " while(" not in entry


def test_every_elementwise_operation_compiles_and_differentiates():
    def rhs(t, y, p):
        x = 2 + 0.5 * y[0] * jnp.cos(t)
        small = p * x / 9
        terms = [
            jnp.arccos(small) + jnp.arcsin(small) + jnp.arctanh(small) + jax.lax.erf_inv(small),
            jnp.abs(x) + jnp.sign(x) + jnp.floor(x) + jnp.ceil(x) + jnp.round(x) + x % 0.7,
            jnp.arccosh(x) + jnp.arcsinh(x) + jnp.arctan(x) + jnp.arctan2(x, x + 1),
            jnp.cbrt(x) + jnp.sqrt(x) + jax.lax.rsqrt(x) + x**2.5 + jnp.square(x) + x**3,
            jnp.cosh(small) + jnp.sinh(small) + jnp.tan(small) + jnp.tanh(x),
            jnp.exp(small) + jnp.exp2(small) + jnp.expm1(small) + jnp.log(x) + jnp.log1p(x),
            jax.lax.erf(x) + jax.lax.erfc(x) + jax.nn.sigmoid(x) + jax.nn.gelu(x),
            jnp.where((x > 1) & ~(x < 1.2) | jnp.isfinite(x), x, 0.0) + jnp.clip(x, 1.0, 2.2),
            jnp.maximum(x, 1.5) + jnp.minimum(x, 1.5) + jnp.int32(x).astype(float),
        ]
        return -0.01 * sum(terms) * y

    def final(p, engine):
        options = {"integrator": "rosenbrock23", "rtol": 1e-4, "engine": engine}
        return solve(rhs, jnp.ones(1), TIMES, p, **options).ys[-1, 0]

    scalar, inline, array = (
        jax.value_and_grad(final)(1.0, e) for e in ("scalar", "inline", "array")
    )
    np.testing.assert_allclose(scalar, array, rtol=1e-8)
    np.testing.assert_allclose(inline, array, rtol=1e-8)


def network(t, y, p):
    """A small neural network with decay, too many operations to write out."""
    for weights, bias in p:
        y = jax.nn.gelu(weights @ y + bias)
    return y - jnp.array([1.0, 30.0, 900.0]) * y[::-1]


def weights(*hidden):
    rng = np.random.default_rng(5)
    return [
        (rng.normal(size=(o, i)) / np.sqrt(i), 0.1 * rng.normal(size=o))
        for i, o in pairwise([3, *hidden, 3])
    ]


def network_loss(p, y0, **options):
    times = jnp.linspace(0.0, 0.1, 4)
    solution = solve(network, y0, times, p, **options)
    return jnp.sum(solution.ys**2), solution.stats


@cache
def network_gradient(**options):
    """Loss and statistics, and gradients by weights and initial states."""
    run = jax.value_and_grad(partial(network_loss, **options), argnums=(0, 1), has_aux=True)
    return jax.jit(run)(weights(8, 8, 8), jnp.array([1.0, 0.5, -0.2]))


def check_network(found, expected, rtol):
    ((value, _), gradients), ((other, _), others) = found, expected
    np.testing.assert_allclose(value, other, rtol=rtol)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-4 * rtol)


def test_a_small_network_is_inline_and_agrees_with_arrays():
    found = network_gradient()
    assert found[0][1].engine == "inline"
    check_network(found, network_gradient(engine="array"), 1e-8)


def test_many_tangents_of_a_small_network_go_to_arrays():
    found = network_gradient(adjoint="forward-discrete")
    stats = found[0][1]
    assert stats.engine == "array"
    assert "tangents" in stats.engine_reason
    check_network(found, network_gradient(), 1e-8)


@pytest.mark.parametrize("adjoint", ["forward", "forward-discrete"])
def test_the_engine_follows_from_the_tangents_at_once(adjoint):
    def engine(**options):
        given = partial(network_loss, weights(8, 8, 8), adjoint=adjoint, **options)
        return jax.eval_shape(given, jnp.ones(3))[1].engine

    assert (engine(), engine(chunk=8)) == ("array", "inline")


def test_lanes_of_the_inline_engine_equal_a_loop():
    starts = jnp.array([[1.0, 0.5, -0.2], [0.3, -0.4, 2.0]])

    def grad(y0):
        return jax.grad(
            lambda y: jnp.sum(solve(network, y, TIMES, weights(4), engine="inline").ys[-1])
        )(y0)

    mapped = jax.jit(jax.vmap(grad))(starts)
    np.testing.assert_allclose(mapped, jax.jit(partial(jax.lax.map, grad))(starts), rtol=1e-9)


def test_the_inverse_of_the_inline_engine_pivots():
    from stiffgrad.jax._inline_system import inverse, refined

    rng = np.random.default_rng(2)
    matrix = jnp.asarray(rng.normal(size=(6, 6)) * np.logspace(-6, 6, 6)[:, None])
    matrix = matrix.at[0, 0].set(0.0)
    x = rng.normal(size=6)
    np.testing.assert_allclose(refined(inverse(matrix), matrix, matrix @ x), x, rtol=1e-9)
    singular = jnp.ones((3, 3))
    assert not np.isfinite(inverse(singular)).all()


@pytest.mark.parametrize(
    ("rhs", "reason"),
    [
        (lambda t, y, p: jnp.sort(y), "sort"),
        (lambda t, y, p: y @ jnp.ones((20, 20)), "product of matrices with 400 terms"),
    ],
)
def test_what_the_inline_engine_cannot_hold_is_an_error(rhs, reason):
    with pytest.raises(ArgumentError, match=reason):
        solve(rhs, jnp.ones(20), TIMES, None, engine="inline")


def test_elimination_without_pivoting_agrees_with_lapack_where_a_pivot_can_come_near_zero():
    # The first pivot, 1/(h gamma) - p, changes its sign with the step size.
    def rhs(t, y, p):
        return jnp.stack([p * y[0] - 2e3 * y[1], 2e3 * y[0] - (2 * p + 1e3) * y[1]])

    p = 30.0
    found = solve(rhs, jnp.array([1.0, 0.5]), TIMES, p, rtol=1e-8, atol=1e-12, engine="scalar")
    pivoted = solve(rhs, jnp.array([1.0, 0.5]), TIMES, p, rtol=1e-8, atol=1e-12, engine="array")
    np.testing.assert_allclose(found.ys, pivoted.ys, rtol=1e-6, atol=1e-10)


def test_a_hopeless_elimination_ends_as_singular(monkeypatch):
    from stiffgrad.jax import _scalar_system

    def never(self, jacobian, shift, factors, x, b):
        return jnp.full(shift.shape, jnp.inf)

    monkeypatch.setattr(_scalar_system.ScalarSystem, "backward_error", never)
    with pytest.raises(SolveError, match="pivots") as caught:
        solve(lambda t, y, p: -y, 1.0, TIMES, None, engine="scalar")
    assert caught.value.status == Status.SINGULAR


def test_coupled_stages_too_long_to_compile_go_to_arrays():
    """A ring of 40 states: short for a Rosenbrock step, not for three stages at once."""

    def ring(t, y, p):
        return p * (jnp.roll(y, 1) * jnp.roll(y, 7) - y) + jnp.roll(y, 13)

    def engine(integrator):
        def given(p):
            times = jnp.array([0.0, 1.0])
            return solve(ring, jnp.ones(40), times, p, integrator=integrator).stats

        return jax.eval_shape(given, 1.0)

    assert engine("rodas5p").engine == "scalar"
    assert engine("radau5").engine == "array"
    assert "too many to compile" in engine("radau5").engine_reason
