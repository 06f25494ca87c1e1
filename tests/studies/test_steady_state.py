"""Equilibria with known gradients, the solvers that find them, and verdicts on made-up frames."""

import numpy as np
import pandas as pd
import pytest

from studies import NotMeasured
from studies import steady_state as study
from studies._equilibria import make

CONDITIONS = (1e2, 1e4, 1e6, 1e8)


def made(
    growth=1.0,
    size=1e-8,
    mended=1e-6,
    lost=("broyden",),
    krylov=(50, 290),
    stagnates=False,
    wide=1e-9,
    long=1e-11,
):
    """Rows like those of a run."""
    rows = []
    for family in study.FAMILIES:
        for condition in CONDITIONS:
            about = {"family": family, "condition": condition, "status": "ok", "reason": ""}
            error = min(size * condition**growth, 0.5)
            for solver in study.FORWARD:
                bad = solver in lost and condition > 1e3
                rows.append(
                    about
                    | {"part": "implicit", "solver": solver, "stop": 1e-6, "iterations": 5}
                    | ({"status": "diverged"} if bad else {})
                    | {"error": error, "polished_error": mended * error}
                )
            rows.append(about | {"part": "linear", "solver": "LU", "error": 1e-12})
            if family == "layer":
                rows.append(about | {"part": "linear", "solver": "wide LU", "error": wide})
                count = krylov[0] if condition == CONDITIONS[0] else krylov[1]
                rows.append(
                    about
                    | {"part": "linear", "solver": "GMRES", "error": 1e-6, "iterations": count}
                    | ({"status": "diverged"} if stagnates and condition > 1e6 else {})
                )
            for horizon in study.HORIZONS:
                rows.append(
                    about
                    | {"part": "through time", "solver": "rodas5p", "horizon": horizon}
                    | {"error": max(np.exp(-horizon), long), "iterations": 300}
                )
    return pd.DataFrame(rows)


def test_forward_passes_fail_where_the_jacobian_is_not_factorised():
    assert study.judge_forward(made()).outcome == "confirmed with a difference"
    assert study.judge_forward(made(lost=tuple(study.FORWARD))).outcome == "confirmed"
    assert study.judge_forward(made(lost=())).outcome == "refuted"


def test_the_error_at_a_fixed_residual_grows_with_the_condition():
    assert study.judge_adjoint(made()).outcome == "confirmed"
    assert study.judge_adjoint(made(growth=0.5)).outcome == "confirmed with a difference"
    assert study.judge_adjoint(made(growth=0.0)).outcome == "refuted"
    with pytest.raises(NotMeasured):
        study.judge_adjoint(made(size=1e-30))


def test_a_newton_step_mends_the_gradient_or_not():
    assert study.judge_stabilised(made()).outcome == "confirmed"
    assert study.judge_stabilised(made(mended=0.5)).outcome == "refuted"
    frame = made()
    frame.loc[frame["condition"] == 1e4, "polished_error"] = 0.3
    assert study.judge_stabilised(frame).outcome == "confirmed with a difference"


def test_krylov_iterations_are_judged_by_their_growth():
    assert study.judge_krylov(made()).outcome == "confirmed"
    assert study.judge_krylov(made(krylov=(50, 60))).outcome == "refuted"
    assert study.judge_krylov(made(wide=1e-3)).outcome == "refuted"
    assert study.judge_krylov(made(stagnates=True)).outcome == "confirmed with a difference"


def test_a_long_integration_is_as_good_as_its_tolerance():
    assert study.judge_long(made()).outcome == "confirmed"
    assert study.judge_long(made(long=1e-4)).outcome == "confirmed with a difference"
    assert study.judge_long(made(long=0.5)).outcome == "refuted"
    frame = made()
    frame.loc[frame["part"] == "through time", "status"] = "diverged"
    assert study.judge_long(frame).outcome == "refuted"


def test_verdicts_need_rows():
    empty = made().iloc[:0]
    for claim in study.CLAIMS:
        with pytest.raises(NotMeasured):
            claim.judge(empty)


@pytest.mark.parametrize("family", study.FAMILIES)
def test_the_gradients_of_the_equilibria_are_right(family):
    """Central differences of equilibria found anew, at a mild condition number."""
    found = make(family, 1e3)
    assert found.condition == pytest.approx(1e3, rel=5)
    assert np.abs(found.rhs(found.y, found.p, np)).max() < 1e-13
    direction = np.random.default_rng(1).normal(size=found.p.size) * found.p_scale
    ends = []
    for sign in (1, -1):
        y, p = found.y, found.p + sign * 1e-5 * direction
        for _ in range(20):
            y = y - np.linalg.solve(found.jacobian(y, p), found.rhs(y, p, np))
        ends.append(found.weights @ y)
    slope = (ends[0] - ends[1]) / 2e-5
    assert slope == pytest.approx(found.gradient @ (direction / found.p_scale), rel=1e-6)


@pytest.mark.parametrize("solver", study.FORWARD)
def test_solvers_stop_at_the_residual_asked_for(solver):
    found = make("layer", 10.0, 6)
    y, iterations = study.FORWARD[solver](found, 1e-8)
    assert iterations > 1
    assert np.linalg.norm(found.rhs(y, found.p, np)) <= 1e-8
    assert study._error(found, study.implicit_gradient(found, y)) < 1e-5


def test_a_solver_that_does_not_arrive_says_so():
    found = make("layer", 1e8)
    assert study.broyden(found, 1e-10)[0] is None
    row = study._implicit(found, "broyden", 1e-10)
    assert row["status"] == "diverged" and "error" not in row


def test_a_case_is_measured_in_every_part():
    rows = pd.DataFrame(study.measure("reactor", 1e3))
    assert set(rows["part"]) == {"implicit", "linear", "through time"}
    assert rows["error"].min() < 1e-12
    longest = rows[rows["horizon"] == study.LONG]
    assert longest["error"].item() < 1e-8


def test_the_figure_draws_from_a_frame():
    figure = study.draw(made())
    assert len(figure.axes) == 4
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in figure.axes)


def test_numbers_are_the_exponents():
    assert study.numbers(made())["exponent layer"] == pytest.approx(1.0, abs=0.01)
