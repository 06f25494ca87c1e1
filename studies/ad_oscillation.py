"""Gradients layer by layer: raw, and corrected until they converge (Xu, Chen and Li).

Parameters that are others at every step, as in a neural ODE whose steps are its layers. The
derivative of the discrete loss by those of one step is exact, and still need not approach the
gradient of the ODE's loss: the adjoint of a multistep method has parasitic solutions, and stages of
a Runge-Kutta method count unequally. The corrections are those of stiffgrad.jax.corrections.
"""

from typing import Any

import numpy as np

from studies import Claim, NotMeasured, Study, Verdict, confirmed, differs, here, refuted
from studies._layer_runs import IMPLICIT, TWO_STAGES, rates, ringing, trainers, training
from studies._study import DataFrame, Figure

PAPER = "Xu, Chen and Li, arXiv 2306.02192"
ABSTRACT = f"{PAPER}, abstract"
QUICK_STEPS, FULL_STEPS = (20, 40, 80), (20, 40, 80, 160, 320, 640)
QUICK_IMPLICIT = ("backward-euler", "radau3", "trapezoid", "implicit-midpoint")
QUICK_RINGING, FULL_RINGING = (20,), (20, 40, 80)
QUICK_EPOCHS, FULL_EPOCHS = 200, 400
# Errors that do not converge have rate 0, those of second order 2; one step decides little.
NO_RATE, SECOND = 0.25, 1.6
# An index is that of an oscillation if it is not explained by the true gradient's own.
INDEX_FACTOR = 2.0
# A gradient of a stiff state is wrong from here on.
WRONG = 0.5


def run(quick: bool) -> DataFrame:
    """Rows of `part` "rate", "layer", "shared", "training", "theta" and "ringing"."""
    import pandas as pd

    steps = QUICK_STEPS if quick else FULL_STEPS
    epochs = QUICK_EPOCHS if quick else FULL_EPOCHS
    schemes = QUICK_IMPLICIT if quick else IMPLICIT
    return pd.DataFrame(
        [
            *here(rates, *({"n": n, "finest": steps[-1]} for n in steps)),
            *here(training, *({"variant": name, "epochs": epochs} for name in trainers())),
            *here(
                ringing,
                *({"schemes": schemes, "n": n} for n in (QUICK_RINGING if quick else FULL_RINGING)),
            ),
        ]
    )


def _rows(frame: DataFrame, part: str, **wanted: Any) -> Any:
    rows = frame[frame["part"] == part]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    if rows.empty:
        raise NotMeasured(f"nothing was measured of {part} with {wanted}")
    return rows


def rate(
    frame: DataFrame, scheme: str, variant: str, norm: str = "sup", part: str = "rate"
) -> float:
    """The order of convergence, fitted over the numbers of steps."""
    rows = _rows(frame, part, scheme=scheme, variant=variant)
    if rows["steps"].nunique() < 2:
        raise NotMeasured(f"{scheme}, {variant}: a rate needs two numbers of steps")
    return float(-np.polyfit(np.log(rows["steps"]), np.log(rows[norm]), 1)[0])


def _finest(frame: DataFrame, scheme: str, variant: str) -> Any:
    rows = _rows(frame, "rate", scheme=scheme, variant=variant)
    return rows.loc[rows["steps"].idxmax()]


def judge_leapfrog(frame: DataFrame) -> Verdict:
    found, last = rate(frame, "leapfrog", "raw"), _finest(frame, "leapfrog", "raw")
    measured = (
        f"raw leapfrog: sup error {last['sup']:.2g}, {last['relative']:.1f} x the largest true "
        f"value, rate {found:.2f}; oscillation index {last['index']:.3f} (true gradient "
        f"{last['index_true']:.4f})"
    )
    if found > NO_RATE:
        return refuted(measured, "the raw gradient converges")
    if last["index"] < INDEX_FACTOR * last["index_true"]:
        return refuted(measured, "what does not converge does not oscillate")
    return confirmed(measured)


def judge_multistep(frame: DataFrame) -> Verdict:
    parts, inside = [], []
    for scheme in ("ab2", "bdf2"):
        whole, within = rate(frame, scheme, "raw"), _late_rate(frame, scheme, "interior")
        l2 = rate(frame, scheme, "raw", "l2")
        index = _finest(frame, scheme, "raw")["index"]
        parts.append(
            f"{scheme}: sup rate {whole:.2f}, L2 rate {l2:.2f}, without the end layers "
            f"{within:.2f}, index {index:.3f}"
        )
        inside.append((whole < NO_RATE, within > 1.0))
    measured = "; ".join(parts)
    if not any(stuck for stuck, _ in inside):
        return refuted(measured, "the raw gradients converge")
    if all(fine for _, fine in inside):
        return differs(
            measured,
            "no oscillation: their parasitic roots are 0 and 1/3, so the error sits in a few "
            "layers at the ends; only roots of modulus 1, as leapfrog's, spoil all layers",
        )
    return confirmed(measured)


def _late_rate(frame: DataFrame, scheme: str, variant: str) -> float:
    """Between the two finest meshes: what is left out of the ends grows with the steps."""
    rows = _rows(frame, "rate", scheme=scheme, variant=variant).nlargest(2, "steps")
    if len(rows) < 2:
        raise NotMeasured(f"{scheme}, {variant}: a rate needs two numbers of steps")
    fine, coarse = rows.iloc[0], rows.iloc[1]
    return float(np.log(coarse["sup"] / fine["sup"]) / np.log(fine["steps"] / coarse["steps"]))


def judge_two_stages(frame: DataFrame) -> Verdict:
    found = {scheme: rate(frame, scheme, "raw") for scheme in TWO_STAGES}
    index = {scheme: _finest(frame, scheme, "raw")["index"] for scheme in TWO_STAGES}
    measured = "; ".join(
        f"{scheme}: rate {found[scheme]:.2f}, index {index[scheme]:.3f}" for scheme in TWO_STAGES
    )
    stuck = [scheme for scheme in TWO_STAGES if found[scheme] < NO_RATE]
    if not stuck:
        return refuted(measured, "all raw gradients converge")
    if len(stuck) == len(TWO_STAGES):
        return confirmed(measured)
    fine = ", ".join(scheme for scheme in TWO_STAGES if scheme not in stuck)
    return differs(
        measured,
        f"not {fine}: the layers count 2 b_i, which zig-zags unless b_1 = b_2",
    )


def judge_filter(frame: DataFrame) -> Verdict:
    found = {
        variant: (_late_rate(frame, "leapfrog", variant), _finest(frame, "leapfrog", variant))
        for variant in ("filter", "Gragg")
    }
    measured = "; ".join(
        f"{variant}: rate {order:.2f}, error {last['sup']:.1e}, index {last['index']:.4f} (true "
        f"{last['index_true']:.4f})"
        for variant, (order, last) in found.items()
    )
    order, last = found["filter"]
    if order < SECOND:
        return refuted(measured, "the filtered gradient is not of second order")
    if last["index"] > INDEX_FACTOR * last["index_true"]:
        return refuted(measured, "the filtered gradient oscillates")
    return confirmed(measured)


def judge_stage_sum(frame: DataFrame) -> Verdict:
    variants = ("stage sum", "node costate")
    found = {
        (scheme, variant): rate(frame, scheme, variant)
        for scheme in TWO_STAGES
        for variant in variants
    }
    measured = "; ".join(
        f"{variant}: "
        + ", ".join(f"{scheme} {found[scheme, variant]:.2f}" for scheme in TWO_STAGES)
        for variant in variants
    )
    slow = [" ".join(key) for key, order in found.items() if order < SECOND]
    if slow:
        return refuted(f"rates {measured}", f"not of second order: {', '.join(slow)}")
    return confirmed(f"rates {measured}")


def _trained(frame: DataFrame) -> Any:
    rows = _rows(frame, "training")
    return rows.sort_values("epoch").groupby("variant")[["discrete", "loss"]].last()


def judge_training(frame: DataFrame) -> Verdict:
    last = _trained(frame)
    if not {"raw", "filter"} <= set(last.index):
        raise NotMeasured("leapfrog was not trained both ways")
    start = float(_rows(frame, "training", epoch=0)["loss"].iloc[0])
    variation = _rows(frame, "theta").groupby("variant")["variation"].first()
    epochs = int(_rows(frame, "training")["epoch"].max())
    measured = f"after {epochs} steps from a true loss of {start:.3f}: " + "; ".join(
        f"{name} {row['discrete']:.1e} discrete, {row['loss']:.2g} true, total variation of theta "
        f"{variation[name]:.1f}"
        for name, row in last.iterrows()
    )
    raw, filtered = last.loc["raw"], last.loc["filter"]
    if filtered["loss"] > raw["loss"] / 10:
        return refuted(measured, "the filter does not train the ODE better by a factor of ten")
    if raw["discrete"] > filtered["discrete"]:
        return differs(measured, "raw gradients do not even lower the discrete loss further")
    return confirmed(measured)


def judge_shared(frame: DataFrame) -> Verdict:
    schemes = sorted(_rows(frame, "shared")["scheme"].unique())
    found = {scheme: rate(frame, scheme, "raw", part="shared") for scheme in schemes}
    measured = "rates of raw sums over all layers: " + ", ".join(
        f"{scheme} {order:.2f}" for scheme, order in found.items()
    )
    if all(order > SECOND for order in found.values()):
        return differs(
            measured,
            "not for parameters that all steps share: there raw gradients converge at the "
            "method's order, and correcting them would be a mistake",
        )
    if all(order < NO_RATE for order in found.values()):
        return confirmed(measured)
    slow = [scheme for scheme, order in found.items() if order <= SECOND]
    return refuted(measured, f"below second order: {', '.join(slow)}")


def judge_ringing(frame: DataFrame) -> Verdict:
    rows = _rows(frame, "ringing")
    rows = rows[rows["steps"] == rows["steps"].min()]
    last = rows.groupby("scheme")[["interior", "shared"]].first()
    measured = f"relative error, {int(rows['steps'].min())} steps, inner layers (their sum): " + (
        ", ".join(f"{name} {row.interior:.1e} ({row.shared:.1e})" for name, row in last.iterrows())
    )
    wrong = [name for name, row in last.iterrows() if max(row.interior, row.shared) > WRONG]
    if not wrong:
        return refuted(measured, "no implicit scheme is affected")
    if len(wrong) == len(last):
        return confirmed(measured)
    return differs(
        measured,
        f"{', '.join(wrong)}, whose |R| is 1 at infinity and never damps the adjoint's fast part: "
        "where R is -1 every layer rings, and the sum, which parameters shared by all layers see, "
        "is wrong for all of them; L-stable schemes need no correction",
    )


CLAIMS = (
    Claim(
        "leapfrog oscillates",
        "With linear multistep methods automatic differentiation gives artificial oscillations "
        "that prevent convergence: leapfrog",
        ABSTRACT,
        "Sup rate 0, error 5 x the largest true value, index 0.99: the parasitic solution of the "
        "adjoint starts as large as the true one",
        judge_leapfrog,
    ),
    Claim(
        "multistep methods",
        "The same of linear multistep methods in general: AB2 and BDF2",
        ABSTRACT,
        "Sup rate 0 and L2 rate 1/2 from the layers at the ends; inside they converge",
        judge_multistep,
    ),
    Claim(
        "explicit Runge-Kutta",
        "The same of explicit Runge-Kutta methods: midpoint, Heun, Ralston",
        ABSTRACT,
        "Layers read 2 b_i G: rate 0 for midpoint and Ralston, 2 for Heun",
        judge_two_stages,
    ),
    Claim(
        "leapfrog corrected",
        "A simple post-processing eliminates the oscillations of leapfrog",
        f"{ABSTRACT}; the filter [1, 2, 1] / 4 is our derivation",
        "Rate 2, index that of the true gradient; the same for a loss of Gragg's smoothed end",
        judge_filter,
    ),
    Claim(
        "Runge-Kutta corrected",
        "A simple post-processing eliminates the oscillations of two-stage methods",
        f"{ABSTRACT}; stage sum and node costate are our derivation",
        "Rate 2 for every two-stage method of order 2",
        judge_stage_sum,
    ),
    Claim(
        "training",
        "Corrected gradients return accurate updates; raw ones do not",
        ABSTRACT,
        "Raw: discrete loss 3e-32 and true loss stuck at 0.241; filtered 5e-4",
        judge_training,
    ),
    Claim(
        "shared parameters",
        "The gradients of automatic differentiation do not give reasonable updates",
        f"{ABSTRACT}, read for parameters that all layers share",
        "Rate 2 for all methods: discrete adjoints converge at the start of the interval "
        "(Sandu 2008)",
        judge_shared,
    ),
    Claim(
        "stiff states",
        "High-order methods oscillate",
        f"{ABSTRACT}, asked of implicit methods on a stiff state",
        "Trapezoid, midpoint and Gauss ring where the loss sees the fast state (trapezoid 113 % "
        "wrong in the sum); Radau 2e-5",
        judge_ringing,
    ),
)


def numbers(frame: DataFrame) -> dict[str, float]:
    """Oscillation indices on the finest mesh, and errors after training."""
    found = {}
    for scheme, variant in (
        _rows(frame, "rate")[["scheme", "variant"]].drop_duplicates().itertuples(index=False)
    ):
        name = f"{scheme}-{variant.replace(' ', '-')}"
        last = _finest(frame, scheme, variant)
        found[f"{name} index"] = float(last["index"] / last["index_true"])
        found[f"{name} error"] = float(
            _rows(frame, "rate", scheme=scheme, variant=variant, steps=QUICK_STEPS[-1])["sup"].iloc[
                0
            ]
        )
    for variant, row in _trained(frame).iterrows():
        found[f"trained-{variant} loss"] = float(row["loss"])
    return found


def draw(frame: DataFrame) -> Figure:
    from studies._layer_figure import draw

    return draw(frame)


STUDY = Study(
    name="ad-oscillation",
    title="Per-layer gradients, raw and corrected",
    source=PAPER,
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
    requires=("jax",),
)
