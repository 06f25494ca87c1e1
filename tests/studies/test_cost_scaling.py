"""Verdicts on costs made up to support and to contradict each claim."""

import numpy as np
import pandas as pd
import pytest

from studies import NotMeasured
from studies import cost_scaling as study


def made(*groups):
    rows = [row for group in groups for row in group]
    return pd.DataFrame([{"status": "ok", "reason": "", **row} for row in rows])


def curve(label, power, part="parameters", size="parameters", values=(20, 100, 1000), scale=1e-6):
    return [
        {
            "part": part,
            "label": label,
            "states": 10,
            "parameters": 480,
            size: value,
            "seconds": scale * value**power,
            "temporary_bytes": 100 * value**power,
        }
        for value in values
    ]


def failed(label, reason="no such adjoint"):
    return [{**curve(label, 1.0)[0], "status": "error", "reason": reason}]


def test_forward_is_cubic_where_it_is_one_system():
    unstructured = curve(study.UNSTRUCTURED, 3.0)
    staggered = made(unstructured, curve("forward", 1.0))
    assert study.judge_forward(staggered).outcome == "confirmed with a difference"
    assert study.judge_forward(made(unstructured, curve("forward", 3.0))).outcome == "confirmed"
    flat = made(curve(study.UNSTRUCTURED, 1.0), curve("forward", 1.0))
    assert study.judge_forward(flat).outcome == "refuted"


def test_parameters_inside_are_cubic():
    verdict = study.judge_inside(made(curve("interpolating", 2.9), failed("backsolve", "stuck")))
    assert verdict.outcome == "confirmed"
    assert "backsolve has no time, error: stuck" in verdict.measured
    assert study.judge_inside(made(curve("interpolating", 1.0))).outcome == "refuted"


def test_a_split_integral_is_linear():
    good = made(curve("gauss", 1.0), curve("quadrature", 1.1))
    assert study.judge_split(good, ("gauss", "quadrature")).outcome == "confirmed"
    bad = made(curve("gauss", 1.0), curve("quadrature", 1.5))
    verdict = study.judge_split(bad, ("gauss", "quadrature"))
    assert verdict.outcome == "refuted" and "quadrature" in verdict.why


def test_a_strategy_that_is_missing_says_why():
    frame = made(failed("imex"))
    with pytest.raises(NotMeasured, match="no such adjoint"):
        study.judge_split(frame, ("imex",))
    some = made(curve("gauss", 1.0), failed("quadrature"))
    verdict = study.judge_split(some, ("gauss", "quadrature"))
    assert verdict.outcome == "confirmed" and "no such adjoint" in verdict.measured


def chunked(label, power):
    return curve(label, power, part="chunk", size="chunk", values=(5, 20, 80))


def test_chunks_of_forward_grow_quadratically_unless_the_factorisation_is_reused():
    unstructured = chunked(study.UNSTRUCTURED, 2.0)
    judged = study.judge_forward_chunks(made(unstructured, chunked("forward", -0.5)))
    assert judged.outcome == "confirmed with a difference"
    same = made(unstructured, chunked("forward", 2.0))
    assert study.judge_forward_chunks(same).outcome == "confirmed"
    flat = made(chunked(study.UNSTRUCTURED, 0.0), chunked("forward", 0.0))
    assert study.judge_forward_chunks(flat).outcome == "refuted"


def test_chunks_of_the_adjoint_have_a_best_size():
    def frame(seconds):
        rows = chunked("interpolating", 1.0)
        return made([{**row, "seconds": s} for row, s in zip(rows, seconds, strict=True)])

    assert study.judge_adjoint_chunks(frame((2.0, 1.0, 3.0))).outcome == "confirmed"
    assert study.judge_adjoint_chunks(frame((3.0, 2.0, 1.0))).outcome == "refuted"
    late = made(curve("interpolating", 1.0, part="chunk", size="chunk", values=(80, 240)))
    assert study.judge_adjoint_chunks(late).outcome == "confirmed with a difference"


def test_memory_is_compared_where_both_were_measured():
    little = made(curve("forward", 0.5), curve("gauss", 1.0))
    assert study.judge_memory(little).outcome == "confirmed"
    much = made(curve("forward", 2.0), curve("gauss", 1.0))
    assert study.judge_memory(much).outcome == "refuted"
    with pytest.raises(NotMeasured):
        study.judge_memory(made(curve("gauss", 1.0)))


def brusselator(ratios):
    """Forward over adjoint by n + p."""
    return made(
        *(
            [
                {
                    "part": "crossover",
                    "label": label,
                    "states": total // 3,
                    "parameters": total - total // 3,
                    "seconds": seconds,
                }
                for label, seconds in (("forward-discrete", ratio), ("gauss", 1.0))
            ]
            for total, ratio in ratios.items()
        )
    )


def test_the_rule_holds_if_its_choice_is_the_faster_one():
    assert study.judge_rule(brusselator({24: 0.5, 54: 0.9, 150: 2.0})).outcome == "confirmed"
    verdict = study.judge_rule(brusselator({24: 0.5, 54: 4.0, 150: 9.0}))
    assert verdict.outcome == "refuted" and "n + p = 54" in verdict.why and "4.0 ×" in verdict.why


def test_the_crossover_is_where_the_paper_has_it():
    assert study.judge_ma(brusselator({24: 0.6, 54: 1.7})).outcome == "confirmed"
    assert study.judge_ma(brusselator({24: 1.6, 54: 1.7})).outcome == "confirmed with a difference"
    assert study.judge_ma(brusselator({24: 0.6, 54: 0.7})).outcome == "refuted"
    later = brusselator({24: 0.6, 54: 0.7, 96: 1.5})
    assert study.judge_ma(later).outcome == "confirmed with a difference"


def everything():
    return made(
        *(curve(label, 1.0) for label in study.LABELS),
        *(curve(label, 2.0, "states", "states", (10, 40)) for label in study.LABELS),
        *(chunked(label, 1.0) for label in study.CHUNKS),
        brusselator({24: 0.6, 54: 1.7}).to_dict("records"),
    )


def test_numbers_are_exponents_by_strategy():
    numbers = study.numbers(everything())
    assert numbers["gauss"] == pytest.approx(1.0)
    assert "forward-unstructured" in numbers


def test_the_figure_draws_from_a_frame():
    figure = study.draw(everything())
    assert sum(bool(axis.get_xlabel() and axis.get_ylabel()) for axis in figure.axes) == 5


def test_the_unstructured_system_gives_the_gradient_of_the_others():
    """The sensitivities as plain states, against `discrete`, to the solver's tolerance."""
    from adapters._jax_common import prepare
    from studies import _network

    prepare()
    network = _network.Network(2, 1)
    p = network.weights()
    whole = _network.unstructured(network, 4)(p)[1]
    np.testing.assert_allclose(whole, _network.by_all(network)(p)[1], rtol=1e-3)
    np.testing.assert_allclose(whole[:3], _network.by_part(network, 3)(p[:3])[1], rtol=1e-3)
