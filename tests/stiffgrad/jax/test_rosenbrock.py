"""The Rosenbrock methods: order, stability, and the derivatives of one step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax.integrators import ROSENBROCK
from tests.stiffgrad.jax import methods

NAMES = tuple(ROSENBROCK)


@pytest.mark.parametrize("name", NAMES)
def test_order_on_a_nonlinear_driven_problem(name):
    solver = methods.make(name)
    order = methods.observed_order(solver, (40, 80))
    assert order == pytest.approx(solver.order, abs=0.25)


@pytest.mark.parametrize("name", NAMES)
def test_error_estimate_has_its_order(name):
    solver, y, p = methods.make(name), jnp.array([2.0, 0.0]), jnp.array([3.0])
    step = methods.compiled(solver, lambda h: solver.step(jnp.asarray(0.3), h, y, p).error)
    sizes = [np.linalg.norm(step(jnp.asarray(h))) for h in (2e-2, 1e-2)]
    assert np.log2(sizes[0] / sizes[1]) == pytest.approx(solver.tableau.error_order + 1, abs=0.3)


def stability(name):
    return methods.stability(methods.make(name, methods.linear, [1.0], [1.0]))


def from_tableau(tableau, z):
    """The stability function from the stage equations of y' = z y with h = 1."""
    s = tableau.stages
    left = np.eye(s) * (1 / tableau.gamma - z) - z * tableau.a - tableau.C
    return 1 + tableau.m @ np.linalg.solve(left, z * np.ones(s))


@pytest.mark.parametrize("name", NAMES)
def test_stability_function(name):
    one = stability(name)
    tableau = ROSENBROCK[name]
    for z in (-0.1, -1.0, -30.0, -1e3):
        assert one(z)[0] == pytest.approx(from_tableau(tableau, z), rel=1e-9, abs=1e-12)
    assert abs(one(-1e7)[0]) < 1e-5
    grid = -np.logspace(-2, 6, 60)
    assert max(abs(one(z)[0]) for z in grid) <= 1
    small = 1e-2
    gap = abs(float(one(small)[0]) - np.exp(small))
    assert gap < 10 * small ** (tableau.order + 1)


def test_rosenbrock23_has_the_stability_function_of_the_sdirk_of_its_gamma():
    # Every two-stage method with one gamma and order two has it.
    one = stability("rosenbrock23")
    for z in (-0.5, -8.0, -40.0):
        value, slope = one(z)
        g = ROSENBROCK["rosenbrock23"].gamma
        expected = (1 + (1 - 2 * g) * z) / (1 - g * z) ** 2
        assert value == pytest.approx(expected, rel=1e-12)
        expected = 4 * ((3 * np.sqrt(2) - 4) * z + 2) / (2 - (2 - np.sqrt(2)) * z) ** 3
        assert slope == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize(
    ("name", "engine"), [*((name, "scalar") for name in NAMES), ("rosenbrock23", "array")]
)
def test_the_derivatives_of_a_step(name, engine):
    methods.check_derivatives(methods.make(name, engine=engine), [(methods.Y, 2)], rtol=1e-11)


@pytest.mark.parametrize("engine", ["scalar", "array"])
def test_rolled_and_unrolled_stages_agree(engine, monkeypatch):
    out = jnp.array([0.8, -1.3])
    results = []
    for rolled in (False, True):
        solver = methods.make("rodas4", engine=engine)
        monkeypatch.setattr(type(solver.system), "rolled", lambda self, y, r=rolled: r)
        args = jnp.asarray(0.3), jnp.asarray(0.07), methods.Y, methods.P
        step, pulled = jax.jit(lambda a, s=solver: (s.step(*a), s.pullback(*a, out)))(args)
        results.append(np.concatenate([step.state, step.error, *pulled]))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12, atol=1e-14)
