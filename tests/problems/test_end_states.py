"""Trajectories: published end states, conserved quantities, the magnitudes behind the scales."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from problems import get_problem

RTOL = 1e-9
# A solve at RTOL is trusted to this many times it.
TRUST = 1e3

# IVP test set 2.4 (Mazzia & Magherini 2008), reference solutions at the end of each problem.
ROBER_END = (0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050)
POLLU_END = (
    *(0.5646255480022769e-1, 0.1342484130422339, 0.4139734331099427e-8, 0.5523140207484359e-2),
    *(0.2018977262302196e-6, 0.1464541863493966e-6, 0.7784249118997964e-1, 0.3245075353396018),
    *(0.7494013383880406e-2, 0.1622293157301561e-7, 0.1135863833257075e-7, 0.2230505975721359e-2),
    *(0.2087162882798630e-3, 0.1396921016840158e-4, 0.8964884856898295e-2, 0.4352846369330103e-17),
    *(0.6899219696263405e-2, 0.1007803037365946e-3, 0.1772146513969984e-5, 0.5682943292316392e-4),
)


def solve(name):
    """All accepted states, shape (K, n)."""
    problem = get_problem(name)
    solution = solve_ivp(
        lambda t, y: problem.f(t, y, problem.p),
        (problem.t0, problem.t1),
        problem.y0,
        method="Radau",
        rtol=RTOL,
        atol=1e-6 * RTOL * problem.y_scale,
        jac=lambda t, y: problem.jacobian(t, y, problem.p),
    )
    assert solution.success, solution.message
    return solution.y.T


@pytest.fixture(scope="module")
def trajectories():
    return {name: solve(name) for name in ("rober", "rober:scaled", "pollu")}


@pytest.mark.parametrize(("name", "end"), [("rober:t1=1e11", ROBER_END), ("pollu", POLLU_END)])
def test_end_state_is_the_published_one(name, end):
    np.testing.assert_allclose(solve(name)[-1], end, rtol=TRUST * RTOL)


@pytest.mark.parametrize("name", ["rober", "rober:scaled"])
def test_declared_invariants_are_conserved(name, trajectories):
    problem = get_problem(name)
    assert problem.invariants
    totals = trajectories[name] @ np.array(problem.invariants).T
    np.testing.assert_allclose(totals, np.broadcast_to(totals[0], totals.shape), rtol=1e-13)


def test_pollu_conserves_nitrogen_and_sulphur(trajectories):
    species = [name.split()[0] for name in get_problem("pollu").states]
    nitrogen = {"NO2": 1, "NO": 1, "PAN": 1, "HNO3": 1, "NO3": 1, "N2O5": 2}
    for atoms in (nitrogen, {"SO2": 1, "SO4": 1}):
        weights = np.array([atoms.get(name, 0) for name in species])
        totals = trajectories["pollu"] @ weights
        np.testing.assert_allclose(totals, totals[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["rober", "pollu"])
def test_scales_are_the_largest_values_to_two_digits(name, trajectories):
    largest = np.max(trajectories[name], axis=0)
    np.testing.assert_allclose(get_problem(name).y_scale, largest, rtol=0.03)
