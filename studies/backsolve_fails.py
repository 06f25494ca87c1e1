"""The backsolve adjoint on Robertson's reaction, and the adjoints that work (Kim et al., III.A).

L = sum of y1 at 50 log-spaced times. Every registered backsolve method is tried at every tolerance
of the paper, as it is and, where SciPy runs it, with the states reset at every observation.
"""

import re
import warnings
from typing import Any

import numpy as np

from adapters import Method, get_method, methods
from problems import get_problem
from studies import Claim, NotMeasured, Row, Study, Verdict, attempts, confirmed, differs, refuted
from studies._legs import with_resets
from studies._mechanism import (
    DISTANCE,
    SMALL_STEP,
    Y2_ERROR,
    amplification,
    y2_back,
    y2_in_small_steps,
)
from studies._methods import quickly, solver
from studies._study import DataFrame, Figure
from suite.cases import Case
from suite.statuses import STATUSES, WRONG

RTOLS = tuple(float(f"1e-{i}") for i in range(6, 15))
QUICK_RTOLS = (1e-6, 1e-10, 1e-14)
# The paper's tolerance for the adjoints that work.
WORKING_RTOL = 1e-6
WORKING = ("interpolating", "discrete", "forward-discrete", "quadrature", "gauss", "imex")
# atol as multiples of rtol: the paper's, and the problem's own.
EQUAL, SMALL = 1.0, 1e-5
QUICK_SECONDS, FULL_SECONDS = 5.0, 30.0
NOT_TRIED = "–"
WAYS_BACK = (1e-6, 1e-8, 1e-10, 1e-12)
# "At least three decimal places", of p dL/dp, whose entries are between 1 and 4.
THREE_DECIMALS = 5e-4
# "Near the start of the reverse pass": within so much of the time span.
NEAR = 0.1
# y2 itself is 7e-8 at t1: with a larger error nothing is left of it.
EXPLODED = 7e-8
# A rate within this factor is the one expected.
GROWTH = 1.2
PAPER = "Kim et al. 2021, Chaos 31, 093122, III.A"


def run(quick: bool) -> DataFrame:
    """Rows of `part` "backsolve", "reset", "working", "way back" and "mechanism"."""
    import pandas as pd

    limit = QUICK_SECONDS if quick else FULL_SECONDS
    rtols = QUICK_RTOLS if quick else RTOLS
    options: dict[str, Any] = {"at_once": 2, "give_up": ("method",), "ready": get_ready}
    rows = attempts(gradient, _backsolves(rtols, quick), limit, **options)
    rows += attempts(gradient, _resets(rtols), limit, **options)
    rows += attempts(gradient, _working(quick), 4 * limit, **options)
    cases = [
        {"part": "way back", "method": "scipy/bdf/forward", "rtol": rtol} for rtol in WAYS_BACK
    ]
    rows += attempts(y2_back, cases, 4 * limit)
    return pd.DataFrame(rows + y2_in_small_steps() + amplification())


def _backsolves(rtols: tuple[float, ...], quick: bool) -> list[Row]:
    """Quickly, without explicit integrators: their forward solve already fails, or never ends."""
    return [
        {"part": "backsolve", "method": name, "factor": EQUAL, "rtol": rtol}
        for name, method in methods().items()
        if method.strategy == "backsolve" and not (quick and _left_out(method))
        for rtol in rtols
    ]


def _left_out(method: Method) -> bool:
    return not (method.implicit and quickly(method))


def _resets(rtols: tuple[float, ...]) -> list[Row]:
    """SciPy's alone: others would compile every stretch between two observations anew."""
    return [
        {"part": "reset", "method": name, "factor": EQUAL, "rtol": rtol}
        for name, method in methods().items()
        if (method.framework, method.strategy) == ("scipy", "backsolve")
        for rtol in rtols
    ]


def _working(quick: bool) -> list[Row]:
    """Integrators made for stiff problems only; quickly, one variant of each."""
    chosen: dict[Any, str] = {}
    for name, method in methods().items():
        if quick and _left_out(method):
            continue
        if method.implicit and method.strategy in WORKING:
            key = (method.framework, method.integrator, method.strategy) if quick else name
            chosen.setdefault(key, name)
    return [
        {"part": "working", "method": name, "factor": factor, "rtol": WORKING_RTOL}
        for name in chosen.values()
        for factor in (EQUAL, SMALL)
    ]


def get_ready(part: str, method: str, factor: float, rtol: float) -> None:
    """Import and compile, unless each stretch between observations is a program of its own."""
    problem = get_problem("rober")
    if part != "reset":
        solver(problem, method).compile(problem.y0, problem.p, rtol, factor * rtol)


def gradient(part: str, method: str, factor: float, rtol: float) -> Row:
    """p dL/dp of one method, judged like every gradient of the suite."""
    from suite.measure import judge_gradient

    problem = get_problem("rober")
    atol = factor * rtol
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if part == "reset":
            found = with_resets(problem, method, rtol, atol)
        else:
            found = solver(problem, method).gradient(problem.y0, problem.p, rtol, atol)()
    warned = str(caught[-1].message) if caught else None
    verdict = judge_gradient(Case(problem.name, method, rtol, atol), problem, found, warned)
    kept = ("status", "reason", "gradient_error", "loss_error")
    slopes = zip(("log_k1", "log_k2", "log_k3"), found.p * problem.p, strict=True)
    row: Row = {name: verdict[name] for name in kept if name in verdict}
    return row | {"warning": warned or ""} | {name: float(value) for name, value in slopes}


def stopped_at(reason: str) -> float | None:
    """The time at which a backward solve stopped, if its message says so."""
    if found := re.search(r"backward from t = ([\d.e+-]+), at ([\d.e+-]+) of", reason):
        return float(found[1]) - float(found[2])
    found = re.search(r"(?:reverse|backward) solve stopped near t = ([\d.e+-]+\d)", reason)
    return float(found[1]) if found else None


def _skipped(rows: DataFrame) -> Any:
    """Which cases were not tried because one before them did not end."""
    return rows["reason"].str.startswith("not tried")


def _tried(frame: DataFrame, part: str) -> Any:
    rows = frame[(frame["part"] == part) & (frame["status"] != "not-installed")]
    rows = rows[~_skipped(rows)]
    if rows.empty:
        raise NotMeasured(f"nothing was tried: {part}")
    return rows


def _counts(rows: DataFrame) -> str:
    return ", ".join(f"{n} {name}" for name, n in rows["status"].value_counts().items())


def _usable(rows: DataFrame) -> Any:
    """Finished gradients less than ten percent off."""
    return rows[rows["gradient_error"] <= WRONG]


def _fails(part: str, what: str) -> Any:
    def judge(frame: DataFrame) -> Verdict:
        rows = _tried(frame, part)
        usable = _usable(rows)
        silent = rows[rows["status"].isin(["silently-wrong", "non-finite"])]
        waited = rows[rows["status"] == "timeout"]
        skipped = int(_skipped(frame[frame["part"] == part]).sum())
        measured = (
            f"{len(rows)} cases of {rows['method'].nunique()} methods {what}: {_counts(rows)}; "
            f"{len(usable)} gradients within 10 %; {skipped} more, tighter than one that did not "
            "end, were not tried"
        )
        if len(usable):
            best = usable.loc[usable["gradient_error"].idxmin()]
            return refuted(
                measured,
                f"{best['method']} at {best['rtol']:.0e} is right to {best['gradient_error']:.1e}",
            )
        which = []
        if len(silent):
            which.append(f"{', '.join(silent['method'].unique())} return NaN or a wrong number")
        if len(waited):
            which.append(f"{', '.join(waited['method'].unique())} do not end within the limit")
        if not which:
            return confirmed(measured)
        return differs(measured, f"not all of them say so: {'; '.join(which)}")

    return judge


def judge_start(frame: DataFrame) -> Verdict:
    rows = _tried(frame, "backsolve")
    stops = rows.assign(t=rows["reason"].map(stopped_at)).dropna(subset="t")
    if stops.empty:
        raise NotMeasured("no message says where it stopped")
    t1 = get_problem("rober").t1
    early = stops[stops["t"] >= (1 - NEAR) * t1]
    measured = (
        f"{len(early)} of the {len(stops)} whose message names a time stop in the last "
        f"{NEAR:.0%} of the time span; the median at t1 - {(t1 - stops['t']).median():.1g} s, "
        f"the farthest at t = {stops['t'].min():.6g}"
    )
    if len(early) == len(stops):
        return confirmed(measured)
    if len(early):
        return differs(measured, "some come farther: the growing error takes its time")
    return refuted(measured, "all of them come farther")


def judge_amplification(frame: DataFrame) -> Verdict:
    rows = frame[frame["part"] == "mechanism"].set_index("quantity")["value"]
    if rows.empty:
        raise NotMeasured("the mechanism was not looked at")
    measured = (
        f"an error {Y2_ERROR:.0e} of y2 changes the Jacobian by {rows['amplification']:.2g} times "
        f"as much, and the adjoint's slope by {rows['adjoint slope error']:.1e}; the "
        f"slope of dL/dlog k by {rows['log gradient slope error']:.0e}"
    )
    if not 0.9 <= rows["amplification"] / 6e7 <= 1.1:
        return refuted(measured, "2 k2 is not the amplification")
    if not 1e-4 <= rows["adjoint slope error"] <= 1e-2:
        return refuted(measured, "what arrives is not of the order 1e-3")
    return differs(
        measured,
        "1e-3 arrives in the slope of the adjoint, not of dL/dtheta, and beside terms of "
        f"{rows['adjoint slope terms']:.0e}: the adjoint itself is off by "
        f"{rows['adjoint error']:.0e} only. What ends the solve is that y2's "
        f"error grows by e^({rows['growth rate backward']:.3g} s) on the way back",
    )


def judge_explosion(frame: DataFrame) -> Verdict:
    small = frame[frame["part"] == "small steps"]
    free = frame[(frame["part"] == "way back") & (frame["status"] == "ok")]
    if small.empty or free.empty:
        raise NotMeasured("no way back was watched")
    mechanism = frame[frame["part"] == "mechanism"].set_index("quantity")["value"]
    expected = mechanism["growth rate backward"]
    slope, _ = np.polyfit(small["s"], np.log(small["y2_error"]), 1)
    worst = free.loc[free["y2_error"].idxmax()]
    measured = (
        f"through the layer that a jump leaves in the adjoint, error control takes steps of "
        f"{mechanism['adjoint first steps']:.1g} s; in steps of {SMALL_STEP:.0e} s y2's error "
        f"grows as e^({slope:.3g} s), the Jacobian's eigenvalue being {expected:.3g} / s; in the "
        f"own steps of SciPy's BDF, without the adjoint, it stays below {worst['y2_error']:.0e} as "
        f"far back as t = {free['t'].min():.0e} (rtol = atol = {worst['rtol']:.0e})"
    )
    if not 1 / GROWTH <= slope / expected <= GROWTH:
        return refuted(measured, "it does not grow at the rate of the reversed equation")
    if free.groupby("rtol")["y2_error"].max().min() > EXPLODED:
        return confirmed(measured)
    return differs(
        measured,
        "exponentially, not linearly, and only where the adjoint's error control keeps the steps "
        "short: left alone, an implicit scheme steps over the growing mode",
    )


def judge_agreement(frame: DataFrame) -> Verdict:
    rows = _tried(frame, "working")
    strategy = rows["method"].map(lambda name: get_method(name).strategy)
    rows = rows[strategy.isin(["interpolating", "discrete"])]
    measured, agree = [], {}
    for factor in (EQUAL, SMALL):
        ended = rows[(rows["factor"] == factor) & rows["log_k1"].notna()]
        if ended.empty:
            raise NotMeasured("neither interpolating nor discrete adjoints ended")
        slopes = ended[["log_k1", "log_k2", "log_k3"]]
        spread = (slopes - slopes.median()).abs().max(axis=1)
        agree[factor] = spread <= THREE_DECIMALS
        off = ended["method"][~agree[factor]]
        measured.append(
            f"atol = {factor:g} rtol: {agree[factor].sum()} of {len(ended)} agree to three decimals"
            + (f", not {', '.join(off)} (off by {spread.max():.1e})" if len(off) else "")
        )
    text = "; ".join(measured)
    kinds = {factor: set(strategy[good.index[good]].unique()) for factor, good in agree.items()}
    if agree[EQUAL].all():
        return confirmed(text)
    if any(len(kind) == 2 for kind in kinds.values()):
        return differs(text, "it depends on the absolute tolerance and on the integrator")
    return refuted(text, "no interpolating adjoint agrees with a discrete one")


CLAIMS = (
    Claim(
        "backsolve fails",
        "The adjoint that reverses the ODE fails for all tol = 1e-6, ..., 1e-14",
        PAPER,
        "Every registered method fails at every tolerance; some return NaN silently",
        _fails("backsolve", "as they are"),
    ),
    Claim(
        "resets do not help",
        "One has to avoid reversing the ODE at all",
        PAPER,
        "Also with the states reset at all 50 observations: 32 of 32 configurations failed",
        _fails("reset", "with a reset at every observation"),
    ),
    Claim(
        "near the start",
        "It exits near the start of the reverse pass",
        PAPER,
        "SciPy's adjoints stop in the first stretches between observations",
        judge_start,
    ),
    Claim(
        "amplification",
        "2 k2 amplifies a y2 error of 1e-10 to O(1e-3) in d/dt dL/dtheta",
        PAPER,
        "2 k2 = 6e7, so 6e-3, in the Jacobian that the adjoint is multiplied by",
        judge_amplification,
    ),
    Claim(
        "explosion",
        "On the way back the error explodes, linearly",
        PAPER,
        "Exponentially, at the rate of the Jacobian's largest eigenvalue, 1e4 / s at t1",
        judge_explosion,
    ),
    Claim(
        "adjoints that work",
        "InterpolatingAdjoint and discrete sensitivities agree to three decimals at tol = 1e-6",
        PAPER,
        "p dL/dp = (-3.67650891, -1.57892489, 3.15797532) from both",
        judge_agreement,
    ),
)


def draw(frame: DataFrame) -> Figure:
    """The failure map, the errors of the adjoints that work, and y2's error on the way back."""
    from studies import _figures

    figure, axes = _figures.panels(1, 3, size=(14.0, 6.0))
    _draw_map(axes[0, 0], frame)
    _draw_working(axes[0, 1], frame)
    _draw_back(axes[0, 2], frame)
    return figure


def _draw_map(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[frame["part"].isin(["backsolve", "reset"])]
    suffix = rows["part"].map({"backsolve": "", "reset": " + resets"})
    signs = rows["status"].map({name: sign for name, (sign, _) in STATUSES.items()})
    signs = signs.mask(_skipped(rows), NOT_TRIED)
    table = rows.assign(name=rows["method"] + suffix, sign=signs).pivot(
        index="name", columns="rtol", values="sign"
    )
    table = table[sorted(table.columns, reverse=True)].fillna("")
    for i, line in enumerate(table.to_numpy()):
        for j, sign in enumerate(line):
            colour = _figures.COLOURS[2 if sign == STATUSES["ok"][0] else 1]
            axis.text(j, i, sign, ha="center", va="center", color=colour, weight="bold")
    axis.set(xlim=(-0.5, table.shape[1] - 0.5), ylim=(len(table) - 0.5, -0.5))
    axis.set_xticks(range(table.shape[1]), [f"{rtol:.0e}" for rtol in table], rotation=60)
    axis.set_yticks(range(len(table)), list(table.index), fontsize=7)
    shown = [name for name in STATUSES if name in set(rows["status"])]
    legend = ", ".join(f"{STATUSES[name][0]} {name}" for name in shown)
    legend += f", {NOT_TRIED} not tried after T"
    axis.set(xlabel=f"rtol = atol\n{legend}", title="Backsolve adjoints")


def _draw_working(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[(frame["part"] == "working") & (frame["gradient_error"] > 0)]
    names = sorted(rows["method"].unique())
    for look, (factor, label) in zip(
        _figures.looks(), ((EQUAL, "atol = rtol"), (SMALL, f"atol = {SMALL:g} rtol")), strict=False
    ):
        of_factor = rows[rows["factor"] == factor].set_index("method")["gradient_error"]
        where = [names.index(name) for name in of_factor.index]
        axis.plot(of_factor, where, label=label, **{**look, "linestyle": ""})
    axis.axvline(THREE_DECIMALS, color=_figures.CLAIMED, linestyle="--", label="three decimals")
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.set(xscale="log", xlabel="relative gradient error", ylim=(len(names) - 0.5, -0.5))
    axis.set_title(f"Adjoints that work, rtol = {WORKING_RTOL:.0e}")
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.1), ncols=3)


def _draw_back(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[(frame["part"] == "way back") & (frame["status"] == "ok")]
    tolerances = rows.sort_values("rtol", ascending=False).groupby("rtol", sort=False)
    for look, (rtol, line) in zip(_figures.looks(), tolerances, strict=False):
        line = line.sort_values("s")
        look = {**look, "marker": ""}
        axis.plot(line["s"], line["y2_error"], label=f"states alone, rtol = {rtol:.0e}", **look)
    small = frame[frame["part"] == "small steps"]
    label = f"steps ≤ {SMALL_STEP:.0e} s, as in the adjoint's layer"
    axis.plot(small["s"], small["y2_error"], color="black", linewidth=2.5, label=label)
    axis.plot(DISTANCE, Y2_ERROR, "*", color="black", markersize=13, label="claimed (figure 2)")
    axis.axhline(EXPLODED, color=_figures.CLAIMED, linestyle=":", label="y2 itself at t1")
    axis.set(xscale="log", yscale="log", xlabel="1e5 − t [s]", ylabel="|error of y2|")
    axis.set(title="y2 on the way back, SciPy's BDF", ylim=(1e-17, 1e-3))
    axis.legend(loc="upper right")


def numbers(frame: DataFrame) -> dict[str, float]:
    """`usable`: backsolve gradients within 10 %; by method: errors of the adjoints that work."""
    rows = frame[(frame["part"] == "working") & (frame["factor"] == SMALL)]
    found = {row.method: float(row.gradient_error) for row in rows.itertuples()}
    tried = frame[frame["part"].isin(["backsolve", "reset"])]
    return {"usable": float(len(_usable(tried))), **found}


STUDY = Study(
    name="backsolve-fails",
    title="Backsolve adjoints on Robertson's reaction, and those that work",
    source=PAPER,
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
)
