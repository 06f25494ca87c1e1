"""The collocation behind the references: its coefficients, its order, its sensitivities."""

from dataclasses import replace

import numpy as np
import pytest

from problems import get_problem
from suite._certify import closed_form
from suite._collocation import STAGES, collocate, halved, radau_iia
from suite._scaled import CertificationError, Scaled


def test_three_stages_are_the_published_radau5():
    """Hairer & Wanner 1996, table IV.5.6."""
    c, a = radau_iia(3)
    root = np.sqrt(6)
    np.testing.assert_allclose(c, [(4 - root) / 10, (4 + root) / 10, 1], rtol=1e-15)
    np.testing.assert_allclose(a[0, 0], (88 - 7 * root) / 360, rtol=1e-14)
    np.testing.assert_allclose(a[2], [(16 - root) / 36, (16 + root) / 36, 1 / 9], rtol=1e-14)


@pytest.mark.parametrize("stages", [3, STAGES])
def test_order_conditions_hold_to_rounding(stages):
    """B(2s - 1) and C(s), the simplifying assumptions that give order 2s - 1."""
    c, a = radau_iia(stages)
    for k in range(1, 2 * stages):
        assert a[-1] @ c ** (k - 1) == pytest.approx(1 / k, rel=1e-14)
    for k in range(1, stages + 1):
        np.testing.assert_allclose(a @ c ** (k - 1), c**k / k, rtol=1e-14, atol=1e-16)


def test_order_is_thirteen_for_the_gradient_too():
    problem = replace(get_problem("linear:10:final"), loss=get_problem("linear").loss)
    true = closed_form(problem)
    errors = []
    for intervals in (2, 4):
        found = collocate(Scaled(problem), np.linspace(0, 1, intervals + 1))
        errors.append(abs(found.gradient_p[0] / true.gradient_p[0] - 1))
    assert 12 < np.log2(errors[0] / errors[1]) < 14


def test_sensitivities_are_exact_for_the_discrete_map():
    """Central differences of the collocation solution itself, on a mesh far too coarse."""
    problem = get_problem("rober:t1=1:observations=4")
    mesh = np.unique([0.0, *problem.times])
    found = collocate(Scaled(problem), mesh)

    def loss(p, y0):
        moved = replace(problem, p=p, y0=y0)
        return collocate(Scaled(moved), mesh).loss

    for j, unit in enumerate(1e-4 * problem.p * np.eye(3)):
        slope = (loss(problem.p + unit, problem.y0) - loss(problem.p - unit, problem.y0)) / 2
        assert slope == pytest.approx(found.gradient_p[j] * unit[j], rel=1e-6)
    for i, unit in enumerate(1e-4 * problem.y_scale * np.eye(3)):
        slope = (loss(problem.p, problem.y0 + unit) - loss(problem.p, problem.y0 - unit)) / 2
        assert slope == pytest.approx(found.gradient_y0[i] * unit[i], rel=1e-6)


def test_halved_mesh_keeps_every_point():
    mesh = np.array([0.0, 1.0, 4.0])
    np.testing.assert_array_equal(halved(mesh), [0.0, 0.5, 1.0, 2.5, 4.0])


def test_no_solution_is_no_answer():
    """y' = y^2 from 1 leaves every bound at t = 1."""
    problem = replace(
        get_problem("linear:1"), rhs=lambda t, y, p, xp: p[0] * y * y, exact=None, name="blow-up"
    )
    late = replace(problem, times=np.array([2.0]))
    with pytest.raises(CertificationError, match="blow-up"):
        collocate(Scaled(late), np.array([0.0, 2.0]))
