"""One right-hand side, one answer: NumPy, PyTorch and JAX agree to rounding on every problem."""

import numpy as np
import pytest

from problems import get_problem, problem_names

ARGUMENTS = ("linear:1e2", "relaxation:1e3:off")
VARIANTS = (
    "rober:scaled",
    "rober:scaled:logp",
    "rober:t1=10:stiffness=100",
    "rober:fit:scaled",
    "rober:fit=least-squares",
    "pollu:scaled:logp",
    "relaxation:1e3:scaled:logp",
)
NAMES = (*problem_names(), *ARGUMENTS, *VARIANTS)
# Sums of a few dozen terms, each right to rounding.
ROUNDING = 50 * np.finfo(np.float64).eps


class Torch:
    def __init__(self):
        pytest.importorskip("torch")
        import array_api_compat.torch as xp

        self.xp = xp

    def array(self, values):
        return self.xp.asarray(np.array(values), dtype=self.xp.float64)

    def numpy(self, value):
        return value.numpy()


class Jax:
    def __init__(self):
        pytest.importorskip("jax")
        import jax.numpy as xp

        self.xp = xp

    def array(self, values):
        return self.xp.asarray(values, dtype=self.xp.float64)

    def numpy(self, value):
        return np.asarray(value)


@pytest.fixture(params=[Torch, Jax])
def framework(request):
    found = request.param()
    if request.param is Torch:
        yield found
        return
    import jax

    with jax.enable_x64(True):
        yield found


def states(problem):
    """The initial state, and one where every species is there."""
    return problem.y0, 0.5 * problem.y0 + 0.3 * problem.y_scale


def size_of_terms(problem, t, y):
    """An upper bound on what is added up in each component of f, shape (n,)."""
    of_y = np.abs(problem.jacobian(t, y, problem.p)) @ np.abs(y)
    of_p = np.abs(problem.parameter_jacobian(t, y, problem.p)) @ np.abs(problem.p)
    return of_y + of_p + np.abs(problem.f(t, y, problem.p))


@pytest.mark.parametrize("name", NAMES)
def test_rhs_agrees_with_numpy(name, framework):
    problem = get_problem(name)
    t = (problem.t0 + problem.t1) / 2
    for y in states(problem):
        arrays = framework.array(y), framework.array(problem.p)
        found = framework.numpy(problem.rhs(t, *arrays, framework.xp))
        assert found.shape == (problem.n,)
        gap = np.abs(found - problem.f(t, y, problem.p))
        assert np.all(gap <= ROUNDING * size_of_terms(problem, t, y))


@pytest.mark.parametrize("name", ["rober", "rober:fit:scaled", "rober:fit=least-squares"])
def test_loss_agrees_with_numpy(name, framework):
    problem = get_problem(name)
    ys = np.linspace(0.9, 0.5, problem.times.size)[:, None] * (problem.y0 + problem.y_scale)
    found = float(problem.loss.value(framework.array(ys), framework.xp))
    assert found == pytest.approx(float(problem.loss.value(ys, np)), rel=1e-14)


@pytest.mark.parametrize("name", [*ARGUMENTS, "rober:scaled:logp", "pollu", "pollu:scaled"])
def test_jax_differentiates_to_the_same_jacobians(name):
    jax = pytest.importorskip("jax")
    problem = get_problem(name)
    t, y = problem.t1 / 2, states(problem)[1]
    with jax.enable_x64(True):
        derive = jax.jacfwd(lambda y, p: problem.rhs(t, y, p, jax.numpy), argnums=(0, 1))
        of_y, of_p = map(np.asarray, derive(jax.numpy.asarray(y), jax.numpy.asarray(problem.p)))
    _close(of_y, problem.jacobian(t, y, problem.p))
    _close(of_p, problem.parameter_jacobian(t, y, problem.p))


def _close(found, expected):
    """Equal to rounding in units of the largest entry of each column."""
    largest = np.max(np.abs(expected), axis=0)
    assert np.all(np.abs(found - expected) <= ROUNDING * np.maximum(largest, 1e-300))
