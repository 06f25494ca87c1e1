"""Verdicts on per-layer gradients made up to support and to contradict each claim."""

import numpy as np
import pandas as pd
import pytest

from studies import NotMeasured, _layer_runs, _layers
from studies import ad_oscillation as study

STEPS = (20, 40, 80)
# As found: the order and the oscillation index (times that of the true gradient) of each variant.
FOUND = {
    ("leapfrog", "raw"): (0.0, 60.0),
    ("leapfrog", "filter"): (2.0, 1.0),
    ("leapfrog", "Gragg"): (2.0, 1.1),
    ("ab2", "raw"): (0.0, 1.9),
    ("ab2", "interior"): (1.8, 1.0),
    ("bdf2", "raw"): (0.0, 0.3),
    ("bdf2", "interior"): (2.0, 1.0),
    ("midpoint", "raw"): (0.0, 100.0),
    ("heun", "raw"): (2.0, 1.0),
    ("ralston", "raw"): (0.0, 50.0),
    **{(name, "stage sum"): (2.0, 1.0) for name in study.TWO_STAGES},
    **{(name, "node costate"): (2.0, 1.0) for name in study.TWO_STAGES},
}


def rates(changed=(), part="rate"):
    rows = []
    for (scheme, variant), (order, index) in {**FOUND, **dict(changed)}.items():
        for n in STEPS:
            error = n ** (-order)
            row = {"part": part, "scheme": scheme, "variant": variant, "steps": n}
            row |= {"sup": error, "l2": error, "relative": error}
            rows.append({**row, "index": index / n, "index_true": 1 / n})
    return pd.DataFrame(rows)


def outcome(judge, frame):
    return judge(frame).outcome


def test_leapfrog_has_to_oscillate_and_not_to_converge():
    assert outcome(study.judge_leapfrog, rates()) == "confirmed"
    converges = {("leapfrog", "raw"): (2.0, 60.0)}
    smooth = {("leapfrog", "raw"): (0.0, 1.0)}
    assert outcome(study.judge_leapfrog, rates(converges)) == "refuted"
    assert outcome(study.judge_leapfrog, rates(smooth)) == "refuted"


def test_other_multistep_methods_differ_if_only_their_ends_are_wrong():
    assert outcome(study.judge_multistep, rates()) == "confirmed with a difference"
    everywhere = {(name, "interior"): (0.0, 60.0) for name in ("ab2", "bdf2")}
    assert outcome(study.judge_multistep, rates(everywhere)) == "confirmed"
    nowhere = {(name, "raw"): (2.0, 1.0) for name in ("ab2", "bdf2")}
    assert outcome(study.judge_multistep, rates(nowhere)) == "refuted"


def test_two_stage_methods_differ_if_one_of_them_converges():
    verdict = study.judge_two_stages(rates())
    assert verdict.outcome == "confirmed with a difference" and "heun" in verdict.why
    assert outcome(study.judge_two_stages, rates({("heun", "raw"): (0.0, 9.0)})) == "confirmed"
    fine = {(name, "raw"): (2.0, 1.0) for name in study.TWO_STAGES}
    assert outcome(study.judge_two_stages, rates(fine)) == "refuted"


@pytest.mark.parametrize("bad", [(1.0, 1.0), (2.0, 30.0)])
def test_a_filter_has_to_converge_at_second_order_without_oscillation(bad):
    assert outcome(study.judge_filter, rates()) == "confirmed"
    assert outcome(study.judge_filter, rates({("leapfrog", "filter"): bad})) == "refuted"


@pytest.mark.parametrize("variant", ["stage sum", "node costate"])
def test_every_correction_of_two_stage_methods_has_to_be_of_second_order(variant):
    assert outcome(study.judge_stage_sum, rates()) == "confirmed"
    slow = {("ralston", variant): (1.0, 1.0)}
    verdict = study.judge_stage_sum(rates(slow))
    assert verdict.outcome == "refuted" and f"ralston {variant}" in verdict.why


def trained(raw, filtered):
    rows = []
    for variant, (discrete, loss) in {"raw": raw, "filter": filtered}.items():
        rows.append({"part": "training", "variant": variant, "epoch": 0, "loss": 0.28})
        row = {"part": "training", "variant": variant, "epoch": 400}
        rows.append({**row, "discrete": discrete, "loss": loss})
        rows.append({"part": "theta", "variant": variant, "t": 0.0, "variation": 4.0})
    return pd.DataFrame(rows)


def test_training_is_judged_by_the_loss_of_the_ode():
    judge = study.judge_training
    assert outcome(judge, trained((1e-32, 0.24), (5e-4, 5e-4))) == "confirmed"
    assert outcome(judge, trained((1e-2, 0.24), (5e-4, 5e-4))) == "confirmed with a difference"
    assert outcome(judge, trained((1e-32, 1e-3), (5e-4, 5e-4))) == "refuted"


def test_shared_parameters_are_no_defect_if_their_gradients_converge():
    def shared(order):
        return rates({key: (order, 1.0) for key in FOUND}, part="shared")

    assert outcome(study.judge_shared, shared(2.0)) == "confirmed with a difference"
    assert outcome(study.judge_shared, shared(0.0)) == "confirmed"
    assert outcome(study.judge_shared, shared(1.0)) == "refuted"


def rung(**errors):
    rows = [
        {"part": "ringing", "scheme": name, "steps": 20, "interior": error, "shared": error}
        for name, error in errors.items()
    ]
    return pd.DataFrame(rows)


def test_stiff_states_ring_for_some_schemes():
    verdict = study.judge_ringing(rung(radau3=1e-3, trapezoid=8.9))
    assert verdict.outcome == "confirmed with a difference"
    assert "trapezoid" in verdict.why and "radau3" not in verdict.why
    assert outcome(study.judge_ringing, rung(radau3=9.0, trapezoid=8.9)) == "confirmed"
    assert outcome(study.judge_ringing, rung(radau3=1e-3, trapezoid=1e-3)) == "refuted"


@pytest.mark.parametrize("claim", study.CLAIMS, ids=lambda claim: claim.name)
def test_nothing_measured_is_no_verdict(claim):
    empty = pd.DataFrame({"part": ["layer"], "scheme": [""], "variant": [""], "steps": [20]})
    with pytest.raises(NotMeasured):
        claim.judge(empty)


def test_the_true_gradient_is_the_derivative_of_the_loss_by_a_shift_of_theta():
    from scipy.integrate import simpson, solve_ivp

    def loss(shift):
        end = solve_ivp(
            lambda t, y: _layers.slopes(y, _layers.parameters(t) + shift),
            (0, _layers.END),
            _layers.START,
            method="DOP853",
            rtol=1e-12,
            atol=1e-12,
        ).y[:, -1]
        return _layers.misfit(end)

    t = np.linspace(0, _layers.END, 401)
    total = simpson(_layers.true_gradient(t), x=t, axis=0)
    for j, shift in enumerate(np.eye(2) * 1e-5):
        assert total[j] == pytest.approx((loss(shift) - loss(-shift)) / 2e-5, rel=1e-6)


def test_a_short_run_of_two_stage_methods_zig_zags_and_is_corrected():
    import jax

    with jax.enable_x64(True):
        rows = [
            _layer_runs._errors(scheme, variant, n, t, found)
            for n in (20, 40)
            for scheme, variant, t, found in _layer_runs._staged(n)
        ]
    frame = pd.DataFrame(rows).assign(part="rate")
    assert outcome(study.judge_stage_sum, frame) == "confirmed"
    assert outcome(study.judge_two_stages, frame) == "confirmed with a difference"


def test_trapezoid_rings_and_backward_euler_does_not():
    frame = pd.DataFrame(_layer_runs.ringing(("trapezoid", "backward-euler"), 20))
    verdict = study.judge_ringing(frame)
    assert verdict.outcome == "confirmed with a difference"
    assert verdict.why.startswith("trapezoid,")
    assert frame["shared"].max() == pytest.approx(1.13, rel=0.02)
