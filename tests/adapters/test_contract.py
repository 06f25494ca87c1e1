"""Every declared method keeps the promises of the interface: right gradients or a loud failure.

The linear equation for all of them; ROBER for implicit integrators, where a backsolve adjoint
must never look usable. What is expected to fail is listed here with its reason.
"""

from fnmatch import fnmatchcase
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from adapters import SolverFailure, available, load, methods
from problems import get_problem
from suite import references
from suite.cases import Case
from suite.measure import judge_gradient

MILD = get_problem("linear:1")
ROBER = get_problem("rober")
RTOL = 1e-5

# (problem, method pattern): statuses that the method's nature leads to, and why.
EXPECTED = {
    # Kim et al. 2021, section III.A: no tolerance saves it
    ("rober", "*/backsolve*"): {"diverged", "non-finite"},
    # first order: its error is far above what the tolerance promises
    ("linear:1", "diffrax/implicit-euler/*"): {"ok", "inaccurate"},
    # and the tolerance asks for more steps than any limit allows
    ("rober", "diffrax/implicit-euler/*"): {"ok", "diverged"},
}


def expected(problem, method):
    found = {
        status
        for (name, pattern), statuses in EXPECTED.items()
        if name == problem.name and fnmatchcase(method.name, pattern)
        for status in statuses
    }
    return found or {"ok"}


def need(method):
    usable, reason = available(method)
    if not usable:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def solvers():
    """Solvers by method, so that what is compiled for one test serves the next."""
    built = {}

    def get(problem, method):
        need(method)
        key = problem.program, method.name
        if key not in built:
            built[key] = load(problem, method)
        return built[key]

    return get


def outcome(problem, method, solver, rtol):
    atol = problem.default_atol(rtol)
    try:
        gradient = solver.gradient(problem.y0, problem.p, rtol, atol)()
    except SolverFailure:
        return "diverged", None
    case = Case(problem.name, method.name, rtol, atol)
    return judge_gradient(case, problem, gradient, None)["status"], gradient


every_method = pytest.mark.parametrize("method", methods().values(), ids=list(methods()))
stiff_methods = pytest.mark.parametrize(
    "method",
    [m for m in methods().values() if m.implicit and m.adaptive and m.variant != "direct"],
    ids=lambda method: method.name,
)


@every_method
def test_gradient_on_a_mild_problem(method, solvers):
    solver = solvers(MILD, method)
    status, gradient = outcome(MILD, method, solver, RTOL)
    assert status in expected(MILD, method)
    if gradient is not None:
        assert isinstance(gradient.loss, float)
        assert gradient.p.dtype == gradient.y0.dtype == np.float64
        assert (gradient.p.shape, gradient.y0.shape) == ((MILD.m,), (MILD.n,))
        for value in vars(gradient.counters).values():
            assert value is None or (isinstance(value, int) and value >= 0)


@every_method
def test_forward_and_its_loss_agree_with_the_closed_form(method, solvers):
    solver = solvers(MILD, method)
    ys = solver.forward(MILD.y0, MILD.p, RTOL, MILD.default_atol(RTOL))().ys
    exact = np.stack([MILD.exact(t, MILD.y0, MILD.p) for t in MILD.times])
    assert ys.shape == exact.shape and ys.dtype == np.float64
    assert np.max(np.abs(ys - exact)) < 100 * RTOL


@every_method
def test_nothing_is_baked_in(method, solvers):
    """One solver serves other initial states, parameters and tolerances (its program's promise)."""
    other = get_problem("linear:3")
    assert other.program == MILD.program
    solver = solvers(MILD, method)
    y0 = np.array([0.5])
    ys = solver.forward(y0, other.p, 1e-4, 1e-7)().ys
    exact = np.stack([other.exact(t, y0, other.p) for t in other.times])
    assert np.max(np.abs(ys - exact)) < 1e-2


@every_method
def test_reverse_ends_at_the_initial_time(method, solvers):
    """At a mild rate the way back is well conditioned enough for every integrator."""
    solver = solvers(MILD, method)
    end = MILD.exact(MILD.t1, MILD.y0, MILD.p)
    recovered = solver.reverse(end, MILD.p, 1e-6, 1e-9)().ys
    assert recovered.shape == (MILD.n,)
    assert np.max(np.abs(recovered - MILD.y0)) < 1e-3


@stiff_methods
def test_gradient_on_rober(method, solvers):
    status, _ = outcome(ROBER, method, solvers(ROBER, method), 1e-4)
    assert status in expected(ROBER, method)


@every_method
def test_what_a_method_requires_its_extra_installs(method):
    requirements = [Requirement(text) for text in distribution("stiffgrad").requires or []]
    extra = {
        requirement.name: requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": method.framework})
    }
    for text in method.requires:
        wanted = Requirement(text)
        assert wanted.name in extra, f"pyproject.toml: extra {method.framework} lacks {wanted.name}"
        assert str(extra[wanted.name].specifier) == str(wanted.specifier)


def test_importing_the_registry_imports_no_framework():
    for file in (Path(__file__).parents[2] / "adapters").glob("*.py"):
        for line in file.read_text().splitlines():
            assert not line.startswith(("import jax", "import torch", "import diffrax")), file
            assert not line.startswith(("from jax", "from torch", "from diffrax")), file


def test_references_judge_the_contract():
    assert references.load(ROBER).loss == pytest.approx(36.654317639453794, rel=1e-13)
