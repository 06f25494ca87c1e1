"""The Rosenbrock methods: order, stability, and the adjoint of one step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax._array_system import ArraySystem
from stiffgrad.jax._flatten import Traced
from stiffgrad.jax._rosenbrock import Rosenbrock
from stiffgrad.jax._scalar_system import ScalarSystem
from stiffgrad.jax.integrators import ROSENBROCK
from tests.stiffgrad.jax.cases import van_der_pol

NAMES = tuple(ROSENBROCK)
SYSTEMS = {"scalar": ScalarSystem, "array": ArraySystem}


def method(name, rhs, y, p, engine="scalar"):
    closed = jax.make_jaxpr(rhs)(0.0, jnp.asarray(y), jnp.asarray(p))
    return Rosenbrock(ROSENBROCK[name], SYSTEMS[engine](Traced(closed)))


def driven(t, y, p):
    """Van der Pol's oscillator with an explicit time in it, to order every coefficient."""
    return van_der_pol(t, y, p[0]) + jnp.stack([jnp.sin(3 * t), t**2 * y[0]])


def fixed_steps(solver, count, end, y, p):
    h = end / count

    def body(i, y):
        return solver.step(i * h, jnp.asarray(h), y, p).state

    return jax.jit(lambda y: jax.lax.fori_loop(0, count, body, y))(jnp.asarray(y))


@pytest.mark.parametrize("name", NAMES)
def test_order_on_a_nonlinear_driven_problem(name):
    y, p, end = np.array([2.0, 0.0]), np.array([3.0]), 0.5
    exact = fixed_steps(method("rodas5p", driven, y, p), 1600, end, y, p)
    solver = method(name, driven, y, p)
    errors = [np.linalg.norm(fixed_steps(solver, n, end, y, p) - exact) for n in (40, 80)]
    order = np.log2(errors[0] / errors[1])
    assert order == pytest.approx(solver.order, abs=0.25)


@pytest.mark.parametrize("name", NAMES)
def test_error_estimate_has_its_order(name):
    y, p = np.array([2.0, 0.0]), np.array([3.0])
    solver = method(name, driven, y, p)
    step = jax.jit(lambda h: solver.step(jnp.asarray(0.3), h, jnp.asarray(y), p).error)
    sizes = [np.linalg.norm(step(h)) for h in (2e-2, 1e-2)]
    assert np.log2(sizes[0] / sizes[1]) == pytest.approx(solver.tableau.error_order + 1, abs=0.3)


def linear(t, y, p):
    return p[0] * y


def stability(name):
    solver = method(name, linear, [1.0], [1.0])

    def one(z):
        return solver.step(jnp.zeros(()), jnp.ones(()), jnp.ones(1), z[None]).state[0]

    return jax.jit(one), jax.jit(jax.grad(one))


def from_tableau(tableau, z):
    """The stability function from the stage equations of y' = z y with h = 1."""
    s = tableau.stages
    left = np.eye(s) * (1 / tableau.gamma - z) - z * tableau.a - tableau.C
    return 1 + tableau.m @ np.linalg.solve(left, z * np.ones(s))


@pytest.mark.parametrize("name", NAMES)
def test_stability_function(name):
    value, _ = stability(name)
    tableau = ROSENBROCK[name]
    for z in (-0.1, -1.0, -30.0, -1e3):
        assert value(z) == pytest.approx(from_tableau(tableau, z), rel=1e-9, abs=1e-12)
    assert abs(value(-1e7)) < 1e-5
    grid = -np.logspace(-2, 6, 60)
    assert max(abs(value(z)) for z in grid) <= 1
    small = 1e-2
    gap = abs(float(value(small)) - np.exp(small))
    assert gap < 10 * small ** (tableau.order + 1)


def test_rosenbrock23_has_the_stability_function_of_the_sdirk_of_its_gamma():
    # Every two-stage method with one gamma and order two has it.
    value, slope = stability("rosenbrock23")
    for z in (-0.5, -8.0, -40.0):
        g = ROSENBROCK["rosenbrock23"].gamma
        expected = (1 + (1 - 2 * g) * z) / (1 - g * z) ** 2
        assert value(z) == pytest.approx(expected, rel=1e-12)
        expected = 4 * ((3 * np.sqrt(2) - 4) * z + 2) / (2 - (2 - np.sqrt(2)) * z) ** 3
        assert slope(z) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize(
    ("name", "engine"), [*((name, "scalar") for name in NAMES), ("rosenbrock23", "array")]
)
def test_the_adjoint_of_a_step_is_its_derivative(name, engine):
    y, p = jnp.array([1.5, -0.4]), jnp.array([5.0])
    solver = method(name, driven, y, p, engine)
    t, h, out = jnp.asarray(0.3), jnp.asarray(0.07), jnp.array([0.8, -1.3])
    found = jax.jit(lambda y, p: solver.pullback(t, h, y, p, out))(y, p)
    step = jax.jit(lambda y, p: solver.step(t, h, y, p).state)
    through_step = jax.jit(lambda y, p: jax.vjp(step, y, p)[1](out))(y, p)
    for a, b in zip(found, through_step, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    eps = 1e-6
    moved = [out @ step(y, p + d) for d in (eps, -eps)]
    assert (moved[0] - moved[1]) / (2 * eps) == pytest.approx(float(found[1][0]), rel=1e-7)


@pytest.mark.parametrize("engine", SYSTEMS)
def test_rolled_and_unrolled_stages_agree(engine, monkeypatch):
    y, p = jnp.array([1.5, -0.4]), jnp.array([5.0])
    out = jnp.array([0.8, -1.3])
    results = []
    for rolled in (False, True):
        solver = method("rodas4", driven, y, p, engine)
        monkeypatch.setattr(type(solver.system), "rolled", lambda self, y, r=rolled: r)
        args = jnp.asarray(0.3), jnp.asarray(0.07), y, p
        step, pulled = jax.jit(lambda a, s=solver: (s.step(*a), s.pullback(*a, out)))(args)
        results.append(np.concatenate([step.state, step.error, *pulled]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12, atol=1e-14)
