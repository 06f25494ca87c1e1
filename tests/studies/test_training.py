"""Verdicts on trainings made up to support and to contradict each claim, and a few real epochs."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from problems import get_problem
from studies import (
    NotMeasured,
    _training_cost,
    _training_frame,
    _training_rows,
    _training_run,
    _training_study,
    get_study,
)
from studies import _training as training
from studies._training import BASELINE, BOTH, OURS, PLAIN, POLLU, ROBER, STEER, TANH, UNSCALED
from studies.training_rober import MARKS

LIKE_THE_PAPER = {
    PLAIN: 0.05,
    BASELINE: 2e7,
    UNSCALED: 0.5,
    TANH: 0.1,
    STEER: 0.02,
    training.ANNEALED: 0.03,
    BOTH: 0.01,
}


def made(misfits=LIKE_THE_PAPER, ms=0.8, rough=0.1, peak=1.0, forward=10.0, off=0.0):
    """Two seeds of every recipe, 10 000 epochs each, ending with these misfits."""
    rows = []
    for recipe, misfit in misfits.items():
        for seed in training.SEEDS[:2]:
            of = {"recipe": recipe, "seed": seed, "epochs": 10000, "status": "ok"}
            below = misfit < MARKS.trivial
            roughness = rough if recipe == BASELINE else 0.05
            run = {"ms": ms, "ms_least": ms / 2, "compile_seconds": 20.0, "roughness": roughness}
            run["failed"] = 0
            run["peak"] = peak if recipe == BASELINE else 2.0
            curve = {"part": "curve", "misfit": misfit, "norm": 1.0}
            profile = {"part": "profile", "species": "y1", "truth": 1.0, "value": 1.0 + off}
            parts = [
                {"part": "run", **run},
                {"part": "at", "epoch": 10000.0, "misfit": misfit},
                {"part": "at", "epoch": 1000.0, "misfit": 2 * misfit},
                {"part": "milestone", "level": MARKS.trivial}
                | {"epoch": 1e4 * misfit if below else np.nan},
                *({**curve, "epoch": epoch} for epoch in (1.0, 100.0)),
                *({**profile, "time": t, "truth": t, "value": t + off} for t in (0.0, 1.0)),
            ]
            rows += [{**of, **part} for part in parts]
    for name, cost in (("discrete", 1.0), ("forward-discrete", forward)):
        method = f"stiffgrad-jax/rodas5p/{name}"
        row = {"part": "gradient", "method": method, "state": "trained", "ms": cost}
        rows.append({**row, "status": "ok"})
    return pd.DataFrame(rows)


def outcome(claim, frame, study="training-rober"):
    (judge,) = [c.judge for c in get_study(study).claims if c.name == claim]
    return judge(frame).outcome


@pytest.mark.parametrize(
    ("claim", "recipe"), [("baseline fails", BASELINE), ("scaling is essential", UNSCALED)]
)
def test_to_fail_is_never_to_be_better_than_trivial(claim, recipe):
    assert outcome(claim, made()) == "confirmed"
    assert outcome(claim, made({recipe: 0.1})) == "refuted"
    with pytest.raises(NotMeasured):
        outcome(claim, made({PLAIN: 0.1}))


def test_the_baselines_gradient_may_be_rough_or_smooth():
    assert outcome("gradient norms", made(rough=0.1)) == "confirmed"
    assert outcome("gradient norms", made(rough=1e-9)) == "refuted"
    exploded = made(rough=1e-9, peak=1e4)
    assert outcome("gradient norms", exploded) == "confirmed with a difference"


@pytest.mark.parametrize(
    ("misfit", "expected"),
    [(0.05, "confirmed"), (0.12, "confirmed with a difference"), (0.2, "refuted")],
)
def test_the_recorded_loss_is_reached_nearly_reached_or_not(misfit, expected):
    assert outcome("recorded at 10000", made({PLAIN: misfit})) == expected


def test_what_was_not_trained_so_far_is_not_judged():
    with pytest.raises(NotMeasured):
        outcome("recorded at 50000", made())


@pytest.mark.parametrize(
    ("off", "expected"), [(0.01, "confirmed"), (0.5, "refuted"), (np.nan, "refuted")]
)
def test_species_are_judged_by_their_ranges(off, expected):
    assert outcome("every species", made(off=off)) == expected


@pytest.mark.parametrize(
    ("misfit", "expected"),
    [(0.1, "confirmed"), (0.01, "confirmed with a difference"), (0.3, "refuted")],
)
def test_a_shallow_network_learns_more_slowly_as_fast_or_not(misfit, expected):
    assert outcome("shallow tanh", made({**LIKE_THE_PAPER, TANH: misfit})) == expected


def test_acceleration_is_by_both_one_or_neither():
    worse = {STEER: 1.0, training.ANNEALED: 1.0, BOTH: 1.0}
    assert outcome("acceleration", made()) == "confirmed"
    one = {**LIKE_THE_PAPER, **worse, STEER: 0.01}
    assert outcome("acceleration", made(one)) == "confirmed with a difference"
    assert outcome("acceleration", made({**LIKE_THE_PAPER, **worse})) == "refuted"


def test_two_hours_are_two_hours_or_less():
    assert outcome("training time", made(ms=0.8)) == "confirmed with a difference"
    assert outcome("training time", made(ms=720.0)) == "confirmed"
    assert outcome("training time", made(ms=7200.0)) == "refuted"


def test_forward_mode_is_cheaper_or_not():
    assert outcome("forward mode", made(forward=10.0)) == "refuted"
    assert outcome("forward mode", made(forward=0.5)) == "confirmed"
    frame = made(forward=0.5)
    other = frame[frame["part"] == "gradient"].copy()
    other["method"] = other["method"].str.replace("rodas5p", "rodas4")
    other["ms"] = 1 / other["ms"]
    mixed = pd.concat([frame, other])
    assert outcome("forward mode", mixed) == "confirmed with a difference"
    with pytest.raises(NotMeasured):
        outcome("forward mode", frame[frame["part"] != "gradient"])


def test_longer_trainings_are_seen_where_the_shorter_end():
    frame = made()
    one = (frame["recipe"] == PLAIN) & (frame["seed"] == training.SEEDS[0])
    frame.loc[one, "epochs"] = 50000
    last = {"part": "at", "recipe": PLAIN, "seed": training.SEEDS[0], "epochs": 50000}
    last |= {"epoch": 50000.0, "misfit": 0.001, "status": "ok"}
    frame = pd.concat([frame, pd.DataFrame([last])])
    assert _training_frame.late(frame, PLAIN).tolist() == [0.05, 0.05]
    assert _training_frame.after(frame, PLAIN, 50000).tolist() == [0.001]


@pytest.mark.parametrize("status", ["diverged", "timeout", "crashed"])
def test_a_lost_training_counts_among_the_seeds(status):
    frame = made()
    lost = {"recipe": PLAIN, "epochs": 10000, "status": status}
    frame = pd.concat([frame, pd.DataFrame([{**lost, "seed": seed} for seed in (98, 99)])])
    found = _training_frame.late(frame, PLAIN)
    assert found.tolist() == [0.05, 0.05, np.inf, np.inf]
    assert _training_frame.spread(found) == "inf (0.05 to inf, 4 seeds, 2 of them lost)"
    assert outcome("recorded at 10000", frame) == "refuted"
    assert outcome("every species", frame) == "refuted"
    assert _training_frame.epochs_to(frame, PLAIN, MARKS.trivial).median() == np.inf


@pytest.mark.parametrize("problem", ["rober", "pollu"])
def test_no_seed_of_a_recipe_is_trained_twice_nor_was_used_to_choose_it(problem):
    marks = get_study(f"training-{problem}").claims[0].judge.keywords["marks"]
    for quick in (True, False):
        plan = _training_study._plan(marks, quick)
        trained = [(recipe, seed) for recipe, seeds, _ in plan for seed in seeds]
        assert len(trained) == len(set(trained))
        assert not {0, 1, 2} & {seed for _, seed in trained}
    assert {epochs for *_, epochs in plan} == {10000, marks.long}


def test_our_own_recipe_is_a_row_of_its_own():
    assert outcome("own recipe", made({OURS: 0.05})) == "confirmed"
    assert outcome("own recipe", made({OURS: 0.2})) == "refuted"
    with pytest.raises(NotMeasured):
        outcome("own recipe", made({PLAIN: 0.05}))


def test_numbers_are_of_the_plain_recipe():
    assert _training_study.numbers(made())["scaled ms"] == 0.4
    assert _training_study.numbers(made())["scaled misfit 1000"] == 0.1


@pytest.mark.parametrize(
    ("name", "species"),
    [
        ("training-rober", ("y1", "y2", "y3")),
        ("training-pollu", ("NO2 [ppm]", "O3P [ppm]", "MEO2 [ppm]")),
    ],
)
def test_the_figure_draws_from_a_frame(name, species):
    frame = made()
    wanted = frame["part"] == "profile"
    profiles = [frame[wanted].assign(species=one) for one in species]
    figure = get_study(name).draw(pd.concat([frame[~wanted], *profiles]))
    assert len(figure.axes) == 6
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in figure.axes[:2])


@pytest.mark.parametrize(("task", "count"), [(ROBER, 188), (POLLU, 650)])
def test_the_networks_are_the_papers(task, count):
    problem = training.neural(task, training.recipes(task)[PLAIN])
    assert problem.m == count == len(problem.p)


@pytest.mark.parametrize(("task", "constant"), [(ROBER, 0.3232), (POLLU, 0.6628)])
def test_the_misfit_of_the_start_is_known(task, constant):
    start = np.tile(get_problem(task.problem).y0, (len(task.times), 1))
    assert task.misfit(start) == pytest.approx(constant, abs=5e-4)


def test_a_rate_is_annealed_to_its_last_part():
    recipe = training.recipes(ROBER)[training.ANNEALED]
    rates = recipe.rates(1000)
    assert rates[0] == training.RATE and np.all(np.diff(rates) < 0)
    assert rates[-1] == pytest.approx(training.LAST_PART * training.RATE, rel=1e-2)
    assert np.all(training.recipes(ROBER)[PLAIN].rates(10) == training.RATE)


def test_steer_draws_from_the_later_half():
    counts = training.recipes(ROBER)[STEER].counts(ROBER, 0, 1000)
    assert counts.min() == 25 and counts.max() == 50
    assert np.all(training.recipes(ROBER)[PLAIN].counts(ROBER, 0, 10) == 50)


@pytest.fixture(scope="module")
def small():
    """A recipe of a network that compiles fast, and its first hundred epochs."""
    pytest.importorskip("optax")
    recipe = training.Recipe(PLAIN, (4,), "tanh")
    return recipe, _training_run.train(ROBER, recipe, 10, 100)


def test_training_lowers_the_loss(small):
    _, history = small
    epochs = history.epochs
    assert len(epochs.loss) == 100 and not epochs.failed.any()
    assert epochs.misfit[-1] < 0.9 * epochs.misfit[0]
    np.testing.assert_allclose(epochs.loss, epochs.misfit)
    assert np.all(epochs.norm > 0) and np.all(epochs.steps > 0)


def test_the_first_epoch_is_that_of_the_problem_by_another_method(small):
    recipe, history = small
    found = _training_run.train(ROBER, recipe, 10, 100)
    np.testing.assert_array_equal(found.weights, history.weights)
    problem = training.neural(ROBER, recipe)
    bound = _training_cost.solver(problem, _training_cost.TIGHT)
    gradient = bound.gradient(problem.y0, problem.p, 1e-9, 1e-13)()
    assert gradient.loss == pytest.approx(history.epochs.loss[0], rel=5e-3)
    assert np.linalg.norm(gradient.p) == pytest.approx(history.epochs.norm[0], rel=0.05)


def test_a_clipped_gradient_is_recorded_as_it_was(small):
    recipe, history = small
    clipped = _training_run.train(ROBER, replace(recipe, largest_norm=1e-12), 10, 100)
    assert clipped.epochs.norm[0] == pytest.approx(history.epochs.norm[0])
    # Adam is blind to a gradient's size but for its epsilon of 1e-8
    assert np.abs(clipped.weights - training.network(ROBER, recipe).initial(10)).max() < 1e-3


def test_epochs_come_in_chunks(small):
    with pytest.raises(ValueError, match="multiple of 100"):
        _training_run.train(ROBER, small[0], 0, 150)


def test_milestones_are_first_epochs():
    misfit = np.concatenate([np.full(120, 0.2), np.full(80, 0.1)])
    flat = np.zeros(200)
    epochs = _training_run.Epochs(misfit, misfit, flat + 1, flat, flat)
    history = _training_run.History(epochs, flat, np.array([0.5, 1.0]))
    found = _training_rows.milestones(history, (0.15, 0.05))
    assert (found[0]["epoch"], found[0]["seconds"]) == (121.0, 1.0)
    assert np.isnan(found[1]["epoch"])


def epochs_failing(failed):
    failed = np.array(failed)
    values = np.where(failed, np.nan, 0.5)
    return _training_run.Epochs(values, values, values, values, failed)


def test_a_training_without_gradients_has_diverged_and_its_misfit_is_infinite():
    few = epochs_failing([False] * 960 + [True] * 40)
    assert _training_rows.outcome(few)["status"] == "ok"
    assert _training_rows.at_epochs(few)[0]["misfit"] == 0.5
    lost = epochs_failing([False] * 900 + [True] * 100)
    found = _training_rows.outcome(lost)
    assert found["status"] == "diverged" and "epoch 900" in found["reason"]
    assert _training_rows.at_epochs(lost)[0]["misfit"] == np.inf


def test_a_training_that_is_lost_ends(monkeypatch, small):
    recipe, history = small
    monkeypatch.setattr(_training_run, "LOST", 200)
    failing = (history.weights, ()), epochs_failing([True] * 100)
    optimiser = SimpleNamespace(init=lambda p: ())
    made_up = (lambda *arguments: failing, optimiser)
    monkeypatch.setattr(_training_run, "program", lambda *arguments: made_up)
    assert len(_training_run.train(ROBER, recipe, 10, 1000).epochs.loss) == 200


def test_a_rough_norm_jumps():
    assert _training_rows.roughness(np.array([1.0, 10.0, 1.0, 10.0])) == pytest.approx(1.0)
    assert _training_rows.roughness(np.ones(5)) == 0.0


@pytest.mark.parametrize("problem", ["rober", "pollu"])
def test_the_species_in_the_figure_are_the_problems(problem):
    drawn = get_study(f"training-{problem}").draw.keywords["species"]
    assert set(drawn) <= set(get_problem(problem).states)
