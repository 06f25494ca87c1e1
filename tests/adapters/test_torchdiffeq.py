"""torchdiffeq: right where it can be, loud where it fails, and counted."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from adapters import SolverFailure, get_method, load
from adapters.torchdiffeq import METHODS
from problems import get_problem

pytest.importorskip("torchdiffeq")

RTOL = 1e-6
NAMES = [method.name for method in METHODS]
# Measured up to 8 times rtol.
CLOSE = 30 * RTOL


def solver_of(problem_name, method_name):
    return load(get_problem(problem_name), get_method(f"torchdiffeq/{method_name}"))


def tolerances(problem, rtol=RTOL):
    return rtol, problem.default_atol(rtol)


def exact_gradient(problem):
    """dL/dp and dL/dy0 of a linear loss by complex steps through the closed form."""
    step = 1e-40
    weights = problem.loss.gradient(np.zeros((problem.times.size, problem.n)))

    def slope(dp, dy0):
        rows = [
            problem.exact(t, problem.y0 + 1j * step * dy0, problem.p + 1j * step * dp)
            for t in problem.times
        ]
        return np.sum(weights * np.imag(rows)) / step

    return np.array([slope(1.0, 0.0)]), np.array([slope(0.0, 1.0)])


def sensitivity_gradient(problem):
    """dL/dp and dL/dy0 by forward sensitivities at a tight tolerance, explicit integrator."""
    n, m = problem.n, problem.m

    def rhs(t, z):
        y, s = z[:n], z[n:].reshape(n, m + n)
        ds = problem.jacobian(t, y, problem.p) @ s
        ds[:, :m] += problem.parameter_jacobian(t, y, problem.p)
        return np.concatenate([problem.f(t, y, problem.p), ds.ravel()])

    start = np.concatenate([problem.y0, np.eye(n, m + n, k=m).ravel()])
    span = (problem.t0, problem.t1)
    solution = solve_ivp(
        rhs, span, start, method="DOP853", t_eval=problem.times, rtol=1e-11, atol=1e-20
    )
    assert solution.success
    ys, s = solution.y[:n].T, solution.y[n:].T.reshape(-1, n, m + n)
    slopes = np.einsum("ij,ijk->k", problem.loss.gradient(ys), s)
    return slopes[:m], slopes[m:]


def relative(value, true, scale=1.0):
    return np.linalg.norm(scale * (value - true)) / np.linalg.norm(scale * true)


def test_the_seven_methods_are_declared_without_importing_torch():
    assert sorted(NAMES) == [
        "torchdiffeq/dopri5/backsolve",
        "torchdiffeq/dopri5/discrete",
        "torchdiffeq/implicit-adams/backsolve",
        "torchdiffeq/implicit-adams/discrete",
        "torchdiffeq/scipy-bdf/backsolve",
        "torchdiffeq/scipy-lsoda/backsolve",
        "torchdiffeq/scipy-radau/backsolve",
    ]
    code = "import sys, adapters.torchdiffeq; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("problem_name", ["linear:1", "relaxation:10:off"])
def test_states_and_gradient_agree_with_the_closed_form(problem_name, name):
    problem = get_problem(problem_name)
    solver = load(problem, get_method(name))
    arguments = (problem.y0, problem.p, *tolerances(problem))
    states = np.stack([problem.exact(t, problem.y0, problem.p) for t in problem.times])
    assert solver.forward(*arguments)().ys == pytest.approx(states, rel=CLOSE)
    gradient = solver.gradient(*arguments)()
    true_p, true_y0 = exact_gradient(problem)
    assert gradient.loss == pytest.approx(problem.loss.value(states, np), rel=CLOSE)
    assert relative(gradient.p, true_p) < CLOSE
    assert relative(gradient.y0, true_y0) < CLOSE


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_a_short_and_mild_robertson(name):
    problem = get_problem("rober:t1=1e-3:observations=4")
    solver = load(problem, get_method(name))
    gradient = solver.gradient(problem.y0, problem.p, *tolerances(problem))()
    true_p, true_y0 = sensitivity_gradient(problem)
    assert relative(gradient.p, true_p, problem.p) < 1e-3
    assert relative(gradient.y0, true_y0, problem.y_scale) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_reverse_returns_to_the_start(name):
    problem = get_problem("linear:1")
    y1 = problem.exact(problem.t1, problem.y0, problem.p)
    solver = load(problem, get_method(name))
    solution = solver.reverse(y1, problem.p, *tolerances(problem))()
    assert solution.ys.shape == (1,)
    assert solution.ys == pytest.approx(problem.y0, rel=CLOSE)


def test_one_solver_serves_other_states_parameters_and_tolerances():
    problem, solver = get_problem("linear:1"), solver_of("linear:1", "dopri5/discrete")
    coarse = solver.gradient(problem.y0, problem.p, *tolerances(problem, 1e-3))()
    fine = solver.gradient(3 * problem.y0, 2 * problem.p, *tolerances(problem))()
    assert fine.counters.steps > coarse.counters.steps
    assert fine.loss == pytest.approx(3 * np.exp(-2 * problem.times).sum(), rel=CLOSE)
    assert fine.p[0] == pytest.approx(
        -3 * (problem.times * np.exp(-2 * problem.times)).sum(), rel=CLOSE
    )


def test_the_tensors_live_on_the_chosen_device():
    torch = pytest.importorskip("torch")
    problem, solver = get_problem("linear:1"), solver_of("linear:1", "dopri5/discrete")
    solver.device = "cuda"
    run = solver.gradient(problem.y0, problem.p, *tolerances(problem)).run
    if torch.cuda.is_available():
        assert run()[0].is_cuda
    else:
        with pytest.raises(AssertionError, match="CUDA"):
            run()


def test_dopri5_counts_every_evaluation_and_step():
    problem, solver = get_problem("linear:1e2"), solver_of("linear:1e2", "dopri5/discrete")
    arguments = (problem.y0, problem.p, *tolerances(problem))
    counters = solver.forward(*arguments)().counters
    assert counters.steps > 0 and counters.steps_rejected > 0
    # two to choose the first step, six an attempt
    attempts = counters.steps + counters.steps_rejected
    assert counters.rhs_evaluations == 2 + 6 * attempts
    assert solver.gradient(*arguments)().counters == counters


@pytest.mark.parametrize("integrator", ["dopri5", "implicit-adams", "scipy-bdf"])
def test_counters_of_backsolve_cover_the_backward_solve(integrator):
    problem, solver = get_problem("linear:1"), solver_of("linear:1", f"{integrator}/backsolve")
    arguments = (problem.y0, problem.p, *tolerances(problem))
    forward = solver.forward(*arguments)().counters
    gradient = solver.gradient(*arguments)().counters
    assert gradient.steps > forward.steps
    assert gradient.rhs_evaluations > forward.rhs_evaluations


def test_scipy_counts_jacobians_and_factorisations_but_no_rejections():
    problem, solver = get_problem("rober:t1=1"), solver_of("rober:t1=1", "scipy-bdf/backsolve")
    counters = solver.forward(problem.y0, problem.p, *tolerances(problem))().counters
    assert counters.steps_rejected is None
    assert 0 < counters.jacobian_evaluations < counters.factorisations < counters.steps


@pytest.mark.parametrize("rtol, per_interval", [(1e-4, 10), (1e-6, 32)])
def test_adams_steps_follow_from_the_tolerance_and_the_error_from_the_steps(rtol, per_interval):
    problem, solver = get_problem("linear:10"), solver_of("linear:10", "implicit-adams/discrete")
    gradient = solver.gradient(problem.y0, problem.p, *tolerances(problem, rtol))()
    assert gradient.counters.steps == per_interval * problem.times.size
    assert relative(gradient.p, exact_gradient(problem)[0]) < rtol


@pytest.mark.parametrize("strategy", ["discrete", "backsolve"])
def test_adams_on_a_stiff_problem_warns_and_gives_what_it_got(strategy):
    problem = get_problem("rober:t1=1")
    solver = load(problem, get_method(f"torchdiffeq/implicit-adams/{strategy}"))
    with pytest.warns(UserWarning, match="Functional iteration did not converge"):
        gradient = solver.gradient(problem.y0, problem.p, *tolerances(problem, 1e-4))()
    assert np.all(np.isnan(gradient.p))


@pytest.mark.parametrize("integrator, name", [("scipy-bdf", "BDF"), ("scipy-radau", "Radau")])
def test_scipy_failing_backwards_is_told_in_its_own_words(integrator, name):
    problem, solver = (
        get_problem("rober:final"),
        solver_of("rober:final", f"{integrator}/backsolve"),
    )
    arguments = (problem.y0, problem.p, *tolerances(problem, 1e-4))
    assert np.all(np.isfinite(solver.forward(*arguments)().ys))
    with pytest.raises(SolverFailure) as caught:
        solver.gradient(*arguments)()
    reason = str(caught.value)
    assert reason.startswith("backward solve stopped near t = 100000: SciPy's " + name)
    assert "Required step size is less than spacing between numbers" in reason


def test_lsoda_hanging_backwards_is_a_failure():
    problem, solver = get_problem("rober:t1=1"), solver_of("rober:t1=1", "scipy-lsoda/backsolve")
    with pytest.raises(SolverFailure, match=r"backward solve .*LSODA hangs: 500 steps"):
        solver.gradient(problem.y0, problem.p, *tolerances(problem, 1e-4))()


def test_a_state_that_is_not_finite_is_a_failure_at_once():
    problem, solver = get_problem("linear:1"), solver_of("linear:1", "scipy-lsoda/backsolve")
    with pytest.raises(SolverFailure, match=r"reverse solve .*t = 1: .* infinite or NaN \(All"):
        solver.reverse(np.array([np.inf]), problem.p, *tolerances(problem))()


def test_dopri5_failing_backwards_is_told_in_plain_words():
    name = "rober:t1=0.1:observations=2"
    problem, solver = get_problem(name), solver_of(name, "dopri5/backsolve")
    with pytest.raises(SolverFailure, match=r"backward solve .*floating-point numbers \(underflow"):
        solver.gradient(problem.y0, problem.p, *tolerances(problem, 1e-4))()
