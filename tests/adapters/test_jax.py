"""jax.experimental.ode: right where nothing is stiff, NaN and not a word where it is."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from adapters import get_method, load
from problems import get_problem

pytest.importorskip("jax")

import jax
from jax.experimental.compilation_cache import compilation_cache

from adapters import _jax_common
from adapters import jax as adapter

METHOD = get_method("jax/dopri5/backsolve")
LINEAR = get_problem("linear:1")
ROBER = get_problem("rober")


@pytest.fixture(scope="module")
def linear():
    return adapter.build(LINEAR, METHOD)


def test_gradient_of_a_mild_problem_at_two_tolerances(linear):
    wanted = -np.sum(LINEAR.times * np.exp(-LINEAR.times))
    errors = {}
    for rtol in (1e-3, 1e-8):
        gradient = linear.gradient(LINEAR.y0, LINEAR.p, rtol, LINEAR.default_atol(rtol))()
        errors[rtol] = abs(gradient.p[0] / wanted - 1)
        assert gradient.y0[0] == pytest.approx(np.sum(np.exp(-LINEAR.times)), rel=1e-3)
    assert errors[1e-8] < 1e-6 < errors[1e-3] < 1e-2


def test_reverse_shares_the_forward_program():
    traced = []

    def rhs(t, y, p, xp):
        traced.append(t)
        return -p[0] * y * t

    problem = replace(LINEAR, rhs=rhs)
    solver = adapter.build(problem, METHOD)
    ys = solver.forward(problem.y0, problem.p, 1e-8, 1e-11)().ys
    once = len(traced)
    back = solver.reverse(ys[-1], problem.p, 1e-8, 1e-11)().ys
    assert once == len(traced) > 0
    assert ys[:, 0] == pytest.approx(np.exp(-(problem.times**2) / 2), rel=1e-6)
    assert back == pytest.approx(problem.y0, rel=1e-6)


def test_rober_ends_without_a_gradient():
    solver = adapter.build(ROBER, METHOD)
    gradient = solver.gradient(ROBER.y0, ROBER.p, 1e-4, ROBER.default_atol(1e-4))()
    assert np.all(np.isnan(gradient.p)) and np.all(np.isnan(gradient.y0))


@contextmanager
def kept_in(folder):
    """JAX's persistent cache in a folder, or none, and as it was again afterwards."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
        "jax_persistent_cache_min_entry_size_bytes",
    )
    # what it sets, it sets once a process
    _jax_common.prepare()
    before = {name: getattr(jax.config, name) for name in names}
    compilation_cache.reset_cache()
    jax.config.update("jax_compilation_cache_dir", None)
    _jax_common.use_compile_cache(folder)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def cache(tmp_path):
    with kept_in(str(tmp_path)):
        yield tmp_path


def cached(name):
    solver = load(LINEAR, get_method(name))
    solver.compile(LINEAR.y0, LINEAR.p, 1e-5, 1e-8)
    return solver.compile_cached


def test_the_second_compilation_comes_from_the_cache(cache):
    assert [cached(METHOD.name), cached(METHOD.name)] == [False, True]
    assert any(cache.iterdir())


def test_diffrax_is_kept_too_unless_its_program_can_raise(cache):
    pytest.importorskip("diffrax")
    names = ["tsit5/backsolve", *["implicit-euler/discrete-recursive"] * 2]
    found = [cached(f"diffrax/{name}") for name in names]
    assert found == [False, False, True]


def test_without_a_cache_nothing_is_said_of_it():
    with kept_in(None):
        assert cached(METHOD.name) is None
