"""Verdicts on round trips of Robertson's reaction made up to support and contradict each claim."""

import numpy as np
import pandas as pd
import pytest

from adapters import SolverFailure
from problems import get_problem
from studies import NotMeasured
from studies import reversibility_rober as study
from studies._back import as_far_as_it_goes, way_back

BDF, RADAU = "scipy/bdf/forward", "scipy/radau/forward"
PAPER = {1e-6: 0.72, 1e-7: 0.38, 1e-8: 0.05, 1e-9: 0.004, 1e-10: 0.001}


def made(bdf, radau=1e-4, forward_error=1e-5, y2_gap=1e-10):
    """Round trips with `bdf` (rtol -> error, None where it failed) at every atol, and the rest."""
    rows = []
    for factor in (study.EQUAL, study.SMALL):
        for rtol, error in bdf.items():
            for method, value in ((BDF, error), (RADAU, radau)):
                rows.append(
                    {
                        "part": "error",
                        "method": method,
                        "factor": factor,
                        "rtol": rtol,
                        "error": value,
                        "forward_error": forward_error,
                        "status": "ok" if value is not None else "diverged",
                    }
                )
    states = {"y1": 0.5, "y2": 7e-8, "y3": 0.5, "eigenvalue": 1e4, "stopped": ""}
    about = {"part": "trajectory", "method": BDF, "factor": 1.0, "rtol": 1e-6, "status": "ok"}
    for direction, gap in (("forward", 0.0), ("back", y2_gap)):
        for s in (study.ZOOM, 9e4):
            point = {"direction": direction, "s": s, "t": 1e5 - s}
            rows.append({**about, **states, **point, "y2": 7e-8 + gap})
    rows += [{"part": "true", "s": s, "y2": 7e-8} for s in (0.0, study.ZOOM)]
    rows += [{"part": "spectrum", "t": t, "eigenvalue": 1e4} for t in (1.0, 1e5)]
    return pd.DataFrame(rows).fillna({"method": "", "status": "", "stopped": "", "direction": ""})


def outcomes(frame):
    return {
        claim.name: verdict.outcome
        for claim, verdict in zip(study.CLAIMS, study.STUDY.verdicts(frame), strict=True)
    }


def test_the_papers_own_numbers_would_be_confirmed():
    found = outcomes(made(PAPER, radau=0.5))
    assert set(found.values()) == {"confirmed"}, found


def test_errors_far_below_the_papers_are_refuted():
    found = outcomes(made({rtol: 1e-6 for rtol in PAPER}))
    for rtol in ("1e-06", "1e-07", "1e-08"):
        assert found[f"error at {rtol}"] == "refuted"
    assert found["0.1 % below 1e-10"] == "refuted"
    assert found["imperceptible"] == "refuted"


def test_what_does_not_come_back_differs():
    found = outcomes(made({**PAPER, 1e-6: None, 1e-7: 5.0}))
    assert found["error at 1e-06"] == "confirmed with a difference"
    assert found["error at 1e-07"] == "confirmed with a difference"
    assert found["error at 1e-08"] == "confirmed"


def test_an_integrator_that_comes_back_makes_a_difference():
    assert outcomes(made(PAPER))["difficult to reverse"] == "confirmed with a difference"


@pytest.mark.parametrize(
    ("gap", "outcome"),
    [(1e-10, "confirmed"), (1e-12, "confirmed with a difference"), (1e-8, "refuted")],
)
def test_the_error_of_y2_at_the_start_of_the_way_back(gap, outcome):
    assert outcomes(made(PAPER, y2_gap=gap))["y2 at the start"] == outcome


def test_without_a_bdf_nothing_is_judged_by_it():
    frame = made(PAPER)
    late = frame.assign(status=frame["status"].mask(frame["method"] == BDF, "timeout"))
    for without in (frame[frame["method"] != BDF], late):
        with pytest.raises(NotMeasured, match="no BDF"):
            study.CLAIMS[0].judge(without)


def test_the_figure_draws_from_a_frame_with_failures():
    figure = study.draw(made({**PAPER, 1e-6: None}))
    assert len(figure.axes) == 6
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in figure.axes)


def test_numbers_are_named_by_integrator_and_tolerance():
    numbers = study.numbers(made({**PAPER, 1e-6: None}))
    assert numbers["scipy/bdf 1e-08"] == 0.05 and np.isnan(numbers["scipy/bdf 1e-06"])


def test_scipys_bdf_comes_back_from_1e5_some_percent_off():
    row = study.round_trip("error", BDF, study.EQUAL, 1e-8)
    assert 0.03 < row["error"] < 0.15
    assert row["forward_error"] < 1e-2


def test_a_way_back_is_the_forward_problem_reversed():
    problem = get_problem("linear:1")
    back = way_back(problem, np.array([np.exp(-1.0)]), np.array([0.5, 1.0]))
    ys = study.load(back, study.get_method(RADAU)).forward(back.y0, back.p, 1e-9, 1e-12)().ys
    np.testing.assert_allclose(ys[:, 0], np.exp([-0.5, 0.0]), rtol=1e-7)
    np.testing.assert_array_equal(back.jacobian(0.0, back.y0, back.p), [[1.0]])


@pytest.mark.parametrize("last", range(6))
def test_a_way_back_is_followed_as_far_as_it_goes(last):
    """Whatever the stop, the last stretch that can be solved is found."""
    problem = get_problem("linear:1")
    back = way_back(problem, problem.y0, np.linspace(0.1, 0.5, 5))

    class Stops:
        def __init__(self, part):
            self.size = part.times.size

        def forward(self, *arguments):
            if self.size > last:
                raise SolverFailure("stopped")
            return lambda: type("Solution", (), {"ys": np.ones((self.size, 1))})

    states, why = as_far_as_it_goes(Stops, back, 1e-6, 1e-6)
    assert len(states) == min(last, 5)
    assert why == ("stopped" if last < 5 else "")
