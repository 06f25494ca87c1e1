"""Problems with a mass matrix: ROBER as a DAE, its variants, and the algebra behind both."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from problems import ProblemError, consistent, get_problem, spectrum
from problems._mass import modes, ordinary, parts
from problems._variants import scaled
from suite import references
from suite._certify import MESH_RTOL
from suite._collocation import radau_iia
from suite._scaled import Scaled
from suite._sensitivities import integrate

DAE = get_problem("rober-dae")
COMPLEX_STEP = 1e-40
VARIANTS = ("t1=10", "stiffness=10", "observations=10", "final", "fit", "fit=least-squares")


def collocated(problem, mesh, y0, p):
    """States at the observations by order 9 Radau IIA on the DAE itself; takes complex y0, p."""
    nodes, a = radau_iia(5)
    s, n = len(nodes), problem.n
    mass = np.kron(np.eye(s), problem.mass)
    y, found, observed = y0, [], set(problem.times.tolist())
    for left, right in itertools.pairwise(mesh):
        h = right - left
        stages = np.tile(y, (s, 1))
        for _ in range(8):
            slopes = np.array(
                [problem.rhs(left + h * nodes[i], stages[i], p, np) for i in range(s)]
            )
            jacobians = [problem.jacobian(left, stage, p) for stage in stages]
            matrix = mass - h * np.block(
                [[a[i, j] * jacobians[j] for j in range(s)] for i in range(s)]
            )
            gap = mass @ (stages - y).ravel() - h * (a @ slopes).ravel()
            rows = 1 / np.max(np.abs(matrix), axis=1)
            change = np.linalg.solve(rows[:, None] * matrix, rows * gap)
            stages = stages - change.reshape(s, n)
        y = stages[-1]
        if right in observed:
            found.append(y)
    return np.array(found)


@pytest.fixture(scope="module")
def mesh():
    return integrate(Scaled(get_problem("rober")), 10 * MESH_RTOL)[0].tolist()


def test_the_gradient_of_the_dae_is_what_follows_from_rober(mesh):
    """Complex steps through collocation on the DAE: no ODE, sensitivity or solver of ours in it."""
    reference = references.load(DAE)

    def slope(dy0, dp):
        y0, p = DAE.y0 + 1j * COMPLEX_STEP * dy0, DAE.p + 1j * COMPLEX_STEP * dp
        ys = collocated(DAE, mesh, y0, p)
        gradient = DAE.loss.gradient(ys.real)
        return np.sum(gradient * ys.imag) / COMPLEX_STEP, float(DAE.loss.value(ys.real, np))

    none = np.zeros(3)
    for j, (dp, expected) in enumerate(zip(np.eye(3), reference.gradient_p, strict=True)):
        found, loss = slope(none, dp * DAE.p)
        assert found == pytest.approx(expected * DAE.p[j], rel=1e-7)
        assert loss == pytest.approx(reference.loss, rel=1e-8)
    for j in range(3):
        # y3 is whatever the constraint makes of it, so its own start has no say
        slaved = np.eye(3)[j] if j == 2 else np.eye(3)[j] - np.eye(3)[2]
        found, _ = slope(slaved, none)
        assert found == pytest.approx(reference.gradient_y0[j], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("token", VARIANTS)
def test_variants_follow_the_same_variant_of_rober(token):
    dae, ode = get_problem(f"rober-dae:{token}"), get_problem(f"rober:{token}")
    assert dae.reference == ode.name
    assert dae.loss == ode.loss
    np.testing.assert_array_equal(dae.mass, DAE.mass)
    np.testing.assert_array_equal(dae.p, ode.p)
    np.testing.assert_array_equal(dae.times, ode.times)
    found, of_ode = references.load(dae), references.load(ode)
    g = of_ode.gradient_y0
    np.testing.assert_array_equal(found.gradient_p, of_ode.gradient_p)
    np.testing.assert_allclose(found.gradient_y0, [g[0] - g[2], g[1] - g[2], 0.0], rtol=1e-11)


def test_digits_lost_to_cancellation_are_not_claimed():
    found, of_ode = references.load(DAE), references.load(get_problem("rober"))
    assert found.digits_y0[1] < of_ode.digits_y0[1] - 2


def test_a_change_of_variables_carries_the_mass_matrix_and_the_reference():
    mass = np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 0.5], [0.0, 0.0, 0.0]])
    problem = replace(DAE, name="made", mass=mass)
    variant = scaled(problem, None)
    unit, span = problem.y_scale, problem.t1
    y, slope = np.array([0.3, 1e-5, 0.7]), np.array([0.1, -2e-6, 0.4])
    expected = mass @ slope - problem.f(0.0, y, problem.p)
    found = variant.mass @ (slope * span / unit) - variant.f(0.0, y / unit, problem.p)
    np.testing.assert_allclose(found, expected * span / unit, rtol=1e-12)
    both = references.load(get_problem("rober-dae:scaled:logp"))
    plain = references.load(DAE)
    np.testing.assert_allclose(both.gradient_y0, plain.gradient_y0 * unit, rtol=1e-11)
    np.testing.assert_allclose(both.gradient_p, plain.gradient_p * DAE.p, rtol=1e-14)


def test_no_reference_is_made_up_for_a_mass_matrix(tmp_path):
    alone = replace(DAE, name="alone", reference="alone", reference_y0=np.ones(1))
    with pytest.raises(references.CertificationError, match="mass matrix"):
        references.certify(alone)
    with pytest.raises(references.MissingReference):
        references.load(alone, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mass": np.eye(2)}, "mass has shape"),
        ({"mass": np.ones(3)}, "mass has shape"),
        ({"mass": np.diag([1.0, np.nan, 0.0])}, "finite"),
        ({"reference_y0": np.ones((3, 2))}, "reference_y0 has shape"),
        ({"reference_p": np.ones((3, 3))}, "reference_p has shape"),
    ],
)
def test_wrong_shapes_are_refused(changes, message):
    with pytest.raises(ProblemError, match=message):
        replace(DAE, **changes)


def test_another_mass_matrix_is_another_program():
    assert replace(DAE, mass=np.eye(3)).program != DAE.program
    assert get_problem("rober-dae:stiffness=10").program == DAE.program


def test_a_state_is_made_consistent_in_the_null_space_alone():
    moved = consistent(DAE, np.array([0.9, 1e-5, 0.5]), DAE.p)
    np.testing.assert_allclose(moved, [0.9, 1e-5, 0.09999], rtol=1e-15)
    ode = get_problem("rober")
    assert consistent(ode, ode.y0, ode.p) is ode.y0


def nonlinear(t, y, p, xp):
    """u' + 2 v' = -u + w t,  0 = w^3 + w - u,  with M of rank 2 that is not diagonal."""
    return xp.stack([-y[0] + y[2] * t, p[0] * y[0] - y[1], y[2] ** 3 + y[2] - y[0]])


NONLINEAR = replace(
    DAE,
    name="nonlinear",
    reference="nonlinear",
    reference_y0=np.ones(1),
    rhs=nonlinear,
    given_jacobian=None,
    given_parameter_jacobian=None,
    y0=np.array([2.0, 0.5, 0.7]),
    mass=np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 0.0], [0.0, 0.0, 0.0]]),
    y_scale=np.ones(3),
    p=np.array([1.5, 1.0, 1.0]),
)


def test_nonlinear_algebraic_equations_are_solved_to_rounding():
    y = consistent(NONLINEAR, NONLINEAR.y0, NONLINEAR.p)
    np.testing.assert_allclose(y, [2.0, 0.5, 1.0], rtol=1e-15)


def test_the_underlying_equation_keeps_equations_and_constraint():
    slope, _ = ordinary(NONLINEAR, NONLINEAR.p)
    t, y = 0.7, np.array([2.0, 0.5, 1.0])
    found = slope(t, y)
    left = NONLINEAR.mass @ found
    right = NONLINEAR.f(t, y, NONLINEAR.p)
    np.testing.assert_allclose(left[:2], right[:2], rtol=1e-13)
    # the constraint differentiated by hand: (3 w^2 + 1) w' = u'
    assert 4 * found[2] == pytest.approx(found[0], rel=1e-13)


def test_modes_are_those_of_the_slaved_system():
    y = np.array([2.0, 0.5, 1.0])
    # w' = u' / 4 along the constraint, at t = 0.7
    reduced = np.array([[-1 + 0.7 / 4, 0.0], [NONLINEAR.p[0], -1.0]])
    expected = np.linalg.eigvals(np.linalg.solve(NONLINEAR.mass[:2, :2], reduced))
    np.testing.assert_allclose(
        np.sort_complex(modes(NONLINEAR, 0.7, y)), np.sort_complex(expected), rtol=1e-12
    )


def test_the_spectrum_of_the_dae_is_robers_without_one_zero():
    found, of_ode = spectrum(DAE), spectrum(get_problem("rober"))
    np.testing.assert_allclose(found.fastest, of_ode.fastest, rtol=1e-6)
    np.testing.assert_array_equal(found.conserved, [1] + [0] * 50)


def test_a_higher_index_is_refused():
    """y2 does not occur in the equation that should determine it."""

    def pendulous(t, y, p, xp):
        return xp.stack([y[2], y[1], y[0] - 1.0])

    problem = replace(NONLINEAR, rhs=pendulous, mass=np.diag([1.0, 1.0, 0.0]))
    with pytest.raises(ProblemError, match="index 1"):
        consistent(problem, problem.y0, problem.p)


def test_the_rank_is_that_of_the_matrix():
    split = parts(np.diag([1e-6, 0.0, 2.0]))
    np.testing.assert_allclose(split.weights, [2.0, 1e-6])
    np.testing.assert_allclose(np.abs(split.free), [[0, 1, 0]], atol=1e-15)
    assert parts(np.zeros((2, 2))).rows.shape == (0, 2)
