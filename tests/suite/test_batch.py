"""Batches: the worst of the judged members decides, and the record says what was judged."""

import numpy as np
import pytest

from adapters import Gradient, available, get_method
from problems import get_problem
from suite import references, session
from suite.cases import JUDGED, TIERS, BadRequest, Case, judged
from suite.listing import describe
from suite.measure import Effort, judge_gradient
from suite.run import Limits, Runner

BATCH = get_problem("linear:1:batch=6")
NAME = "torchdiffeq/dopri5/discrete"


def right():
    """Every member's gradient in closed form."""
    decay = np.exp(-BATCH.p * BATCH.times)
    losses = decay.sum(axis=1)
    slopes = -(BATCH.times * decay).sum(axis=1)
    return Gradient.of(losses, slopes[:, None], losses[:, None])


def verdict(gradient, problem=BATCH):
    case = Case(problem.name, NAME, 1e-6, 1e-9)
    return judge_gradient(case, problem, gradient, None)


def test_the_first_members_are_judged_by_their_own_references():
    assert [one.name for one in judged(BATCH)] == [
        *("linear:1", "linear:1:member=1", "linear:1:member=2", "linear:1:member=3")
    ]
    assert len(judged(BATCH)) == JUDGED
    assert [one.name for one in judged(get_problem("rober:batch=2"))] == ["rober", "rober:member=1"]
    assert judged(get_problem("rober")) == [get_problem("rober")]
    found = verdict(right())
    assert (found["status"], found["batch_judged"]) == ("ok", JUDGED)
    assert found["gradient_error"] < 1e-12


@pytest.mark.parametrize("number", range(JUDGED))
def test_the_worst_judged_member_decides(number):
    gradient = right()
    gradient.p[number] *= 2
    found = verdict(gradient)
    assert found["status"] == "silently-wrong"
    assert found["reference"] == judged(BATCH)[number].name


def test_a_gradient_that_is_another_members_is_wrong():
    gradient = right()
    gradient.p[[0, 1]] = gradient.p[[1, 0]]
    assert verdict(gradient)["status"] == "inaccurate"


def test_every_member_must_be_finite_judged_or_not():
    gradient = right()
    gradient.y0[5] = np.inf
    gradient.p[5] = np.nan
    found = verdict(gradient)
    assert found["status"] == "non-finite"
    assert "2 of 12 gradient components are NaN or infinite, in 1 of 6 members" in found["reason"]


def test_what_is_recorded_of_a_batch():
    usable, reason = available(get_method(NAME))
    if not usable:
        pytest.skip(reason)
    with Runner(Limits(120.0, 120.0, Effort(0.01, 5.0))) as runner:
        record = runner.measure(Case(BATCH.name, NAME, 1e-6, 1e-9))
        alone = runner.measure(Case("linear:1", NAME, 1e-6, 1e-9))
    assert (record["status"], record["batch"], record["batch_judged"]) == ("ok", 6, JUDGED)
    assert np.shape(record["gradient_p"]) == np.shape(record["gradient_y0"]) == (JUDGED, 1)
    assert record["gradient_p"][0] == pytest.approx(alone["gradient_p"], rel=1e-4)
    assert record["loss"] == pytest.approx(right().loss, rel=1e-4)
    assert record["gradient_seconds"] > 0 and record["peak_bytes"] > 0
    for figure in ("finite_difference_error", "reversibility_error"):
        assert record[figure] is None
        assert "the members' own" in record[f"{figure}_reason"]
    assert (alone["batch"], alone["batch_judged"]) == (None, None)
    assert alone["finite_difference_error"] is not None


def test_the_tier_runs_what_takes_batches():
    found = session.request([], [], None, None, "batch", None)
    problems = {case.problem for case in found.cases}
    assert problems == set(TIERS["batch"].problems)
    assert all(get_method(case.method).batched for case in found.cases)
    asked = session.request([], ["scipy/bdf/forward"], None, None, "batch", None)
    assert {case.method for case in asked.cases} == {"scipy/bdf/forward"}


def test_the_tiers_problems_can_be_judged():
    for name in TIERS["batch"].problems:
        for problem in judged(get_problem(name)):
            assert references.load(problem).gradient_p.size == problem.m


def test_a_batch_has_no_reference_of_its_own():
    with pytest.raises(BadRequest, match="rober, rober:member=1"):
        session.show_reference("rober:batch=2", None)


def test_a_batch_is_listed_as_its_first_member():
    (described,) = describe(["linear:1:batch=6"], [])["problems"]
    assert described["name"] == "linear:1:batch=6"
    assert described["p"] == [1.0] and described["spectrum"]["fastest"]
