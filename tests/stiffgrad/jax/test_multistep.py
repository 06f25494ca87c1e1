"""The linear multistep methods: order, roots, uneven steps, derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, solve
from stiffgrad.jax.integrators import MULTISTEP
from tests.stiffgrad.jax import cases, methods

BDF = [name for name in MULTISTEP if name.startswith("bdf")]
P = jnp.array([3.0, 1.2, 0.7])


@pytest.mark.parametrize("name", MULTISTEP)
def test_order_on_a_nonlinear_driven_problem(name):
    solver = methods.make(name)
    counts = (64, 128) if solver.order >= 4 else (256, 512)
    assert methods.observed_order(solver, counts) == pytest.approx(solver.order, abs=0.3)


# Generating polynomials of the formulas: sum_j delta_j zeta^-j = z.
DELTA = {
    1: [1, -1],
    2: [3 / 2, -2, 1 / 2],
    3: [11 / 6, -3, 3 / 2, -1 / 3],
    4: [25 / 12, -4, 3, -4 / 3, 1 / 4],
    5: [137 / 60, -5, 5, -10 / 3, 5 / 4, -1 / 5],
}


@pytest.mark.parametrize("order", DELTA)
def test_bdf_approaches_its_principal_root(order):
    solver = methods.make(f"bdf{order}", methods.linear, [1.0], [1.0])
    run = methods.walk(solver)
    for z in (-0.03, -0.1):
        roots = np.roots(np.array(DELTA[order]) - z * np.eye(order + 1)[0])
        principal = roots[np.argmin(abs(roots - np.exp(z)))].real
        before, after = (
            run(jnp.asarray(n), jnp.asarray(float(n)), jnp.ones(1), jnp.full(1, z))[0]
            for n in (120, 121)
        )
        assert after / before == pytest.approx(principal, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "engine"),
    [("bdf3", "scalar"), ("bdf2", "array"), ("ab2", "scalar"), ("leapfrog", "scalar")],
)
def test_the_derivatives_of_a_step(name, engine):
    solver = methods.make(name, engine=engine)

    def state_after(count, y, p):
        def body(i, state):
            # Uneven steps, which the last of them ends at 0.3.
            h = 0.03 * (1 + 0.3 * (i % 2))
            return solver.step(state_time(i, count), h, state, p).state

        return jax.lax.fori_loop(0, count, body, solver.begin(state_time(0, count), y))

    def state_time(i, count):
        return 0.3 - 0.03 * ((count - i) + 0.3 * (count // 2 - i // 2))

    run = methods.compiled(solver, state_after)
    first, later = (run(jnp.asarray(count), methods.Y, methods.P) for count in (0, 6))
    assert (first[-1], later[-1]) == (0, 6)
    n, points = solver.system.n, MULTISTEP[name].points
    methods.check_derivatives(solver, [(first, n), (later, n * points)])


@pytest.mark.parametrize("name", MULTISTEP)
def test_uneven_steps_keep_the_solution_and_its_gradient(name):
    times = jnp.asarray(np.concatenate([[0.0], np.linspace(0.2, 1.0, 7) ** 2]))

    def final(p, steps=8):
        return solve(cases.forced, 1.7, times, p, integrator=name, steps=steps).ys[-1]

    value, gradient = jax.jit(jax.value_and_grad(final))(P)
    # Leapfrog is of order 1 on uneven steps.
    bound = {"leapfrog": 3e-2, "ab2": 3e-4}.get(name, 3e-4)
    expected = jax.value_and_grad(lambda p: cases.forced_solution(1.0, 1.7, p))(P)
    assert value == pytest.approx(float(expected[0]), rel=bound)
    np.testing.assert_allclose(gradient, expected[1], rtol=10 * bound, atol=bound)
    if name in ("bdf3", "ab2"):
        np.testing.assert_allclose(jax.jacfwd(final)(P), gradient, rtol=1e-10)
        along, eps = jnp.array([0.3, -0.5, 1.0]), 1e-5
        ends = [final(P + sign * eps * along) for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * eps) == pytest.approx(float(gradient @ along), rel=1e-7)


def test_vmap_equals_a_loop():
    times, ps = jnp.array([0.0, 0.1, 1.0]), jnp.stack([P, 20 * P])
    options = {"integrator": "bdf2", "steps": 9}
    one = jax.jit(
        jax.value_and_grad(lambda p: solve(cases.forced, 1.7, times, p, **options).ys[-1])
    )
    for i, found in enumerate(zip(*jax.vmap(one)(ps), strict=True)):
        for a, b in zip(found, one(ps[i]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_a_singular_mass_matrix():
    def rhs(t, y, p):
        return jnp.stack([-p * y[0], y[0] ** 2 - y[1]])

    def last(p):
        options = {"integrator": "bdf3", "steps": 40, "mass": np.diag([1.0, 0.0])}
        return solve(rhs, jnp.ones(2), jnp.array([0.0, 1.0]), p, **options).ys[-1, 1]

    value, slope = jax.value_and_grad(last)(0.8)
    assert value == pytest.approx(np.exp(-1.6), rel=1e-4)
    assert slope == pytest.approx(-2 * np.exp(-1.6), rel=1e-3)


@pytest.mark.parametrize("name", ["ab2", "leapfrog"])
def test_explicit_methods_refuse_mass_matrices(name):
    with pytest.raises(ArgumentError, match="bdf2"):
        methods.make(name, mass=np.diag([1.0, 0.0]))


def test_steps_have_to_be_given():
    with pytest.raises(ArgumentError, match="steps="):
        solve(cases.forced, 1.7, jnp.array([0.0, 1.0]), P, integrator="bdf2")
