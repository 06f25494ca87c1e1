"""The measures themselves, on gradients whose error is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems import get_problem
from suite import metrics
from suite.statuses import STATUSES, judge

ROBER = get_problem("rober")
TRUE_P = np.array([-91.9127227, -5.26308296e-8, 3.15797532e-4])
TRUE_Y0 = np.array([38.2333681, 11.2998233, 11.3016736])
SURE = np.full(3, 12.0)


def error(p, y0, digits_p=SURE):
    return metrics.gradient_error(ROBER, p, y0, TRUE_P, TRUE_Y0, digits_p, SURE)


def test_the_exact_gradient_has_no_error():
    found = error(TRUE_P, TRUE_Y0)
    assert (found.total, found.worst) == (0.0, 0.0)


@given(st.integers(0, 2), st.floats(1e-9, 1e3))
def test_an_error_in_any_rate_counts_by_its_log_derivative(component, relative):
    wrong = TRUE_P.copy()
    wrong[component] *= 1 + relative
    scaled = TRUE_P * ROBER.p
    expected = relative * abs(scaled[component]) / np.linalg.norm(scaled)
    found = error(wrong, TRUE_Y0)
    assert found.p == pytest.approx(expected, rel=1e-6)
    assert found.worst == pytest.approx(relative, rel=1e-6)
    assert (found.total, found.y0) == (found.p, 0.0)


def test_an_error_in_initial_states_cannot_hide_behind_the_rates():
    assert error(TRUE_P, TRUE_Y0 * 1.5).total == pytest.approx(0.5)


def test_uncertified_components_are_left_out_of_the_worst():
    wrong = TRUE_P * np.array([1.0, 2.0, 1.0])
    assert error(wrong, TRUE_Y0, np.array([12.0, 1.0, 12.0])).worst == 0.0


def test_a_vanished_gradient_is_compared_absolutely():
    problem = get_problem("linear:1e4:final")
    zero, sure = np.zeros(1), np.full(1, 15.0)
    tiny = metrics.gradient_error(problem, np.full(1, 1e-20), zero, zero, zero, sure, sure)
    huge = metrics.gradient_error(problem, np.full(1, 1.2e8), zero, zero, zero, sure, sure)
    assert tiny.total < 1e-6 < 1e6 < huge.total


@given(st.floats(1e-9, 1e-4))
def test_the_floor_of_a_noisy_difference_covers_its_error(noise):
    problem = get_problem("linear:1e2")
    generator = np.random.default_rng(1)

    def loss(y0, p):
        value = sum(problem.exact(t, y0, p)[0] for t in problem.times)
        return value * (1 + noise * generator.standard_normal())

    decay = np.exp(-100 * problem.times)
    p, y0 = np.array([-(problem.times * decay).sum()]), np.array([decay.sum()])
    found = metrics.finite_differences(problem, loss, 1e-6)
    gap, floor = metrics.difference_error(problem, p, y0, found)
    assert gap < 10 * floor


def test_reversibility_is_relative_to_the_initial_state():
    assert metrics.reversibility_error(ROBER, np.array([1.0, 0.0, 0.72])) == pytest.approx(0.72)


@pytest.mark.parametrize(
    ("size", "warned", "status"),
    [
        (9e-5, None, "ok"),
        (1.1e-4, None, "inaccurate"),
        (0.11, None, "silently-wrong"),
        (0.11, "careful", "inaccurate"),
        (1e20, None, "silently-wrong"),
    ],
)
def test_judgement(size, warned, status):
    assert judge(size, 1e-6, warned)[0] == status
    assert status in STATUSES
