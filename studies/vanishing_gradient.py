"""How gradients with respect to fast rates vanish, and where the claim needs care (Fronk, Petzold).

y' = lambda y by every implicit scheme of the library: d y_N / d lambda in closed form, by automatic
differentiation and by the solver; the same equation relaxing onto cos t, where the solution's own
sensitivity is lambda^-2; single precision; adaptive solvers of the registry.
"""

from typing import Any

import numpy as np

from studies import (
    Claim,
    NotMeasured,
    Row,
    Study,
    Verdict,
    attempts,
    confirmed,
    differs,
    here,
    refuted,
)
from studies._stability import SCHEMES
from studies._stiff_runs import (
    ATOL,
    MANY,
    adaptive,
    adaptive_cases,
    curves,
    forced,
    get_ready,
    signs,
    single,
)
from studies._study import DataFrame, Figure

PAPER = "Fronk and Petzold 2025, arXiv 2508.01519"
ABSTRACT = f"{PAPER}, abstract"
# Decay is fitted from here on.
FAR = -1e3
# A fitted exponent of a rate that is an integer is this near to it.
NEAR = 0.06
AGREE, AGREE_AD = 1e-9, 1e-4
# A gradient of the forced problem is useless from here on.
USELESS = 1.0
# Below this a single-precision number is denormal, and XLA makes it zero.
TINY = float(np.finfo(np.float32).tiny)
# A gradient below the absolute tolerance is as good as its tolerance asks.
FLOOR = 10.0
SECONDS_QUICK, SECONDS_FULL = 10.0, 30.0


def run(quick: bool) -> DataFrame:
    """Rows of `part` "step", "root", "sign", "forced", "single" and "adaptive"."""
    import pandas as pd

    points = 13 if quick else 37
    rows: list[Row] = [
        *here(curves, {"points": points}),
        *here(signs, {}),
        *here(forced, {"points": 6 if quick else 11}),
        *here(single, {"points": 13 if quick else 25}),
    ]
    seconds = SECONDS_QUICK if quick else SECONDS_FULL
    rows += attempts(adaptive, adaptive_cases(quick), seconds, at_once=2, ready=get_ready)
    # text columns have no gaps, so that a frame reads back as it was
    text = ("scheme", "where", "method", "problem", "status", "reason")
    return pd.DataFrame(rows).fillna(dict.fromkeys(text, ""))


def _rows(frame: DataFrame, part: str, **wanted: Any) -> Any:
    rows = frame[frame["part"] == part]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    if rows.empty:
        raise NotMeasured(f"nothing was measured of {part} with {wanted}")
    return rows


def exponent(rows: DataFrame, column: str = "solver") -> float:
    """Of |z| in a curve, fitted where |z| is large."""
    far = rows[(rows["z"] <= FAR) & (rows[column] != 0) & np.isfinite(rows[column])]
    if len(far) < 2:
        raise NotMeasured(f"{column}: fewer than two values with |z| of {-FAR:g} or more")
    return float(np.polyfit(np.log(-far["z"]), np.log(np.abs(far[column])), 1)[0])


def one_step(frame: DataFrame) -> dict[str, float]:
    """The exponent of every one-step scheme over one step."""
    rows = _rows(frame, "step", steps=1)
    rows = rows[~rows["scheme"].str.startswith("bdf")]
    return {name: exponent(of_one) for name, of_one in rows.groupby("scheme")}


def bdf(frame: DataFrame) -> dict[str, float]:
    """The exponent of every BDF method's principal root."""
    return {
        name: exponent(of_one, "closed") for name, of_one in _rows(frame, "root").groupby("scheme")
    }


def _listed(values: dict[str, float], digits: int = 2) -> str:
    return ", ".join(f"{name} {value:.{digits}f}" for name, value in values.items())


def judge_governed(frame: DataFrame) -> Verdict:
    rows = _rows(frame, "step")
    rows = rows[rows["closed"].notna()]
    if rows.empty:
        raise NotMeasured("no scheme with a closed form was run")
    by_solver = float(np.abs(rows["solver"] / rows["closed"] - 1).max())
    by_ad = float(np.abs(rows["ad"] / rows["closed"] - 1).max())
    measured = (
        f"{rows['scheme'].nunique()} schemes, 1 and {MANY} steps: the solver's gradient is "
        f"N R^(N-1) R' within {by_solver:.0e}; automatic differentiation of the tableau's R within "
        f"{by_ad:.0e}"
    )
    # a NaN, a gradient that is missing, must not pass
    if by_solver <= AGREE and by_ad <= AGREE_AD:
        return confirmed(measured)
    return refuted(measured, "the three do not agree")


def judge_universal(frame: DataFrame) -> Verdict:
    found = one_step(frame) | bdf(frame)
    measured = f"exponents of |z|, one step and roots of BDF: {_listed(found)}"
    slow = [name for name, value in found.items() if value > -1 + NEAR]
    if slow:
        return refuted(measured, f"no decay like 1/|z| or faster: {', '.join(slow)}")
    return confirmed(measured)


def judge_slowest(frame: DataFrame) -> Verdict:
    rational, roots = one_step(frame), bdf(frame)
    slowest = max(rational, key=lambda name: rational[name])
    root = max(roots, key=lambda name: roots[name])
    rows = _rows(frame, "step", steps=1)
    stable = rows[rows["scheme"].isin(SCHEMES)]
    if stable.empty:
        raise NotMeasured("no A-stable scheme with a closed form was run")
    values = np.array([SCHEMES[r.scheme].value(r.z) for r in stable.itertuples()])
    bound = (1 - values**2) / (2 * np.abs(stable["z"]))
    filled = float((np.abs(stable["solver"]) / bound).max())
    measured = (
        f"slowest rational R: {slowest} {rational[slowest]:.3f}; slowest root of BDF: {root} "
        f"{roots[root]:.3f}; BDF2, the A-stable one {roots.get('bdf2', np.nan):.3f}; |R'| reaches "
        f"{filled:.4f} of (1 - |R|^2) / (2 |z|)"
    )
    fastest = max(rational[slowest], roots[root])
    if fastest > -1 + NEAR or filled > 1 + 1e-6:
        return refuted(measured, "a scheme decays more slowly, or passes the bound")
    if max(rational.values()) > -1 - NEAR:
        return confirmed(measured)
    return differs(
        measured,
        "1/|z| bounds |R'| from above (Schwarz-Pick: |R'| <= (1 - |R|^2) / (2 |Re z|)), so it says "
        "how large a gradient can be, and is attained by no scheme here: the derivative of a "
        "rational function has no 1/z term at infinity, so for every Runge-Kutta or Rosenbrock "
        "scheme the slowest rate is |z|^-2; BDF-k's roots have |z|^(-1 - 1/k), faster for all k",
    )


def judge_many(frame: DataFrame) -> Verdict:
    rows = _rows(frame, "step", steps=MANY)
    parts, off = {}, []
    for name, of_one in rows.groupby("scheme"):
        if scheme := SCHEMES.get(name):
            parts[name] = exponent(of_one)
            expected = -((scheme.rate - 1) * MANY + 1) if scheme.damped else -2
            if abs(parts[name] - expected) > NEAR * MANY:
                off.append(name)
    if not parts:
        raise NotMeasured("no scheme with a closed form took many steps")
    at = rows[(rows["z"] <= -10) & rows["scheme"].isin(SCHEMES)]
    larger = float((np.abs(at["solver"]) > at["true"]).mean())
    measured = (
        f"exponents after {MANY} steps: {_listed(parts, 1)}; for |z| of 10 or more the discrete "
        f"gradient is larger than the ODE's in {larger:.0%} of cases"
    )
    if off:
        return refuted(measured, f"not -(kN + 1), or -2 where R is not damped: {', '.join(off)}")
    if larger < 0.5:
        return confirmed(measured)
    return differs(
        measured,
        "on a decay it is the ODE whose gradient t e^(lambda t) vanishes, exponentially; every "
        "scheme here makes it larger, not smaller. Over N steps L-stable schemes decay like "
        "|z|^-(kN + 1), k the order of R's zero; those with |R| = 1 stay at |z|^-2",
    )


def judge_sign(frame: DataFrame) -> Verdict:
    rows = _rows(frame, "sign")
    flips = rows[np.sign(rows["inner"]) != np.sign(rows["outer"])]
    tabled = rows["z"].sub(rows["closed"]).abs().max()
    steps = _rows(frame, "step", steps=1)
    always = [name for name, of_one in steps.groupby("scheme") if (of_one["solver"] > 0).all()]
    measured = (
        f"the solver's gradient changes sign at {len(flips)} of {len(rows)} zeros of R' (found "
        f"within {tabled:.3f} of their tabled places): "
        + ", ".join(f"{row.scheme} at z = {row.z:.2f}" for row in flips.itertuples())
        + f"; right for all z tried over one step: {', '.join(always) or 'none'}"
    )
    if flips.empty:
        return confirmed(measured)
    return differs(
        measured,
        "before it vanishes the gradient has the wrong sign: the true one is positive always",
    )


def _relative(frame: DataFrame, where: str) -> dict[str, float]:
    rows = _rows(frame, "forced", where=where)
    far = rows[rows["rate"] == rows["rate"].min()]
    off = np.abs(far["solver"] / far["true"] - 1)
    return dict(zip(far["scheme"], off, strict=True))


def _damped(name: str) -> bool:
    """Whether R is 0 at infinity; schemes without a closed form here are all of that kind."""
    return name not in SCHEMES or SCHEMES[name].damped


def judge_parameters(frame: DataFrame) -> Verdict:
    rows = _rows(frame, "forced", where="on")
    last = rows[rows["rate"] == rows["rate"].min()]
    rate = float(last["rate"].iloc[0])
    true = float(last["true"].iloc[0])
    off = _relative(frame, "on")
    damped = {name: value for name, value in off.items() if _damped(name)}
    if not damped:
        raise NotMeasured("no L-stable scheme was run")
    worst = max(damped, key=lambda name: damped[name])
    worst_of_all = max(off, key=lambda name: off[name])
    measured = (
        f"y' = lambda (y - cos t), lambda = {rate:.0e}: the ODE's dy/dlambda is {true:.2e}, by "
        f"log |lambda| {true * rate:.1e}, by tau = 1/|lambda| {true * rate**2:.3f}; with 10 steps "
        f"L-stable schemes are off by {off[worst]:.1%} ({worst}) at most, all by "
        f"{off[worst_of_all]:.1%} ({worst_of_all})"
    )
    if off[worst] > 0.5:
        return refuted(measured, "here the schemes lose what the ODE has")
    return differs(
        measured,
        "on a slow manifold it is the ODE's own sensitivity that is lambda^-2, and L-stable "
        "schemes keep it; with tau = 1/|lambda| as the parameter nothing vanishes, so it is the "
        "parametrisation and not the integrator that suppresses it",
    )


def judge_off(frame: DataFrame) -> Verdict:
    off = _relative(frame, "off")
    useless = {name: value for name, value in off.items() if value > USELESS}
    kept = {name: value for name, value in off.items() if value <= USELESS}
    measured = "started off the manifold, relative error: " + ", ".join(
        f"{name} {value:.1e}" for name, value in sorted(off.items(), key=lambda item: item[1])
    )
    if not useless or not kept:
        return confirmed(measured)
    return differs(
        measured,
        f"not alike: {', '.join(useless)} do not damp the fast part, whose gradient drowns the "
        "slow one; L-stable schemes keep it",
    )


def judge_single(frame: DataFrame) -> Verdict:
    rows = _rows(frame, "single")
    lost, failed = rows["solver"] == 0, rows["solver"].isna()
    small = np.abs(rows["closed"]) < TINY
    if not small.any():
        raise NotMeasured("no gradient was small enough")
    gone = lost | failed
    early = gone & ~small
    measured = (
        f"{MANY} steps: of {int(small.sum())} gradients below {TINY:.1e}, "
        f"{int((lost & small).sum())} are exactly zero and {int((failed & small).sum())} NaN; of "
        f"{int((~small).sum())} above, {int(early.sum())} are either"
    )
    if early.any():
        measured += f", the largest {np.abs(rows['closed'])[early].max():.0e}"
    if not (gone & small).any():
        return refuted(measured, "gradients survive that single precision cannot hold")
    if failed.any() or early.any():
        return differs(
            measured,
            "what underflows first is a state or a stage on the way; where it makes the solver's "
            "linear systems fail, the solver says so, with NaN for the gradient",
        )
    return confirmed(measured)


def judge_adaptive(frame: DataFrame) -> Verdict:
    rows = _rows(frame, "adaptive", status="ok")
    decay = rows[rows["problem"].str.startswith("linear")]
    slow = rows[rows["problem"].str.startswith("relaxation")]
    fast = decay[decay["rate"] <= -100]
    if fast.empty or slow.empty:
        raise NotMeasured("no adaptive solver ended on both problems")
    noise = float(np.abs(fast["solver"] - fast["true"]).max())
    off = np.abs(slow["solver"] / slow["true"] - 1)
    bad = sorted(set(slow[off > 0.5]["method"]))
    measured = (
        f"{rows['method'].nunique()} solvers, rtol 1e-6, atol {ATOL:.0e}: on y' = lambda y with "
        f"|lambda| of 100 or more the gradient is off by {noise:.0e} at most (the true one below "
        f"{np.abs(fast['true']).max():.0e}); on cos t its relative error is {off.median():.0e} in "
        f"the median, {off.max():.0e} at worst"
    )
    if noise > FLOOR * ATOL:
        return refuted(measured, "gradients of a decay do not vanish to within the tolerance")
    if bad:
        return differs(measured, f"the slow manifold's gradient is lost by {', '.join(bad)}")
    return differs(
        measured,
        "what vanishes is the gradient of a decay, down to a floor below atol; that of the slow "
        "manifold, itself lambda^-2, is kept",
    )


CLAIMS = (
    Claim(
        "governed by R'",
        "Sensitivities of a step are governed by the derivative of the stability function",
        ABSTRACT,
        "d y_N / d lambda = N h R^(N-1) R' y_0, to rounding",
        judge_governed,
    ),
    Claim(
        "universal",
        "They decay to zero for large stiffness with all A-stable and L-stable schemes",
        ABSTRACT,
        "Exponents -2; Lobatto IIIC -3; BDF-k -1 - 1/k (-2, -1.5, -1.33, -1.25, -1.2)",
        judge_universal,
    ),
    Claim(
        "slowest rate",
        "The slowest possible rate of decay for R' is O(|z|^-1)",
        ABSTRACT,
        "As an upper bound true; attained by no rational R, whose slowest rate is |z|^-2",
        judge_slowest,
    ),
    Claim(
        "many steps",
        "Sensitivities to parameters of fast-decaying modes become vanishingly small",
        ABSTRACT,
        "Over N steps |z|^-(kN + 1) if L-stable, |z|^-2 for trapezoid, midpoint and Gauss; all of "
        "them larger than the ODE's",
        judge_many,
    ),
    Claim(
        "sign",
        "Explicit formulas show the mechanism: the gradient is suppressed",
        ABSTRACT,
        "It changes sign first: Radau3 -8.20, Radau5 -4.81 and -17.73, Gauss4 -3.46, Lobatto IIIC3 "
        "-7.23, SDIRK2 and TR-BDF2 -8.24; backward Euler never",
        judge_sign,
    ),
    Claim(
        "inevitable",
        "All A-stable methods inevitably suppress parameter gradients in stiff regimes",
        ABSTRACT,
        "On a slow manifold dy/dlambda = -phi' / lambda^2 is the ODE's own; dy/dtau = -phi'",
        judge_parameters,
    ),
    Claim(
        "A-stable and L-stable alike",
        "The phenomenon is a feature of A-stable and L-stable schemes alike",
        ABSTRACT,
        "Off the manifold, 10 steps: trapezoid 480, Gauss4 1400 times wrong; L-stable unchanged",
        judge_off,
    ),
    Claim(
        "single precision",
        "Gradients vanish: asked of single precision",
        ABSTRACT,
        "Exactly zero below 1.2e-38, XLA having no denormal numbers",
        judge_single,
    ),
    Claim(
        "adaptive solvers",
        "The same with solvers in use: adaptive ones",
        ABSTRACT,
        "On a decay a floor below atol; on the slow manifold the right lambda^-2",
        judge_adaptive,
    ),
)


def numbers(frame: DataFrame) -> dict[str, float]:
    """Orders of decay, and relative errors of the forced problem at the largest rate."""
    found = {f"{name} decay": -value for name, value in (one_step(frame) | bdf(frame)).items()}
    for where in ("on", "off"):
        for name, value in _relative(frame, where).items():
            found[f"{name} {where}"] = value
    return found


def draw(frame: DataFrame) -> Figure:
    from studies._stiff_figure import draw

    return draw(frame)


STUDY = Study(
    name="vanishing-gradient",
    title="Gradients with respect to fast rates",
    source=PAPER,
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
    requires=("jax",),
)
