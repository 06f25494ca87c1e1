"""The equilibrium problem stands still to the last bit, and its closed form solves it."""

import numpy as np
import pytest

from problems import ProblemError, get_problem

RATES = ("0.3", "5", "20", "1e4")


@pytest.mark.parametrize("rate", RATES)
def test_the_slope_at_the_start_is_exactly_zero(rate):
    problem = get_problem(f"equilibrium:{rate}")
    assert problem.f(0.0, problem.y0, problem.p).tolist() == [0.0]
    assert problem.exact(0.7, problem.y0, problem.p).tolist() == [1.0]


@pytest.mark.parametrize("name", ["equilibrium:5:off", "equilibrium:0.3:off"])
def test_the_closed_form_solves_the_equation(name):
    problem = get_problem(name)
    t, step = 0.4, 1e-30
    slope = np.imag(problem.exact(t + 1j * step, problem.y0, problem.p)) / step
    expected = problem.f(t, problem.exact(t, problem.y0, problem.p), problem.p)
    np.testing.assert_allclose(slope, expected, rtol=1e-13)
    assert problem.exact(0.0, problem.y0, problem.p).tolist() == [2.0]


@pytest.mark.parametrize("rate", [5.0, 20.0])
def test_the_sensitivity_does_not_stand_still(rate):
    problem = get_problem(f"equilibrium:{rate:g}")
    step = 1e-40
    p = problem.p + 1j * step * np.array([0.0, problem.p[1]])
    slope = np.imag(problem.exact(1.0, problem.y0, p))[0] / step
    assert slope == pytest.approx(1 - np.exp(-rate), rel=1e-12)


def test_the_rate_is_twenty_unless_given_and_must_be_positive():
    assert get_problem("equilibrium").name == "equilibrium:20"
    assert get_problem("equilibrium:2e1").name == "equilibrium:20"
    with pytest.raises(ProblemError, match="positive"):
        get_problem("equilibrium:-1")
