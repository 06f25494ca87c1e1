"""The SciPy adapter: right gradients, documented failures, nothing silent."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from adapters import Gradient, SolverFailure, available, get_method, load, scipy
from adapters._scipy_adjoint import _reversed
from adapters._scipy_forward import _banded, _rhs, _sparse
from adapters._scipy_quadrature import integrate
from adapters._scipy_scales import curvature, parameter_scale
from problems import LinearLoss, Problem, get_problem

INTEGRATORS = scipy.INTEGRATORS
TRUSTED = ("finite-difference", "forward", "interpolating", "quadrature")
CONTINUOUS = TRUSTED[1:]
# Gradient errors as multiples of the tolerance. The multistep adjoints come close on ROBER (30),
# where the integral of mu cancels to a thousandth; Radau's adjoint on the relaxation (0.6).
MULTIPLE = {"bdf": 60, "radau": 2, "lsoda": 60}
# ROBER by two independent methods that agree to 4e-13: Radau IIA collocation of order 13 with exact
# discrete sensitivities, and Radau at 1e-12 on the sensitivity equations. Digits as kept there.
ROBER = Gradient(
    36.654317639453794,
    np.array([-91.9127227, -5.26308296e-8, 3.15797532e-4]),
    np.array([38.2333681, 11.2998233, 11.3016736]),
)


def solver(problem: Problem, integrator: str, strategy: str):
    return load(problem, get_method(f"scipy/{integrator}/{strategy}"))


def gradient(name: str, integrator: str, strategy: str, rtol: float) -> Gradient:
    problem = get_problem(name)
    atol = problem.default_atol(rtol)
    return solver(problem, integrator, strategy).gradient(problem.y0, problem.p, rtol, atol)()


def errors(problem: Problem, found: Gradient, true: Gradient) -> tuple[float, float]:
    """Relative errors in log p and in y0 over y_scale."""

    def relative(scale, a, b):
        return float(np.linalg.norm(scale * (a - b)) / np.linalg.norm(scale * b))

    return relative(problem.p, found.p, true.p), relative(problem.y_scale, found.y0, true.y0)


def closed_form(problem: Problem) -> Gradient:
    def loss(p, y0):
        ys = np.array([problem.exact(t, y0, p) for t in problem.times])
        return problem.loss.value(ys, np)

    step = 1e-40j
    return Gradient(
        float(np.real(loss(problem.p + 0j, problem.y0 + 0j))),
        np.array([np.imag(loss(problem.p + step, problem.y0 + 0j)) / 1e-40]),
        np.array([np.imag(loss(problem.p + 0j, problem.y0 + step)) / 1e-40]),
    )


def promised(integrator: str, strategy: str, rtol: float) -> float:
    # a central difference of a solve with noise of order rtol does no better than rtol^(2/3)
    return 5 * rtol ** (2 / 3) if strategy == "finite-difference" else MULTIPLE[integrator] * rtol


def blow_up(rhs) -> Problem:
    return Problem(
        name="blow-up",
        title="",
        citation="",
        states=("y",),
        parameters=("p",),
        rhs=rhs,
        y0=np.array([1.0]),
        p=np.array([1.0]),
        t0=0.0,
        times=np.array([0.5, 2.0]),
        log_times=False,
        loss=LinearLoss((1.0,)),
        y_scale=np.ones(1),
        p_scale=np.ones(1),
        atol_factor=1e-3,
    )


def test_fifteen_methods_are_declared_and_installed():
    strategies = (*TRUSTED, "backsolve")
    names = {f"scipy/{i}/{s}" for i in INTEGRATORS for s in strategies}
    assert {method.name for method in scipy.METHODS} == names
    assert all(available(method) == (True, "installed") for method in scipy.METHODS)


def test_declaring_imports_neither_scipy_nor_numdifftools():
    code = "import sys, adapters.scipy; sys.exit('scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["linear:1e2", "relaxation:1e2:off"])
@pytest.mark.parametrize("strategy", TRUSTED)
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_gradients_match_closed_forms(name, integrator, strategy):
    problem = get_problem(name)
    found, true = gradient(name, integrator, strategy, 1e-6), closed_form(problem)
    assert abs(found.loss - true.loss) < MULTIPLE[integrator] * 1e-6 * problem.loss_scale
    # the parameter's part is a thousandth of the loss: errors count against the loss's size
    bound = promised(integrator, strategy, 1e-6) * problem.loss_scale
    assert abs(problem.p * (found.p - true.p)) < bound
    assert abs(problem.y_scale * (found.y0 - true.y0)) < bound


@pytest.mark.parametrize("strategy", TRUSTED)
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_rober_is_right_and_improves_with_the_tolerance(integrator, strategy):
    problem = get_problem("rober")
    pairs = []
    for rtol in (1e-4, 1e-6):
        found = gradient("rober", integrator, strategy, rtol)
        pairs.append(errors(problem, found, ROBER))
        assert abs(found.loss / ROBER.loss - 1) < rtol
        assert max(pairs[-1]) < promised(integrator, strategy, rtol)
    if strategy in CONTINUOUS:  # a difference's noise falls at random
        assert max(pairs[1]) < max(pairs[0]) / 10


def test_pollu_agrees_between_adjoint_and_forward_sensitivities():
    problem = get_problem("pollu")
    true = gradient("pollu", "lsoda", "forward", 1e-9)
    for strategy in ("interpolating", "quadrature"):
        found = gradient("pollu", "lsoda", strategy, 1e-6)
        assert max(errors(problem, found, true)) < 10e-6
        # some parameters have gradients fifteen decades below the largest
        np.testing.assert_allclose(found.p, true.p, rtol=1e-3)


def test_states_that_enter_the_loss_nonlinearly():
    problem = get_problem("rober:t1=1e2:observations=4:fit=least-squares")
    p = 1.5 * problem.p  # away from the data

    def at(integrator, strategy, rtol):
        answering = solver(problem, integrator, strategy)
        return answering.gradient(problem.y0, p, rtol, problem.default_atol(rtol))()

    true = at("lsoda", "finite-difference", 1e-8)
    for strategy in CONTINUOUS:
        assert max(errors(problem, at("radau", strategy, 1e-6), true)) < 1e-3


def test_log_parameters_follow_the_chain_rule():
    found = gradient("rober:logp", "lsoda", "quadrature", 1e-6)
    np.testing.assert_allclose(found.p, get_problem("rober").p * ROBER.p, rtol=1e-4)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_backsolve_is_right_where_the_problem_can_be_reversed(integrator):
    found = gradient("linear:1", integrator, "backsolve", 1e-6)
    true = closed_form(get_problem("linear:1"))
    np.testing.assert_allclose(
        [found.p, found.y0], [true.p, true.y0], rtol=MULTIPLE[integrator] * 1e-6
    )
    short = "rober:t1=1e-3:observations=4"
    found, true = (gradient(short, integrator, s, 1e-8) for s in ("backsolve", "forward"))
    assert max(errors(get_problem(short), found, true)) < 1e-4


@pytest.mark.parametrize(
    ("name", "integrator", "rtol"),
    [
        ("rober", "bdf", 1e-4),
        ("rober", "radau", 1e-4),
        ("rober", "lsoda", 1e-4),
        ("pollu", "bdf", 1e-4),
        ("pollu", "radau", 1e-6),
        ("pollu", "lsoda", 1e-4),
    ],
)
def test_backsolve_fails_loudly_on_stiff_problems(name, integrator, rtol):
    with pytest.raises(SolverFailure, match="backward from t ="):
        gradient(name, integrator, "backsolve", rtol)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_states_are_returned_at_the_observation_times(integrator):
    problem = get_problem("relaxation:1e4:off")
    solution = solver(problem, integrator, "forward").forward(problem.y0, problem.p, 1e-6, 1e-9)()
    true = [problem.exact(t, problem.y0, problem.p) for t in problem.times]
    np.testing.assert_allclose(solution.ys, true, atol=MULTIPLE[integrator] * 1e-6)


def reversal_error(integrator):
    """Relative error of y0 after ROBER forward and back at rtol = atol = 1e-8."""
    problem = get_problem("rober")
    answering = solver(problem, integrator, "backsolve")
    end = answering.forward(problem.y0, problem.p, 1e-8, 1e-8)().ys[-1]
    found = answering.reverse(end, problem.p, 1e-8, 1e-8)().ys
    return np.linalg.norm(found - problem.y0) / np.linalg.norm(problem.y0)


def test_reversibility_of_rober():
    assert 0.03 < reversal_error("bdf") < 0.15
    assert reversal_error("radau") < 0.01


def test_lsoda_does_not_reverse_rober():
    """It reports success with nonsense or gets stuck, as rounding has it."""
    try:
        assert reversal_error("lsoda") > 1
    except SolverFailure as error:
        assert "too short to move t" in str(error)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize(
    "rhs",
    [
        lambda t, y, p, xp: p[0] * y * y,  # infinite at t = 1
        lambda t, y, p, xp: -p[0] * y if t < 1 else np.nan * y,
    ],
)
def test_a_solve_without_end_is_a_failure_with_a_reason(integrator, rhs):
    problem = blow_up(rhs)
    call = solver(problem, integrator, "interpolating").gradient(problem.y0, problem.p, 1e-6, 1e-9)
    raw = call.run()
    with pytest.raises(SolverFailure, match="forward"):
        call.read(raw)


def test_the_reason_that_lsoda_only_warns_of_is_kept():
    problem = get_problem("pollu")
    call = solver(problem, "lsoda", "forward").forward(problem.y0, problem.p, 1e-8, 1e-8)
    with pytest.raises(SolverFailure, match="Repeated convergence failures"):
        call()


def test_mistakes_in_a_problem_are_not_taken_for_solver_failures():
    problem = blow_up(lambda t, y, p, xp: y[3])
    with pytest.raises(IndexError):
        solver(problem, "bdf", "forward").forward(problem.y0, problem.p, 1e-6, 1e-9)()


@pytest.mark.parametrize("strategy", TRUSTED)
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_counters_count_the_whole_gradient(integrator, strategy):
    problem = get_problem("rober:observations=5")
    answering = solver(problem, integrator, strategy)
    forward = answering.forward(problem.y0, problem.p, 1e-4, 1e-9)().counters
    counters = answering.gradient(problem.y0, problem.p, 1e-4, 1e-9)().counters
    assert counters.steps_rejected is None
    for name in ("steps", "rhs_evaluations", "jacobian_evaluations", "factorisations"):
        assert getattr(counters, name) > 0
        assert getattr(forward, name) > 0
    assert counters.rhs_evaluations > forward.rhs_evaluations > forward.steps


@pytest.mark.parametrize("strategy", TRUSTED)
def test_one_solver_serves_every_problem_of_its_program(strategy):
    """Neither p nor its scale nor the tolerances are baked in, and nothing is left of a call."""
    problem = get_problem("linear:1e3")
    shared, own = (solver(get_problem(n), "radau", strategy) for n in ("linear:1", "linear:1e3"))
    for rtol in (1e-3, 1e-6, 1e-3):
        a, b = (s.gradient(problem.y0, problem.p, rtol, 1e-9)() for s in (shared, own))
        assert a.loss == b.loss
        assert a.p == b.p
        assert a.y0 == b.y0


def test_parameter_scale_follows_parameters_that_are_their_own_scale():
    problem = get_problem("rober")
    np.testing.assert_array_equal(parameter_scale(problem, 2 * problem.p), 2 * problem.p_scale)
    logarithmic = get_problem("rober:logp")
    np.testing.assert_array_equal(parameter_scale(logarithmic, 2 * logarithmic.p), np.ones(3))
    np.testing.assert_array_equal(parameter_scale(problem, np.zeros(3)), problem.p_scale)


def difference(rhs, z, scale):
    """Central differences, exact but for rounding where rhs is a polynomial of degree two."""
    columns = [(rhs(z + h) - rhs(z - h)) / (2 * np.max(h)) for h in np.diag(1e-2 * scale)]
    return np.stack(columns, axis=1)


def some_state(problem: Problem):
    return problem.y_scale * np.random.default_rng(1).uniform(0.5, 1.0, problem.n)


def test_newton_matrix_of_the_forward_system():
    problem = get_problem("rober")
    rows = np.random.default_rng(2).uniform(0.5, 1.0, (1 + 3 + 3, 3))
    rows[0] = some_state(problem)
    z = rows.ravel()
    scale = np.concatenate([problem.y_scale, np.ones(z.size - 3)])
    true = difference(lambda z: _rhs(problem, 0.0, z.reshape(-1, 3), problem.p).ravel(), z, scale)
    full = _sparse(problem, problem.p)(0.0, z).toarray()
    np.testing.assert_allclose(full, true, rtol=1e-6, atol=1e-6)
    band = _banded(problem, problem.p)(0.0, z)
    i, j = np.nonzero(np.kron(np.eye(7), np.ones((3, 3))))
    np.testing.assert_allclose(band[i - j + 2, j], full[i, j])


def test_newton_matrix_of_the_reversed_system():
    problem = get_problem("rober")
    z = np.concatenate([some_state(problem), [1.0, 2.0, 3.0], np.zeros(3)])
    scale = np.concatenate([problem.y_scale, np.ones(6)])
    rhs, jacobian = _reversed(problem, 1.0, problem.p)
    true = difference(lambda z: rhs(0.0, z), z, scale)
    np.testing.assert_allclose(jacobian(0.0, z), true, rtol=1e-6, atol=1e-5)


def test_curvature_where_the_problem_gives_no_jacobian():
    given = get_problem("rober")
    bare = replace(given, given_jacobian=None, given_parameter_jacobian=None)
    y = some_state(given)
    for a, b in zip(
        curvature(given, 0.0, y, given.p), curvature(bare, 0.0, y, given.p), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-3)


def test_quadrature_is_exact_to_degree_nine_and_meets_its_tolerance():
    powers = np.arange(10)
    found = integrate(lambda x: x[:, None] ** powers, np.array([0.0, 2.0]), 1e300)
    np.testing.assert_allclose(found, 2.0 ** (powers + 1) / (powers + 1), rtol=1e-14)
    # a kink and a peak that the edges do not show
    found = integrate(
        lambda x: np.stack([np.abs(x - 0.3), 1e-4 / (1e-8 + x * x)], axis=1),
        np.array([-1.0, 0.0, 1.0]),
        1e-9,
    )
    np.testing.assert_allclose(found, [1.09, 2 * np.arctan(1e4)], rtol=0, atol=1e-9)


def test_quadrature_that_cannot_converge_says_so():
    with pytest.raises(SolverFailure, match="did not converge"):
        integrate(lambda x: 1 / np.maximum(x, 1e-300)[:, None], np.array([0.0, 1.0]), 1e-9)
