"""diffrax: gradients through its steps, one program for all tolerances, and no hidden failure."""

from dataclasses import replace

import numpy as np
import pytest

from adapters import SolverFailure, get_method, methods
from problems import get_problem

pytest.importorskip("diffrax")

import jax

from adapters import diffrax as adapter

ROBER = get_problem("rober")
# Certified by two independent methods: results/references.
ROBER_P = np.array([-91.9127227, -5.26308296e-8, 3.15797532e-4])
ROBER_Y0 = np.array([38.2333681, 11.2998233, 11.3016736])


def solver(problem, name):
    return adapter.build(problem, get_method(f"diffrax/{name}"))


def tolerances(problem, rtol):
    return rtol, problem.default_atol(rtol)


def log_error(gradient):
    wanted = ROBER.p * ROBER_P
    return np.linalg.norm(ROBER.p * gradient.p - wanted) / np.linalg.norm(wanted)


def counting(problem):
    """The problem with a rhs of its own that counts how often it is traced."""
    traced = []

    def rhs(t, y, p, xp):
        traced.append(xp)
        return problem.rhs(t, y, p, xp)

    return replace(problem, rhs=rhs), traced


def test_every_integrator_with_every_adjoint():
    names = [name for name in methods() if name.startswith("diffrax/")]
    assert len(names) == 20
    assert "diffrax/kvaerno3/discrete-recursive" in names
    assert "diffrax/implicit-euler/forward-discrete" in names


@pytest.fixture(scope="module")
def kvaerno3():
    return solver(ROBER, "kvaerno3/discrete-recursive")


def test_rober_through_the_steps(kvaerno3):
    gradient = kvaerno3.gradient(ROBER.y0, ROBER.p, *tolerances(ROBER, 1e-6))()
    assert gradient.loss == pytest.approx(36.654317639453794, rel=1e-6)
    assert 1.9e-7 / 3 < log_error(gradient) < 1.9e-7 * 3
    assert gradient.y0 == pytest.approx(ROBER_Y0, rel=1e-6)
    assert 500 < gradient.counters.steps < 800
    assert 0 < gradient.counters.steps_rejected < 30


def test_tolerances_initial_states_and_parameters_are_arguments():
    problem, traced = counting(get_problem("linear:1"))
    solve = solver(problem, "implicit-euler/forward-discrete")
    solve.compile(problem.y0, problem.p, *tolerances(problem, 1e-3))
    once = len(traced)
    loose = solve.gradient(problem.y0, problem.p, *tolerances(problem, 1e-3))()
    tight = solve.gradient(problem.y0, problem.p, *tolerances(problem, 1e-6))()
    twice = solve.gradient(2 * problem.y0, problem.p, *tolerances(problem, 1e-6))()
    assert once == len(traced) > 0
    wanted = -np.sum(problem.times * np.exp(-problem.times))
    assert abs(tight.p[0] - wanted) < abs(loose.p[0] - wanted) / 10
    assert twice.p[0] == pytest.approx(2 * tight.p[0], rel=1e-3)


def test_forward_and_reverse_share_one_program_between_strategies():
    problem, traced = counting(get_problem("linear:1"))
    rtol, atol = tolerances(problem, 1e-6)
    ys = solver(problem, "dopri5/discrete-direct").forward(problem.y0, problem.p, rtol, atol)().ys
    once = len(traced)
    other = solver(problem, "dopri5/backsolve")
    again = other.forward(problem.y0, problem.p, rtol, atol)()
    back = other.reverse(ys[-1], problem.p, rtol, atol)()
    assert once == len(traced) > 0
    assert ys[:, 0] == pytest.approx(np.exp(-problem.times), rel=1e-5)
    assert np.array_equal(again.ys, ys)
    assert back.ys == pytest.approx(problem.y0, rel=1e-5)
    assert again.counters.steps > 0 and back.counters.steps > 0


def test_a_truncated_solve_never_passes(monkeypatch):
    monkeypatch.setattr(adapter, "MAX_STEPS", 64)
    problem, _ = counting(get_problem("linear:1e4"))
    solve = solver(problem, "tsit5/forward-discrete")
    rtol, atol = tolerances(problem, 1e-4)
    for call in (solve.gradient, solve.forward, solve.reverse):
        with pytest.raises(SolverFailure, match="maximum number of solver steps was reached"):
            call(problem.y0, problem.p, rtol, atol)()
    slow = solve.gradient(problem.y0, problem.p / 1e4, rtol, atol)()
    assert slow.loss == pytest.approx(np.sum(np.exp(-problem.times)), rel=1e-3)


def test_a_failed_backward_solve_is_reported():
    """The forward solve succeeds, so nothing but the backward one can fail."""
    solve = solver(ROBER, "implicit-euler/backsolve")
    rtol, atol = tolerances(ROBER, 1e-4)
    assert np.all(np.isfinite(solve.forward(ROBER.y0, ROBER.p, rtol, atol)().ys))
    call = solve.gradient(ROBER.y0, ROBER.p, rtol, atol)
    raw = call.run()
    with pytest.raises(SolverFailure, match="maximum number of"):
        call.read(raw)


def test_stability_limited_steps_give_right_states_and_wrong_gradients():
    """What the suite calls silently wrong: nothing here raises."""
    problem = get_problem("rober:t1=10")
    rtol, atol = tolerances(problem, 1e-4)
    solve = solver(problem, "tsit5/discrete-recursive")
    gradient = solve.gradient(problem.y0, problem.p, rtol, atol)()
    assert gradient.loss == pytest.approx(49.0862592797, rel=1e-6)
    assert abs(gradient.p[0]) > 100 * 18.3857729
    right = solve.gradient(problem.y0, problem.p, *tolerances(problem, 1e-6))()
    assert right.p[0] == pytest.approx(-18.3857729, rel=1e-4)


def test_errors_of_others_are_not_the_solvers():
    def out_of_memory():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        adapter._guarded(out_of_memory)()
