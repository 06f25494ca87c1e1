"""Members and batches: what they are, that they do not depend on how many there are, refusals."""

import numpy as np
import pytest

from problems import ProblemError, get_problem, member


def test_a_batch_is_its_members_side_by_side():
    batch = get_problem("rober:batch=4")
    assert batch.batch == 4
    assert (batch.p.shape, batch.y0.shape) == ((4, 3), (4, 3))
    for number in range(4):
        one = member(batch, number)
        assert one.batch is None
        np.testing.assert_array_equal(batch.p[number], one.p)
        np.testing.assert_array_equal(batch.y0[number], one.y0)


def test_member_0_is_the_problem_itself():
    assert member(get_problem("rober:batch=4"), 0) is get_problem("rober")
    assert member(get_problem("rober:scaled:batch=4"), 2).name == "rober:member=2:scaled"


def test_members_do_not_depend_on_how_many_there_are():
    few, many = get_problem("pollu:batch=3"), get_problem("pollu:batch=1000")
    np.testing.assert_array_equal(few.p, many.p[:3])


def test_members_differ_about_a_tenth_in_every_parameter():
    batch = get_problem("pollu:batch=1000")
    spread = np.log(batch.p[1:] / batch.p[0])
    assert np.std(spread) == pytest.approx(0.1, rel=0.02)
    assert np.all(np.abs(np.mean(spread, axis=0)) < 0.02)
    assert len(np.unique(batch.p[:, 0])) == 1000


@pytest.mark.parametrize("name", ["rober:batch=3:scaled:logp", "rober:fit:batch=3"])
def test_other_variants_change_every_member_alike(name):
    batch = get_problem(name)
    for number in range(3):
        one = member(batch, number)
        np.testing.assert_allclose(batch.p[number], one.p, rtol=1e-15)
        np.testing.assert_array_equal(batch.y0[number], one.y0)
        assert one.loss == batch.loss


def test_a_member_keeps_its_gradients_in_log_parameters():
    problem, one = get_problem("pollu"), get_problem("pollu:member=2")
    np.testing.assert_array_equal(problem.p_scale, problem.p)
    np.testing.assert_allclose(one.p_scale, one.p, rtol=1e-15)
    assert one.reference == "pollu:member=2"
    assert get_problem("pollu:member=2:logp").reference == "pollu:member=2"


def test_with_a_mass_matrix_every_member_starts_consistently():
    batch = get_problem("rober-dae:batch=3")
    for number in range(3):
        one = member(batch, number)
        algebraic = one.f(one.t0, batch.y0[number], one.p)[np.all(one.mass == 0, axis=1)]
        np.testing.assert_allclose(algebraic, 0, atol=1e-15)


def test_a_batch_has_a_program_of_its_own_and_members_share_their_problems():
    assert get_problem("rober:member=2").program == get_problem("rober").program
    programs = {get_problem(f"rober{size}").program for size in ("", ":batch=1", ":batch=2")}
    assert len(programs) == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rober:batch", "a whole number from 1"),
        ("rober:batch=0", "a whole number from 1"),
        ("rober:batch=1e2", "for example batch=3"),
        ("rober:batch=2.5", "a whole number from 1"),
        ("rober:batch=-3", "a whole number from 1"),
        ("rober:batch=007", "a whole number from 1"),
        ("rober:batch=10000000000", "to 1000000"),
        ("rober:member", "a whole number from 1"),
        ("rober:member=0", "member 0 is the problem itself"),
        ("rober:member=1:batch=2", "exclude each other"),
    ],
)
def test_impossible_sizes_and_members_are_refused(name, words):
    with pytest.raises(ProblemError, match=words):
        get_problem(name)
