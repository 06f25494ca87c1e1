"""A batch is its members' own gradients, whichever way a framework takes them at once."""

import numpy as np
import pytest

from adapters import SolverFailure, Unsupported, available, get_method, load, methods
from problems import get_problem, member

BATCH = get_problem("linear:1:batch=3")
RTOL = 1e-5
ATOL = BATCH.default_atol(RTOL)
MAPPED = (
    "diffrax/tsit5/discrete-recursive",
    "jax/dopri5/backsolve",
    "stiffgrad-jax/kvaerno5/gauss",
    "stiffgrad-jax/rodas5p/discrete",
)
JOINT = (
    "torchdiffeq/dopri5/backsolve",
    "torchdiffeq/dopri5/discrete",
    "torchdiffeq/implicit-adams/discrete",
    "torchdiffeq/scipy-bdf/backsolve",
)


@pytest.fixture(scope="module")
def solver_of():
    """Solvers by problem and method, so that what is compiled for one test serves the next."""
    built = {}

    def get(problem, name):
        usable, reason = available(get_method(name))
        if not usable:
            pytest.skip(reason)
        key = problem.program, name
        if key not in built:
            built[key] = load(problem, get_method(name))
        return built[key]

    return get


def true_gradients():
    """Losses (B,), dL/dp (B, m) and dL/dy0 (B, n) in closed form."""
    decay = np.exp(-BATCH.p * BATCH.times)
    losses, slopes = np.sum(decay, axis=1), -np.sum(BATCH.times * decay, axis=1)
    return losses, slopes[:, None], losses[:, None]


@pytest.mark.parametrize("name", [*MAPPED, "diffrax/kvaerno3/discrete-recursive", *JOINT])
def test_every_member_has_its_own_gradient(name, solver_of):
    solver = solver_of(BATCH, name)
    found = solver.gradient(BATCH.y0, BATCH.p, RTOL, ATOL)()
    losses, p, y0 = true_gradients()
    assert (found.p.shape, found.y0.shape) == ((3, 1), (3, 1))
    np.testing.assert_allclose(found.losses, losses, rtol=100 * RTOL)
    np.testing.assert_allclose(found.p, p, rtol=100 * RTOL)
    np.testing.assert_allclose(found.y0, y0, rtol=100 * RTOL)
    assert isinstance(found.loss, float) and found.loss == pytest.approx(losses.sum(), rel=1e-3)
    assert found.member(1).loss == found.losses[1]
    np.testing.assert_array_equal(found.member(1).p, found.p[1])


@pytest.mark.parametrize("name", [*MAPPED, *JOINT])
def test_states_have_the_members_first(name, solver_of):
    ys = solver_of(BATCH, name).forward(BATCH.y0, BATCH.p, RTOL, ATOL)().ys
    assert ys.shape == (3, BATCH.times.size, 1) and ys.dtype == np.float64
    np.testing.assert_allclose(ys[:, :, 0], np.exp(-BATCH.p * BATCH.times), atol=100 * RTOL)


@pytest.mark.parametrize("name", MAPPED)
def test_mapped_members_take_the_steps_that_they_take_alone(name, solver_of):
    batch = solver_of(BATCH, name).gradient(BATCH.y0, BATCH.p, RTOL, ATOL)()
    alone = []
    for number in range(3):
        one = member(BATCH, number)
        alone.append(solver_of(one, name).gradient(one.y0, one.p, RTOL, ATOL)())
        np.testing.assert_allclose(batch.p[number], alone[-1].p, rtol=1e-10)
        np.testing.assert_allclose(batch.y0[number], alone[-1].y0, rtol=1e-10)
    if batch.counters.steps is not None:
        assert batch.counters.steps == sum(one.counters.steps for one in alone)


def test_joint_members_take_common_steps(solver_of):
    name = "torchdiffeq/dopri5/discrete"
    mild = solver_of(BATCH, name)
    alike = np.ones((3, 1))
    common = mild.gradient(BATCH.y0, alike, RTOL, ATOL)().counters.steps
    with_a_fast_one = np.array([[1.0], [1.0], [300.0]])
    assert mild.gradient(BATCH.y0, with_a_fast_one, RTOL, ATOL)().counters.steps > 3 * common


@pytest.mark.parametrize("name", ["torchdiffeq/dopri5/discrete", "stiffgrad-jax/rodas5p/discrete"])
def test_a_network_is_mapped_too(name, solver_of):
    """Mass action multiplies matrices and indexes, where a member's axis could go astray."""
    batch = get_problem("rober:t1=1e-2:final:batch=3")
    rtol, atol = 1e-6, 1e-12
    found = solver_of(batch, name).gradient(batch.y0, batch.p, rtol, atol)()
    for number in range(3):
        one = member(batch, number)
        alone = solver_of(one, name).gradient(one.y0, one.p, rtol, atol)()
        np.testing.assert_allclose(found.p[number], alone.p, rtol=1e-3)
        np.testing.assert_allclose(found.y0[number], alone.y0, rtol=1e-3)


@pytest.mark.parametrize(
    "name", [name for name in MAPPED if not name.startswith("jax/")], ids=lambda name: name
)
def test_members_that_fail_are_counted(name, solver_of):
    # y grows up to e^690, in more steps than any limit allows
    p = np.array([[1.0], [-690.0], [1.0]])
    call = solver_of(BATCH, name).gradient(BATCH.y0, p, 1e-12, 1e-15)
    with pytest.raises(SolverFailure, match=r"1 of 3 members failed, first 1: \w+"):
        call()


@pytest.mark.parametrize(
    "method", [m for m in methods().values() if not m.batched], ids=lambda m: m.name
)
def test_what_takes_no_batches_names_what_does(method):
    usable, reason = available(method)
    if not usable:
        pytest.skip(reason)
    with pytest.raises(Unsupported, match="diffrax, jax, stiffgrad-jax, torchdiffeq"):
        load(BATCH, method)
