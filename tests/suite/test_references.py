"""Certified references: what is stored is right, follows variants, and damage is noticed."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from problems import get_problem
from suite import references
from suite._certify import MESH_RTOL, closed_form, digits
from suite._collocation import collocate
from suite._scaled import Scaled
from suite._sensitivities import integrate
from suite.cases import TIERS, judged

STORED = (
    *("rober", "rober:final", "rober:t1=1", "rober:t1=10", "rober:observations=10"),
    *("rober:stiffness=10", "rober:stiffness=100", "rober:fit", "rober:fit=least-squares"),
    *("pollu", "pollu:final", "pollu:stiffness=10", "pollu:fit"),
    *("linear:1", "linear:1e2", "linear:1e4", "relaxation:1e4", "relaxation:1e4:off"),
)
# IVP test set 2.4, problem POLLU: the sum of its 20 published end states.
POLLU_END_SUM = 0.6245552059471298


@pytest.fixture
def stored(tmp_path):
    """A cheap problem with its reference in a folder of its own."""
    problem = get_problem("linear:1e2")
    references.ensure(problem, tmp_path)
    return problem, tmp_path, references.path(problem, tmp_path)


def weighted(problem, p, y0):
    return np.concatenate([p * problem.p_scale, y0 * problem.y_scale])


def test_rober_regenerates():
    comparison = references.regenerate(get_problem("rober"))
    assert comparison.agrees
    assert len(comparison.components) == 7
    assert all(component.digits >= 12 for component in comparison.components)
    assert comparison.stored.loss == pytest.approx(36.654317639453794, rel=1e-14)


@pytest.mark.parametrize("name", STORED)
def test_stored_references_are_whole_and_well_certified(name):
    problem = get_problem(name)
    reference = references.load(problem)
    assert reference.problem == problem.reference
    assert len(reference.methods) == 3
    certified = np.concatenate([reference.digits_p, reference.digits_y0])
    values = weighted(problem, reference.gradient_p, reference.gradient_y0)
    # a component that is nothing beside the loss need not be known
    assert np.all(certified[np.abs(values) > 1e-15 * problem.loss_scale] >= 8)
    assert reference.digits_loss >= 11


def test_every_tier_finds_its_references_stored():
    for tier in TIERS.values():
        for name in tier.problems:
            for problem in judged(get_problem(name)):
                references.load(problem)


def test_chain_rule_against_the_variant_computed_directly():
    problem = get_problem("rober:scaled:logp")
    reference = references.load(problem)
    assert reference.problem == "rober"
    scaled = Scaled(problem)
    direct = collocate(scaled, integrate(scaled, MESH_RTOL)[0])
    assert direct.loss == pytest.approx(reference.loss, rel=1e-13)
    np.testing.assert_allclose(reference.gradient_p, direct.gradient_p, rtol=1e-12)
    np.testing.assert_allclose(reference.gradient_y0, direct.gradient_y0, rtol=1e-12)


def test_pollu_against_one_cheap_method():
    problem = get_problem("pollu")
    reference = references.load(problem)
    _, cheap = integrate(Scaled(problem), 1e-7)
    assert cheap.loss == pytest.approx(reference.loss, rel=1e-10)
    np.testing.assert_allclose(cheap.gradient_p, reference.gradient_p, rtol=1e-6)
    np.testing.assert_allclose(cheap.gradient_y0, reference.gradient_y0, rtol=1e-6)


def test_pollu_end_state_sums_to_the_published_one():
    assert references.load(get_problem("pollu:final")).loss == pytest.approx(
        POLLU_END_SUM, rel=1e-14
    )


@pytest.mark.parametrize("name", ["rober", "rober:fit=least-squares", "pollu:final"])
def test_slope_along_a_direction_is_the_solution_s_own(name):
    """Central differences of plain solves: no sensitivity code of ours takes part."""
    problem = get_problem(name)
    reference = references.load(problem)
    direction = np.random.default_rng(7).uniform(0.5, 1.0, problem.m + problem.n)
    along_p, along_y0 = np.split(direction, [problem.m])
    step = 1e-5

    def loss(size):
        p = problem.p * (1 + size * along_p)
        solution = solve_ivp(
            lambda t, y: problem.f(t, y, p),
            (problem.t0, problem.t1),
            problem.y0 + size * problem.y_scale * along_y0,
            method="Radau",
            t_eval=problem.times,
            rtol=1e-10,
            atol=1e-14 * problem.y_scale,
            jac=lambda t, y: problem.jacobian(t, y, p),
        )
        return float(problem.loss.value(solution.y.T, np))

    slope = (loss(step) - loss(-step)) / (2 * step)
    expected = weighted(problem, reference.gradient_p, reference.gradient_y0) @ direction
    assert slope == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["linear:1", "linear:1e2", "linear:1e4"])
def test_linear_closed_form_by_hand(name):
    problem = get_problem(name)
    found = references.load(get_problem(f"{name}:logp"))
    decay = problem.p[0]
    decays = np.exp(-decay * problem.times)
    assert found.loss == pytest.approx(np.sum(decays), rel=1e-14)
    assert found.gradient_p[0] == pytest.approx(-decay * np.sum(problem.times * decays), rel=1e-13)
    assert found.gradient_y0[0] == pytest.approx(np.sum(decays), rel=1e-14)


@pytest.mark.parametrize("decay", [1e2, 1e4, 1e8])
def test_slow_manifold_gradient_by_hand(decay):
    """d/dlambda of a cos t + b sin t, of order lambda^-2; no digit is lost to cancellation."""
    problem = get_problem(f"relaxation:{decay:g}:final")
    slopes = np.array([2 * decay, 1 - decay**2]) / (1 + decay**2) ** 2
    expected = slopes @ [np.cos(1.0), np.sin(1.0)]
    assert closed_form(problem).gradient_p[0] == pytest.approx(expected, rel=1e-13)


def test_without_closed_form_or_jacobians_the_digits_claimed_are_right():
    problem = get_problem("relaxation:1e2:off:t1=0.2")
    true = closed_form(problem)
    found = references.certify(replace(problem, exact=None))
    assert "closed form" not in {method.method for method in found.methods}
    for value, certified, right in (
        (found.gradient_p, found.digits_p, true.gradient_p),
        (found.gradient_y0, found.digits_y0, true.gradient_y0),
    ):
        assert certified[0] >= 10
        assert abs(value[0] / right[0] - 1) <= 10 ** (0.5 - certified[0])


def test_methods_that_disagree_certify_nothing():
    problem = get_problem("linear:1e2")
    wrong = replace(problem, exact=lambda t, y0, p: y0 * np.exp(-1.001 * p[0] * t))
    with pytest.raises(references.CertificationError, match="differ by"):
        references.certify(wrong)


def test_digits_are_those_that_agree():
    found = digits(np.array([1.0, 2.0, 0.0, 0.0, 3.0]), np.array([1.001, 2.0, 0.0, 1e-30, -3.0]))
    np.testing.assert_allclose(found, [2.9, 15.0, 15.0, 0.0, 0.0], atol=0.11)
    assert float(digits(1.0, 1.0 + 1e-9, 1.0 + 1e-5)) == pytest.approx(5.0, abs=0.11)


def test_floats_are_stored_exactly(stored):
    problem, folder, path = stored
    assert json.loads(path.read_text())["gradient_p"] == closed_form(problem).gradient_p.tolist()
    assert references.load(problem, folder).loss == closed_form(problem).loss


def test_missing_file_names_the_command(tmp_path):
    with pytest.raises(references.MissingReference, match="stiffgrad reference linear:1e2"):
        references.load(get_problem("linear:1e2:scaled"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def change(content, *keys, to):
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return content


DAMAGE = {
    "a digit of the gradient": lambda c: change(c, "gradient_p", 0, to=-0.5),
    "a digit of one method": lambda c: change(c, "methods", 1, "gradient_p", 0, to=-0.5),
    "more digits claimed": lambda c: change(c, "digits_loss", to=14.5),
    "another problem's name": lambda c: change(c, "problem", to="linear:1e4"),
    "a method left out": lambda c: change(c, "methods", to=c["methods"][:1]),
    "a gradient too long": lambda c: change(c, "methods", 0, "gradient_y0", to=[1.0, 2.0]),
    "a loss that is no number": lambda c: change(c, "methods", 0, "loss", to="high"),
    "no methods": lambda c: {k: v for k, v in c.items() if k != "methods"},
    "no object": lambda c: [c],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_content_is_detected(stored, damage):
    problem, folder, path = stored
    path.write_text(json.dumps(DAMAGE[damage](json.loads(path.read_text()))))
    with pytest.raises(references.CorruptReference, match="stiffgrad reference linear:1e2"):
        references.load(problem, folder)


def test_truncated_file_is_detected(stored):
    problem, folder, path = stored
    path.write_text(path.read_text()[:-40])
    with pytest.raises(references.CorruptReference):
        references.load(problem, folder)


def test_consistent_but_wrong_file_fails_the_comparison(stored):
    problem, folder, path = stored
    content = json.loads(path.read_text())
    for entry in (content, *content["methods"]):
        entry["gradient_p"] = [2 * value for value in entry["gradient_p"]]
    path.write_text(json.dumps(content))
    comparison = references.regenerate(problem, folder)
    assert not comparison.agrees
    wrong = [component.name for component in comparison.components if not component.agrees]
    assert wrong == ["dL/d lambda [1/s]"]


@pytest.mark.parametrize(
    "changes",
    [
        *({"p": np.array([101.0])}, {"y0": np.array([2.0])}, {"t0": 1e-9}),
        *({"times": np.array([1.0])}, {"loss": get_problem("linear:1e2:fit").loss}),
    ],
)
def test_reference_of_another_definition_is_refused(stored, changes):
    problem, folder, _ = stored
    with pytest.raises(references.StaleReference, match="another definition"):
        references.load(replace(problem, **changes), folder)


def test_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(references.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        references.ensure(get_problem("linear:1e2"), tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] in ([], [".lock"])


def test_another_folder_can_be_named(tmp_path):
    code = "from suite import references; print(references.FOLDER)"
    environment = os.environ | {"STIFFGRAD_REFERENCES": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path)


def test_two_processes_may_ensure_at_once(tmp_path):
    code = (
        "from problems import get_problem; from suite import references; "
        "print(references.ensure(get_problem('linear:1e3')).loss)"
    )
    environment = os.environ | {"STIFFGRAD_REFERENCES": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    losses = [process.communicate(timeout=100)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert len(set(losses)) == 1
    assert [path.name for path in tmp_path.glob("*.json")] == ["linear_1e3.json"]
    assert list(tmp_path.glob("*.part")) == []
