"""Verdicts on gradients made up to support and to contradict each claim."""

import numpy as np
import pandas as pd
import pytest

from studies import NotMeasured, _stability, _stiff_runs
from studies import vanishing_gradient as study
from studies._stability import SCHEMES

Z = -np.geomspace(1.0, 1e6, 13)


def steps(change=lambda name, n, values: values, true=lambda n, z: n * np.exp(n * z)):
    rows = []
    for name, scheme in SCHEMES.items():
        for n in (1, study.MANY):
            exact = scheme.after(Z, n)
            for z, closed, solver in zip(Z, exact, change(name, n, exact), strict=True):
                row = {"part": "step", "scheme": name, "steps": n, "z": z, "solver": solver}
                row |= {"closed": closed, "ad": closed if n == 1 else np.nan}
                rows.append({**row, "true": true(n, z)})
    for order in range(1, 6):
        for z in Z:
            row = {"part": "root", "scheme": f"bdf{order}", "z": z}
            rows.append({**row, "closed": (-z) ** (-1 - 1 / order)})
    return pd.DataFrame(rows)


def of_rate(rate):
    """One step of every scheme decays at this rate, and what is many steps stays."""
    return steps(lambda name, n, values: np.abs(Z) ** rate / 10 if n == 1 else values)


def outcome(judge, frame):
    return judge(frame).outcome


def test_closed_forms_and_solver_have_to_agree():
    assert outcome(study.judge_governed, steps()) == "confirmed"
    off = steps(lambda name, n, values: values * (1 + 1e-6 * (name == "radau3")))
    assert outcome(study.judge_governed, off) == "refuted"
    missing = steps(lambda name, n, values: np.full_like(values, np.nan))
    assert outcome(study.judge_governed, missing) == "refuted"


def test_every_scheme_has_to_decay():
    assert outcome(study.judge_universal, steps()) == "confirmed"
    assert outcome(study.judge_universal, of_rate(-0.5)) == "refuted"


def test_the_slowest_rate_is_a_bound_unless_it_is_attained():
    verdict = study.judge_slowest(steps())
    assert verdict.outcome == "confirmed with a difference" and "attained by no" in verdict.why
    assert outcome(study.judge_slowest, of_rate(-0.5)) == "refuted"

    def bound(name, n, values):
        return 0.9 * (1 - SCHEMES[name].value(Z) ** 2) / (2 * np.abs(Z)) if n == 1 else values

    assert outcome(study.judge_slowest, steps(bound)) == "confirmed"
    above = steps(lambda *a: 1.2 * bound(*a))
    assert outcome(study.judge_slowest, above) == "refuted"


def test_many_steps_decay_faster_and_are_still_larger_than_the_truth():
    assert outcome(study.judge_many, steps()) == "confirmed with a difference"
    assert outcome(study.judge_many, steps(true=lambda n, z: 1e9)) == "confirmed"
    slow = steps(lambda name, n, values: np.abs(Z) ** -2.0)
    assert outcome(study.judge_many, slow) == "refuted"


@pytest.mark.parametrize(
    ("outer", "found"), [(-1.0, "confirmed with a difference"), (1.0, "confirmed")]
)
def test_a_change_of_sign_is_a_difference(outer, found):
    root = {"part": "sign", "scheme": "radau3", "z": -8.2, "closed": -8.196}
    sign = pd.DataFrame([{**root, "inner": 1.0, "outer": outer}])
    assert outcome(study.judge_sign, pd.concat([steps(), sign])) == found


def forced(**errors):
    rows = [
        {"part": "forced", "scheme": name, "where": where, "rate": -1e6, "true": 1e-12}
        | {"solver": 1e-12 * (1 + error)}
        for name, error in errors.items()
        for where in ("on", "off")
    ]
    return pd.DataFrame(rows)


def test_a_gradient_that_the_ode_has_is_kept_or_lost():
    judge = study.judge_parameters
    assert outcome(judge, forced(radau5=1e-5, gauss4=9.0)) == "confirmed with a difference"
    assert outcome(judge, forced(radau5=0.9)) == "refuted"
    with pytest.raises(NotMeasured):
        judge(forced(gauss4=0.1))


def test_schemes_are_alike_or_not_off_the_manifold():
    verdict = study.judge_off(forced(radau5=1e-5, trapezoid=480.0))
    assert verdict.outcome == "confirmed with a difference" and "trapezoid" in verdict.why
    assert outcome(study.judge_off, forced(radau5=1e-5, trapezoid=1e-3)) == "confirmed"


def single(large, small):
    rows = [
        {"part": "single", "scheme": "radau5", "closed": 1e-20, "solver": large},
        {"part": "single", "scheme": "radau5", "closed": 1e-50, "solver": small},
    ]
    return pd.DataFrame(rows)


def test_single_precision_loses_what_it_cannot_hold():
    assert outcome(study.judge_single, single(1e-20, 0.0)) == "confirmed"
    assert outcome(study.judge_single, single(1e-20, np.nan)) == "confirmed with a difference"
    assert outcome(study.judge_single, single(0.0, 0.0)) == "confirmed with a difference"
    assert outcome(study.judge_single, single(1e-20, 1e-30)) == "refuted"


def adaptive(noise, off):
    rows = [
        {"problem": "linear:1e4:final", "rate": -1e4, "solver": noise, "true": 0.0},
        {"problem": "relaxation:1e6:final", "rate": -1e6, "solver": 1 + off, "true": 1.0},
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(part="adaptive", status="ok", method="scipy/radau/forward")


def test_adaptive_solvers_have_a_floor_and_keep_the_slow_manifold():
    verdict = study.judge_adaptive(adaptive(1e-12, 1e-3))
    assert verdict.outcome == "confirmed with a difference" and "kept" in verdict.why
    lost = study.judge_adaptive(adaptive(1e-12, 5.0))
    assert lost.outcome == "confirmed with a difference" and "scipy/radau/forward" in lost.why
    assert outcome(study.judge_adaptive, adaptive(1e-3, 1e-3)) == "refuted"


@pytest.mark.parametrize("claim", study.CLAIMS, ids=lambda claim: claim.name)
def test_nothing_measured_is_no_verdict(claim):
    empty = pd.DataFrame({"part": [""], "scheme": [""], "status": [""], "steps": [1]})
    with pytest.raises(NotMeasured):
        claim.judge(empty.assign(where="", z=0.0, solver=0.0, closed=0.0))


@pytest.mark.parametrize("name", SCHEMES)
def test_tabled_rates_limits_and_roots_follow_from_the_stability_functions(name):
    scheme = SCHEMES[name]
    z = -1e6
    assert scheme.derivative(z) * z**scheme.rate == pytest.approx(scheme.limit, rel=1e-4)
    np.testing.assert_allclose(scheme.derivative_roots(), scheme.roots, rtol=2e-4)
    # consistency: e^z to second order at least, to first for backward Euler
    small = 1e-3
    order = 1 if name == "backward-euler" else 2
    assert abs(scheme.value(small) - np.exp(small)) < small ** (order + 1)
    # the derivative, by a central difference
    step = 1e-5
    slope = (scheme.value(-3 + step) - scheme.value(-3 - step)) / (2 * step)
    assert scheme.derivative(-3.0) == pytest.approx(slope, rel=1e-6)


def test_the_tableaus_are_those_of_the_closed_forms():
    z = -np.array([0.5, 3.0, 20.0])
    for name in ("radau5", "sdirk2"):
        expected = SCHEMES[name].derivative(z)
        np.testing.assert_allclose(_stability.by_tableau(name, z), expected, rtol=1e-9)


def test_the_solver_differentiates_as_the_stability_function_says():
    for rate in (-1.0, -100.0):
        ((one, first), (_, many)) = _stability.by_solver("radau3", rate, 1.0, (1, 10))
        assert one == pytest.approx(SCHEMES["radau3"].value(rate), rel=1e-12)
        assert first == pytest.approx(SCHEMES["radau3"].derivative(rate), rel=1e-10)
        assert many == pytest.approx(SCHEMES["radau3"].after(rate, 10), rel=1e-9)


def test_the_exact_sensitivity_of_the_forced_problem_is_of_order_two():
    assert _stiff_runs.true_forced(-1e6, 1.0) * 1e12 == pytest.approx(np.sin(1.0), rel=1e-5)
    # beside the manifold there is the decay's own, early on
    assert _stiff_runs.true_forced(-10.0, 2.0, t=0.1) == pytest.approx(
        0.1 * np.exp(-1.0) + _stiff_runs.true_forced(-10.0, 1.0, t=0.1), rel=1e-9
    )


def test_adaptive_gradients_are_measured_through_the_registry():
    row = _stiff_runs.adaptive("adaptive", "scipy/radau/forward", "linear:1:final")
    assert row["true"] == pytest.approx(-np.exp(-1.0), rel=1e-9)
    assert row["solver"] == pytest.approx(row["true"], rel=1e-5)
    slow = _stiff_runs.adaptive("adaptive", "scipy/radau/forward", "relaxation:1e6:off:final")
    assert slow["solver"] == pytest.approx(slow["true"], rel=1e-2)
