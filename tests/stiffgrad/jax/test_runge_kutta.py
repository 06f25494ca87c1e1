"""The Runge-Kutta methods: order, stability, dense output, error estimate, derivatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, SolveError, Status, solve
from stiffgrad.jax.integrators import RUNGE_KUTTA
from tests.stiffgrad.jax import cases, methods

IMPLICIT = [n for n, t in RUNGE_KUTTA.items() if t.explicit_stages < t.stages]
ADAPTIVE = [n for n, t in RUNGE_KUTTA.items() if t.error is not None]
STIFF = [n for n in ADAPTIVE if n in IMPLICIT]
ROOT = np.sqrt(2)


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_order_on_a_nonlinear_driven_problem(name):
    solver = methods.make(name)
    counts, end = ((256, 512), 2.0) if name == "tsit5" else COUNTS[solver.order]
    assert methods.observed_order(solver, counts, end) == pytest.approx(solver.order, abs=0.3)


COUNTS = {
    **dict.fromkeys((1, 2), ((128, 256), 0.5)),
    **dict.fromkeys((3, 4, 5), ((24, 48), 0.5)),
    6: ((6, 12), 0.5),
}


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_dense_output_has_its_order_and_ends_at_the_solution(name):
    solver = methods.make(name)
    order = DENSE_ORDERS.get(name, solver.dense_degree)
    errors, gap = methods.dense_errors(solver, (0.02, 0.01))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.35)
    assert gap < 1e-12


# Cubics on a method of order 2, and a polynomial beyond the order of the stages.
DENSE_ORDERS = {"trapezoid": 2, "tr-bdf2": 2}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_error_estimate_has_its_order(name):
    solver = methods.make(name)
    step = methods.compiled(solver, lambda h, y, p: solver.step(h, h, y, p).error)
    sizes = [np.linalg.norm(step(jnp.asarray(h), methods.Y, methods.P)) for h in (2e-2, 1e-2)]
    order = RUNGE_KUTTA[name].error_order
    assert np.log2(sizes[0] / sizes[1]) == pytest.approx(order + 1, abs=0.35)


@pytest.mark.parametrize("name", STIFF)
def test_error_estimate_stays_bounded_where_the_problem_is_stiff(name):
    solver = methods.make(name, methods.linear, [1.0], [1.0])
    step = methods.compiled(solver, lambda h, y, z: solver.step(h, h, y, z).error)
    assert abs(step(jnp.ones(()), jnp.ones(1), jnp.full(1, -1e8))[0]) < 10


def from_tableau(name, z):
    """R(z) = 1 + z b^T (I - zA)^-1 1 and its derivative b^T (I - zA)^-2 1."""
    tableau = RUNGE_KUTTA[name]
    inverse = np.linalg.inv(np.eye(tableau.stages) - z * tableau.a)
    once = inverse @ np.ones(tableau.stages)
    return 1 + z * tableau.b @ once, tableau.b @ inverse @ once


def of_sdirk2(z):
    g = 1 - 1 / ROOT
    value = (1 + (1 - 2 * g) * z) / (1 - g * z) ** 2
    return value, 4 * ((3 * ROOT - 4) * z + 2) / (2 - (2 - ROOT) * z) ** 3


def of_trapezoid(z):
    return (2 + z) / (2 - z), 4 / (2 - z) ** 2


CLOSED = {
    "backward-euler": lambda z: (1 / (1 - z), 1 / (1 - z) ** 2),
    "trapezoid": of_trapezoid,
    "implicit-midpoint": of_trapezoid,
    "sdirk2": of_sdirk2,
    "tr-bdf2": of_sdirk2,
    "euler": lambda z: (1 + z, 1.0),
    "radau3": lambda z: (
        2 * (z + 3) / (z**2 - 4 * z + 6),
        -2 * (z**2 + 6 * z - 18) / (z**2 - 4 * z + 6) ** 2,
    ),
    "radau5": lambda z: (
        -3 * (z**2 + 8 * z + 20) / (z**3 - 9 * z**2 + 36 * z - 60),
        3 * (z**4 + 16 * z**3 - 48 * z**2 - 240 * z + 1200) / (z**3 - 9 * z**2 + 36 * z - 60) ** 2,
    ),
    "gauss4": lambda z: (
        (z**2 + 6 * z + 12) / (z**2 - 6 * z + 12),
        -12 * (z**2 - 12) / (z**2 - 6 * z + 12) ** 2,
    ),
    "gauss6": lambda z: (
        -(z**3 + 12 * z**2 + 60 * z + 120) / (z**3 - 12 * z**2 + 60 * z - 120),
        24 * (z**4 - 30 * z**2 + 600) / (z**3 - 12 * z**2 + 60 * z - 120) ** 2,
    ),
    "lobatto-iiic2": lambda z: (2 / (z**2 - 2 * z + 2), 4 * (1 - z) / (z**2 - 2 * z + 2) ** 2),
    "lobatto-iiic3": lambda z: (
        -6 * (z + 4) / (z**3 - 6 * z**2 + 18 * z - 24),
        12 * (z**3 + 3 * z**2 - 24 * z + 48) / (z**3 - 6 * z**2 + 18 * z - 24) ** 2,
    ),
    **dict.fromkeys(("heun", "midpoint", "ralston"), lambda z: (1 + z + z**2 / 2, 1 + z)),
}


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_stability_function_and_its_derivative(name):
    one = methods.stability(methods.make(name, methods.linear, [1.0], [1.0]))
    for z in (-0.3, -2.9, -40.0, *([-1e5] if name in IMPLICIT else [])):
        found = one(z)
        np.testing.assert_allclose(found, from_tableau(name, z), rtol=1e-6, atol=1e-10)
        if name in CLOSED:
            np.testing.assert_allclose(found, CLOSED[name](z), rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("name", ["backward-euler", "sdirk2"])
def test_strongly_damped_derivatives_keep_their_digits(name):
    one = methods.stability(methods.make(name, methods.linear, [1.0], [1.0]))
    for z in (-1e6, -1e9):
        np.testing.assert_allclose(one(z), CLOSED[name](z), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        *((name, "scalar") for name in RUNGE_KUTTA),
        ("tr-bdf2", "array"),
        ("radau3", "array"),
        ("radau3", "inline"),
    ],
)
def test_the_derivatives_of_a_step(name, engine):
    methods.check_derivatives(methods.make(name, engine=engine), [(methods.Y, 2)])


@pytest.mark.parametrize("name", STIFF)
def test_rober_reaches_its_reference(name):
    rtol = 1e-6 if RUNGE_KUTTA[name].order > 2 else 1e-4

    @jax.jit
    @jax.value_and_grad
    def loss(k):
        solution = solve(
            cases.rober,
            cases.ROBER_Y0,
            cases.ROBER_TIMES,
            k,
            integrator=name,
            rtol=rtol,
            atol=1e-4 * rtol,
        )
        return jnp.sum(solution.ys[1:, 0])

    value, dk = loss(cases.ROBER_K)
    assert value == pytest.approx(cases.ROBER_LOSS, rel=2 * rtol)
    np.testing.assert_allclose(dk, cases.ROBER_DK, rtol=10 * rtol)


def test_dense_output_and_the_array_engine_through_solve():
    times = jnp.linspace(0.0, 1.0, 23)

    def final(p, **options):
        ys = solve(cases.forced, 1.7, times, p, rtol=1e-8, atol=1e-8, **options).ys
        return jnp.sum(ys)

    p = jnp.array([50.0, 1.2, 0.7])
    expected = jax.grad(lambda p: jnp.sum(cases.forced_solution(times, 1.7, p)))(p)
    for options in (
        {"integrator": "kvaerno5", "observe": "dense"},
        {"integrator": "radau5", "engine": "array"},
        {"integrator": "radau5", "observe": "dense"},
        {"integrator": "tsit5", "observe": "dense"},
    ):
        found = jax.jit(jax.grad(partial(final, **options)))(p)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=str(options))


@pytest.mark.parametrize("name", ["kvaerno5", "radau3"])
def test_vmap_equals_a_loop(name):
    times = jnp.array([0.0, 0.5, 1.0])
    ps = jnp.array([[50.0, 1.2, 0.7], [3.0, 0.2, 2.0], [900.0, 1.0, 1.0]])

    def final(p):
        options = {"integrator": name, "rtol": 1e-6, "atol": 1e-8}
        return solve(cases.forced, 1.7, times, p, **options).ys[-1]

    one = jax.jit(jax.value_and_grad(final))
    for i, (value, gradient) in enumerate(zip(*jax.vmap(one)(ps), strict=True)):
        np.testing.assert_allclose(value, one(ps[i])[0], rtol=1e-10)
        np.testing.assert_allclose(gradient, one(ps[i])[1], rtol=1e-9)


def constrained(t, y, p):
    """y1' = -p y1 with y2 = y1^2 as an algebraic equation."""
    return jnp.stack([-p[0] * y[0], y[0] ** 2 - y[1]])


@pytest.mark.parametrize("name", ["sdirk2", "radau3", "lobatto-iiic3"])
def test_singular_mass_matrices(name):
    steps = {"steps": 40} if name == "lobatto-iiic3" else {}

    def last(p):
        ys = solve(
            constrained,
            jnp.ones(2),
            jnp.array([0.0, 1.0]),
            p,
            integrator=name,
            mass=np.diag([1.0, 0.0]),
            rtol=1e-7,
            atol=1e-9,
            **steps,
        ).ys
        return ys[-1, 1]

    value, slope = jax.value_and_grad(last)(jnp.array([0.8]))
    assert value == pytest.approx(np.exp(-1.6), rel=1e-3)
    assert slope[0] == pytest.approx(-2 * np.exp(-1.6), rel=1e-3)


@pytest.mark.parametrize("name", ["kvaerno5", "tsit5", "trapezoid"])
def test_explicit_stages_refuse_mass_matrices(name):
    with pytest.raises(ArgumentError, match="sdirk2"):
        methods.make(name, mass=np.diag([1.0, 0.0]))


def test_stages_without_a_solution_are_not_converged():
    with pytest.raises(SolveError) as caught:
        # y = 1 + y^2 has no real solution.
        solve(
            lambda t, y, p: p * y**2,
            1.0,
            jnp.array([0.0, 1.0]),
            1.0,
            integrator="backward-euler",
            steps=1,
        )
    assert caught.value.status == Status.NOT_CONVERGED
