"""The continuous adjoints against certified gradients, closed forms and the discrete adjoint."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from stiffgrad.jax import ArgumentError, SolveError, Status, _rules, solve
from stiffgrad.jax.strategies import quadrature
from tests.stiffgrad.jax import cases

ALONG = ("gauss", "imex", "quadrature", "interpolating")
BACK = ("backsolve", "backsolve-checkpointed")
P = jnp.array([3.0, 1.2, 0.7])
TIMES = jnp.array([0.3, 0.4, 1.0, 1.5])
WEIGHTS = jnp.array([0.7, 1.0, -2.0, 0.5])


def flat(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


@pytest.mark.parametrize("adjoint", ALONG)
def test_rober_converges_to_its_certified_gradient_in_one_compilation(adjoint):
    def loss(y0, k, rtol):
        options = {"rtol": rtol, "atol": 1e-5 * rtol, "adjoint": adjoint}
        return jnp.sum(solve(cases.rober, y0, cases.ROBER_TIMES, k, **options).ys[1:, 0])

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1)))
    for rtol in (1e-3, 1e-5, 1e-7):
        dy0, dk = compiled(cases.ROBER_Y0, cases.ROBER_K, rtol)
        np.testing.assert_allclose(dk, cases.ROBER_DK, rtol=10 * rtol)
        np.testing.assert_allclose(dy0, cases.ROBER_DY0, rtol=10 * rtol)
    assert compiled._cache_size() == 1


def driven(t, y, p):
    """Nonlinear, with the time in it, on pytrees."""
    swing = p["mu"] * (1 - y["x"] ** 2) * y["v"] - y["x"]
    swing = swing + p["push"][0] * jnp.sin(3 * t) + p["push"][1] * t * y["x"]
    return {"v": swing, "x": y["v"]}


DRIVEN_Y0 = {"v": jnp.array(0.3), "x": jnp.array(1.5)}
DRIVEN_P = {"mu": jnp.array(4.0), "push": jnp.array([0.8, -0.5])}


def driven_loss(y0, p, times, adjoint, rtol=1e-8, **options):
    ys = solve(driven, y0, times, p, adjoint=adjoint, rtol=rtol, atol=1e-10, **options).ys
    return jnp.sum(WEIGHTS * ys["x"] ** 2) + jnp.sum(WEIGHTS**2 * ys["v"])


def driven_gradient(times, adjoint, **options):
    gradient = jax.grad(driven_loss, argnums=(0, 1))
    return jax.jit(lambda y0, p: gradient(y0, p, times, adjoint, **options))


@pytest.fixture(scope="module")
def driven_forwards():
    return flat(driven_gradient(TIMES, "discrete", rtol=1e-12)(DRIVEN_Y0, DRIVEN_P))


@pytest.mark.parametrize("adjoint", ["gauss", "quadrature", "interpolating", *BACK])
def test_agrees_with_discrete_at_tight_tolerances(adjoint, driven_forwards):
    found = driven_gradient(TIMES, adjoint)(DRIVEN_Y0, DRIVEN_P)
    np.testing.assert_allclose(flat(found), driven_forwards, rtol=1e-6, atol=1e-6)


def test_backwards_in_time():
    found, expected = (
        driven_gradient(TIMES[::-1], adjoint, rtol=rtol)(DRIVEN_Y0, DRIVEN_P)
        for adjoint, rtol in (("imex", 1e-8), ("discrete", 1e-12))
    )
    np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"integrator": "radau5"},
        {"integrator": "tsit5"},
        {"engine": "inline"},
        {"observe": "dense"},
        {"steps": 100},
    ],
    ids=str,
)
def test_gauss_on_other_integrators_engines_and_observations(options, driven_forwards):
    found = driven_gradient(TIMES, "gauss", **options)(DRIVEN_Y0, DRIVEN_P)
    np.testing.assert_allclose(flat(found), driven_forwards, rtol=1e-4, atol=1e-4)


def forced_final(p, adjoint="gauss"):
    return solve(cases.forced, 1.7, TIMES, p, adjoint=adjoint).ys @ WEIGHTS


def test_eager_equals_jit_and_vmap_equals_a_loop():
    gradient = jax.grad(forced_final)
    alone = [gradient(p) for p in (P, 2 * P)]
    np.testing.assert_allclose(jax.jit(gradient)(P), alone[0], rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(gradient)(jnp.stack([P, 2 * P])), alone, rtol=1e-12)


def test_few_observations_and_none_that_matter():
    def start_alone(y0):
        return solve(cases.forced, y0, TIMES[:1], P, adjoint="gauss").ys[0]

    assert jax.grad(start_alone)(1.7) == 1

    def weighted(y0, weights):
        return solve(cases.forced, y0, TIMES, P, adjoint="gauss").ys @ weights

    gradient = jax.jit(jax.grad(weighted))
    assert gradient(1.7, 0 * WEIGHTS) == 0
    assert gradient(1.7, jnp.array([1.0, 0, 0, 0])) == 1
    early = gradient(1.7, jnp.array([0.0, 1, 0, 0]))
    assert early == pytest.approx(math.exp(-3.0 * 0.1), rel=1e-5)


def test_a_relative_tolerance_of_zero_is_made_up_from_the_absolute_one():
    def final(p):
        return solve(cases.forced, 1.7, TIMES, p, adjoint="imex", rtol=0.0, atol=1e-9).ys @ WEIGHTS

    expected = jax.grad(lambda p: solve(cases.forced, 1.7, TIMES, p, rtol=1e-10).ys @ WEIGHTS)(P)
    np.testing.assert_allclose(jax.jit(jax.grad(final))(P), expected, rtol=1e-6)


@jax.jit
def linear_loss(y0, matrix, w):
    def loss(y0, matrix):
        times = jnp.array([0.0, 0.1, 1.0])
        options = {"rtol": 1e-9, "atol": 1e-11, "adjoint": "gauss"}
        return jnp.sum(solve(lambda t, y, a: a @ y, y0, times, matrix, **options).ys[1:] @ w)

    return jax.grad(loss, argnums=(0, 1))(y0, matrix)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_random_stiff_linear_systems_against_the_matrix_exponential(seed):
    rng = np.random.default_rng(seed)
    n = 3
    basis = np.eye(n) + 0.3 * rng.normal(size=(n, n))
    matrix = basis @ np.diag(-np.logspace(0, 4, n)) @ np.linalg.inv(basis)
    y0, w = rng.normal(size=n), rng.normal(size=n)
    dy0, dmatrix = linear_loss(y0, matrix, w)
    expected = np.zeros((n, n))
    for t in (0.1, 1.0):
        # Van Loan 1978: the derivative of the exponential from that of a block matrix.
        block = np.block([[matrix.T, np.outer(w, y0)], [np.zeros((n, n)), matrix.T]])
        expected += scipy.linalg.expm(t * block)[:n, n:]
    exact = sum(scipy.linalg.expm(t * matrix).T @ w for t in (0.1, 1.0))
    np.testing.assert_allclose(dy0, exact, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(dmatrix, expected, rtol=1e-5, atol=1e-6)


def burst(t, y, p):
    """Forced for a moment that neither the state's nor the adjoint's linear part knows of."""
    return -y + p * jnp.exp(-(((t - 0.5) / 0.02) ** 2))


def burst_slope(adjoint):
    def final(p):
        options = {"rtol": 1e-8, "atol": 1e-10, "adjoint": adjoint}
        return solve(lambda *args: burst(*args), 1.0, jnp.array([0.0, 1.0]), p, **options).ys[-1]

    return jax.grad(final)(1.0)


@pytest.mark.parametrize("adjoint", ["gauss", "imex", "quadrature"])
def test_the_integral_sees_what_lambda_does_not(adjoint, monkeypatch):
    # The integral of exp(t - 1) times the bell, completed to a square.
    exact = 0.02 * math.sqrt(math.pi) * math.exp(-0.5 + 1e-4)
    assert burst_slope(adjoint) == pytest.approx(exact, rel=1e-6)
    if adjoint == "quadrature":
        monkeypatch.setattr(quadrature, "_NARROWEST", 0.6)
        with pytest.raises(SolveError, match="adjoint") as caught:
            burst_slope(adjoint)
        assert caught.value.status == Status.STEP_TOO_SMALL


def algebraic(t, y, p):
    """y' = -p0 y z + p1 and 0 = z - p2 y^2 - sin t, on a vector (y, z)."""
    return jnp.stack([p[1] - p[0] * y[0] * y[1], y[1] - p[2] * y[0] ** 2 - jnp.sin(t)])


def eliminated(t, y, p):
    return p[1] - p[0] * y * (p[2] * y**2 + jnp.sin(t))


@pytest.mark.parametrize("adjoint", ["gauss", "quadrature", "interpolating"])
def test_observed_algebraic_states_reach_the_parameters(adjoint):
    options = {"rtol": 1e-9, "atol": 1e-11}

    def of_both(y, z):
        return jnp.sum(y[1:] ** 2) + jnp.sum(WEIGHTS[1:] * z[1:])

    @jax.jit
    def dae(y, p):
        start = jnp.stack([y, p[2] * y**2 + jnp.sin(TIMES[0])])
        mass = np.diag([1.0, 0.0])
        ys = solve(algebraic, start, TIMES, p, mass=mass, adjoint=adjoint, **options).ys
        return of_both(ys[:, 0], ys[:, 1])

    def ode(y, p):
        ys = solve(eliminated, y, TIMES, p, **options).ys
        return of_both(ys, p[2] * ys**2 + jnp.sin(TIMES))

    found, expected = (jax.grad(f, argnums=(0, 1))(0.8, P) for f in (dae, ode))
    np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-7)


def test_a_regular_mass_matrix_changes_nothing():
    mass = np.array([[2.0, 0.3], [0.5, 1.0]])

    def rhs(t, y, p):
        return jnp.stack([y[1], p[0] * (1 - y[0] ** 2) * y[1] - p[1] * y[0]])

    def loss(y, p, weighed):
        given = {"mass": mass} if weighed else {}
        f = (lambda t, y, p: mass @ rhs(t, y, p)) if weighed else rhs
        options = {"rtol": 1e-9, "atol": 1e-11, **given}
        name = "imex" if weighed else "discrete"
        return jnp.sum(solve(f, y, TIMES, p, adjoint=name, **options).ys @ jnp.array([1.0, 2.0]))

    y0 = jnp.array([1.2, -0.3])
    found, expected = (jax.grad(loss, argnums=(0, 1))(y0, P[:2], w) for w in (True, False))
    np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-6)


def test_a_step_limit_in_the_reverse_pass_is_a_failure_and_not_a_gradient():
    # Every observation makes the adjoint start afresh, and its way back is the longer one.
    times = jnp.linspace(0.0, 1.0, 30)

    def total(p):
        options = {"adjoint": "gauss", "observe": "dense", "max_steps": 60}
        solution = solve(cases.forced, 1.7, times, p, **options)
        return solution.ys.sum(), solution.status

    p = jnp.array([500.0, 1.2, 0.7])
    gradient, status = jax.jit(jax.grad(total, has_aux=True))(p)
    assert status == Status.SUCCESS
    assert np.isnan(gradient).all()
    with pytest.raises(SolveError, match="adjoint") as caught:
        jax.grad(total, has_aux=True)(p)
    assert caught.value.status == Status.MAX_STEPS


def test_a_loss_without_a_finite_derivative_is_a_failure():
    def root(p):
        return jnp.sqrt(0 * solve(cases.forced, 1.7, TIMES, p, adjoint="quadrature").ys[-1])

    with pytest.raises(SolveError) as caught:
        jax.grad(root)(P)
    assert caught.value.status == Status.NON_FINITE


def test_backsolve_fails_on_rober_and_says_so():
    def loss(k, rtol):
        options = {"rtol": rtol, "atol": 1e-5 * rtol, "adjoint": "backsolve-checkpointed"}
        return solve(cases.rober, cases.ROBER_Y0, cases.ROBER_TIMES, k, **options).ys[1:, 0].sum()

    gradient = jax.grad(loss)
    for rtol in (1e-4, 1e-6):
        with pytest.raises(SolveError, match="adjoint"):
            gradient(cases.ROBER_K, rtol)


def test_states_that_an_implicit_integrator_damps_on_their_way_back_are_noticed():
    def final(p):
        return solve(lambda t, y, p: -p * y, 1.0, jnp.array([0.0, 1.0]), p, adjoint="backsolve")

    with pytest.raises(SolveError, match="did not return") as caught:
        jax.grad(lambda p: final(p).ys[-1])(100.0)
    assert caught.value.status == Status.IRREVERSIBLE


@pytest.mark.parametrize("adjoint", [*ALONG, *BACK])
def test_forward_mode_is_refused(adjoint):
    with pytest.raises(ArgumentError, match="reverse mode only"):
        jax.jit(jax.jacfwd(lambda p: forced_final(p, adjoint))).lower(P)


def test_what_cannot_be_is_refused():
    def refused(rhs=cases.forced, y0=1.7, p=P, **options):
        solve(rhs, y0, TIMES, p, **options)

    with pytest.raises(ArgumentError, match="dense output"):
        refused(adjoint="gauss", integrator="bdf2", steps=5)
    start = jnp.array([0.8, 0.64 * 0.7 + math.sin(0.3)])
    with pytest.raises(ArgumentError, match="singular mass"):
        refused(algebraic, start, mass=np.diag([1.0, 0.0]), adjoint="backsolve")
    with pytest.raises(ArgumentError, match="zero rows"):
        refused(algebraic, start, mass=np.ones((2, 2)), adjoint="imex")


@pytest.mark.parametrize(
    ("rule", "degree", "of_estimate"),
    [(_rules.gauss(3), 5, None), (_rules.KRONROD_5, 7, 3), (_rules.KRONROD_15, 22, 13)],
)
def test_quadrature_rules_have_their_degrees(rule, degree, of_estimate):
    for k in range(degree + 1):
        assert rule.weights @ rule.nodes**k == pytest.approx(1 / (k + 1), rel=1e-14)
    if of_estimate is None:
        assert not rule.differences.any()
        return
    for k in range(of_estimate + 1):
        assert abs(rule.differences @ rule.nodes**k) < 1e-15
    assert abs(rule.differences @ rule.nodes ** (of_estimate + 1)) > 1e-12
