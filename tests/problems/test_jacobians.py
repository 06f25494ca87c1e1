"""Jacobians given by hand or by network against differentiation of the right-hand side."""

from dataclasses import replace

import numpy as np
import pytest

from problems import MassAction, Reaction, get_problem

NAMES = (
    *("rober", "pollu", "linear:1e2", "relaxation:1e3"),
    *("rober:scaled", "rober:logp", "rober:scaled:logp", "pollu:scaled:logp"),
    *("pollu:stiffness=10", "relaxation:1e3:scaled:logp", "rober-dae", "rober-dae:scaled:logp"),
)


@pytest.mark.parametrize("name", NAMES)
def test_jacobians_are_the_derivatives_of_rhs(name):
    problem = get_problem(name)
    derived = replace(problem, given_jacobian=None, given_parameter_jacobian=None)
    generator = np.random.default_rng(1)
    for t in (problem.t0, problem.t1):
        y = problem.y_scale * generator.uniform(0.1, 1.0, problem.n)
        for given, right in (
            (problem.jacobian, derived.jacobian),
            (problem.parameter_jacobian, derived.parameter_jacobian),
        ):
            expected = right(t, y, problem.p)
            floor = 1e-14 * np.max(np.abs(expected), axis=0)
            gap = np.abs(given(t, y, problem.p) - expected)
            assert np.all(gap <= 1e-12 * np.abs(expected) + floor)


def test_complex_step_agrees_with_central_differences():
    problem = replace(get_problem("rober"), given_jacobian=None)
    y = np.array([0.5, 2e-5, 0.5])
    steps = 1e-6 * problem.y_scale
    differences = [
        (problem.f(0.0, y + step, problem.p) - problem.f(0.0, y - step, problem.p)) / (2 * h)
        for h, step in zip(steps, np.diag(steps), strict=True)
    ]
    np.testing.assert_allclose(
        problem.jacobian(0.0, y, problem.p), np.transpose(differences), rtol=1e-6, atol=1e-6
    )


def test_network_counts_molecules_with_multiplicity():
    """2 A -> B + 2 C at rate 3, by hand."""
    network = MassAction(("A", "B", "C"), (Reaction(3.0, {"A": 2}, {"B": 1, "C": 2}),))
    y, k = np.array([5.0, 0.0, 1.0]), np.array(network.rates)
    np.testing.assert_array_equal(network.stoichiometry, [[-2], [1], [2]])
    np.testing.assert_allclose(network.rhs(0.0, y, k, np), [-150, 75, 150])
    np.testing.assert_allclose(network.jacobian(0.0, y, k)[:, 0], [-60, 30, 60])
    np.testing.assert_allclose(network.parameter_jacobian(0.0, y, k)[:, 0], [-50, 25, 50])


def test_rober_rhs_is_the_textbook_one():
    """Hairer & Wanner 1996, eq. IV.1.4."""
    y1, y2, y3 = y = np.array([0.7, 3e-5, 0.3])
    loss, gain = 0.04 * y1 - 1e4 * y2 * y3, 3e7 * y2**2
    problem = get_problem("rober")
    np.testing.assert_allclose(problem.f(0.0, y, problem.p), [-loss, loss - gain, gain], rtol=1e-14)
