"""Variants: each is the problem it says, and its gradient follows where the chain rule says so."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from problems import FitLoss, ProblemError, get_problem

COMPLEX_STEP = 1e-40


def solve(problem, rtol=1e-8):
    """States at the observation times, shape (N, n)."""
    solution = solve_ivp(
        lambda t, y: problem.f(t, y, problem.p),
        (problem.t0, problem.t1),
        problem.y0,
        method="Radau",
        t_eval=problem.times,
        rtol=rtol,
        atol=1e-6 * rtol * problem.y_scale,
        jac=lambda t, y: problem.jacobian(t, y, problem.p),
    )
    assert solution.success, solution.message
    return solution.y.T


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("rober:scaled", "rober"),
        ("rober:logp", "rober"),
        ("rober:scaled:logp", "rober"),
        ("pollu:scaled:logp", "pollu"),
        ("rober:t1=10:fit:scaled", "rober:t1=10:fit"),
        ("relaxation:1e2:off:scaled", "relaxation:1e2:off"),
    ],
)
def test_changed_variables_leave_solution_and_loss_alone(name, base):
    variant, problem = get_problem(name), get_problem(base)
    unit = problem.y_scale / variant.y_scale
    np.testing.assert_allclose(variant.y0 * unit, problem.y0, rtol=1e-15)
    expected, found = solve(problem), solve(variant) * unit
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9 * problem.y_scale.min())
    # one trajectory under both losses: what is left is rounding
    assert float(variant.loss.value(expected / unit, np)) == pytest.approx(
        float(problem.loss.value(expected, np)), rel=1e-12
    )
    assert variant.reference == base


def exact_gradient(problem):
    """L, dL/dp and dL/dy0 from the closed form by complex step."""

    def states(y0, p):
        return np.stack([problem.exact(t, y0, p) for t in problem.times])

    slope = problem.loss.gradient(states(problem.y0, problem.p))

    def along(dy0, dp):
        moved = states(problem.y0 + 1j * COMPLEX_STEP * dy0, problem.p + 1j * COMPLEX_STEP * dp)
        return np.sum(slope * moved.imag) / COMPLEX_STEP

    zero_y0, zero_p = np.zeros(problem.n), np.zeros(problem.m)
    by_p = np.array([along(zero_y0, step) for step in np.eye(problem.m)])
    return by_p, np.array([along(step, zero_p) for step in np.eye(problem.n)])


@pytest.mark.parametrize("base", ["linear:1e2", "relaxation:10:off", "linear:10:fit=least-squares"])
@pytest.mark.parametrize("change", ["scaled", "logp", "scaled:logp"])
def test_chain_rule_factors_on_closed_forms(base, change):
    variant = get_problem(f"{base}:{change}")
    by_p, by_y0 = exact_gradient(get_problem(base))
    variant_p, variant_y0 = exact_gradient(variant)
    np.testing.assert_allclose(variant_p, variant.reference_p * by_p, rtol=1e-12)
    np.testing.assert_allclose(variant_y0, variant.reference_y0 * by_y0, rtol=1e-12)


def test_chain_rule_factors_are_the_scales():
    problem, variant = get_problem("rober"), get_problem("rober:scaled:logp")
    np.testing.assert_array_equal(variant.reference_p, problem.p)
    np.testing.assert_array_equal(variant.reference_y0, problem.y_scale)
    np.testing.assert_array_equal(variant.p_scale, np.ones(3))


def test_scaled_is_nondimensional():
    variant = get_problem("pollu:scaled")
    assert (variant.t0, variant.t1) == (0.0, 1.0)
    # the observations miss the peaks of the transient species, by less than ten times
    largest = np.max(np.abs([variant.y0, *solve(variant, 1e-6)]), axis=0)
    assert np.all((largest > 0.1) & (largest < 1.1))


def test_final_keeps_the_last_observation():
    problem, variant = get_problem("rober"), get_problem("rober:final")
    np.testing.assert_array_equal(variant.times, problem.times[-1:])
    np.testing.assert_allclose(solve(variant)[-1], solve(problem)[-1], rtol=1e-6)


@pytest.mark.parametrize("name", ["rober", "pollu"])
def test_observations_spread_anew_in_the_problems_own_way(name):
    problem, variant = get_problem(name), get_problem(f"{name}:observations=5")
    assert variant.times.size == 5
    assert variant.t1 == problem.t1
    positions = np.log(variant.times) if problem.log_times else variant.times
    np.testing.assert_allclose(np.diff(positions), np.diff(positions)[0], rtol=1e-9)
    if problem.log_times:
        assert variant.times[0] == problem.times[0]
    else:
        assert variant.times[0] == pytest.approx(12.0)


def test_shorter_horizon_ends_there():
    variant = get_problem("rober:t1=10")
    assert variant.times.size == 50
    assert (variant.times[0], variant.t1) == (1e-5, 10.0)
    np.testing.assert_allclose(get_problem("pollu:t1=6").times, np.arange(1, 21) * 0.3)


def test_stiffness_multiplies_the_rates_behind_the_fast_modes():
    problem, variant = get_problem("pollu"), get_problem("pollu:stiffness=10")
    factor = variant.p / problem.p
    np.testing.assert_array_equal(np.flatnonzero(factor != 1), problem.stiff_parameters)
    np.testing.assert_allclose(factor[list(problem.stiff_parameters)], 10)
    np.testing.assert_array_equal(variant.p_scale, variant.p)


@pytest.mark.parametrize(
    ("kind", "token"), [("mae", "fit"), ("least-squares", "fit=least-squares")]
)
def test_fit_sees_every_state_and_is_no_zero_residual_problem(kind, token):
    problem, variant = get_problem("rober"), get_problem(f"rober:{token}")
    assert isinstance(variant.loss, FitLoss)
    assert variant.loss.kind == kind
    ys = solve(problem)
    gradient = variant.loss.gradient(ys)
    assert np.all(np.any(gradient != 0, axis=0))
    # data from rates moved by about a tenth: misfits of the order of a percent of each range
    misfit = (ys - np.array(variant.loss.data)) / np.array(variant.loss.scale)
    assert 1e-4 < np.mean(np.abs(misfit)) < 0.1


def test_fit_data_are_the_same_each_time():
    again = get_problem.__wrapped__("rober:t1=10:fit")
    assert again.loss == get_problem("rober:t1=10:fit").loss


def test_variants_share_a_program_only_where_the_equations_are_the_same():
    problem = get_problem("rober")
    assert get_problem("rober:stiffness=10").program == problem.program
    assert get_problem("rober:scaled").program != problem.program
    assert get_problem("rober:final").program != problem.program


@pytest.mark.parametrize(
    "name",
    [
        *("rober:t1=-1", "rober:t1=nan", "rober:t1=inf", "rober:t1=x", "rober:t1=1e-6"),
        *("rober:observations=1", "rober:observations=2.5", "rober:observations"),
        *("rober:stiffness=0", "rober:stiffness", "rober:final=1", "rober:scaled=2"),
        *("rober:logp=1", "rober:fit=huber", "linear:0", "linear:-1", "linear:inf", "linear:"),
        *("rober:final:observations=3", "rober:scaled:scaled", "rober:t1=1:t1=2"),
    ],
)
def test_impossible_values_are_refused(name):
    with pytest.raises(ProblemError, match=r"\S"):
        get_problem(name)


def test_arrays_cannot_be_changed():
    problem = get_problem("rober")
    with pytest.raises(ValueError, match="read-only"):
        problem.p[0] = 1.0
