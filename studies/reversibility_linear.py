"""The linear test equation solved forward and back, by every integrator (Kim et al., figure 3).

y' = -lambda y on (0, 1), y(0) = 1. The way back multiplies the forward solve's error at t = 1 by
e^lambda; how large that error is depends on the absolute tolerance, and whether the solver follows
the growing solution back at all depends on the scheme: implicit ones damp it and report success.
"""

from typing import Any

import numpy as np

from adapters import Solver, get_method
from problems import get_problem
from studies import Claim, NotMeasured, Row, Study, Verdict, attempts, confirmed, differs, refuted
from studies._methods import anything, integrator, one_an_integrator, quickly, solver
from studies._study import DataFrame, Figure

QUICK_RATES = (1.0, 10.0, 20.0, 30.0, 50.0, 100.0, 1e4)
FULL_RATES = (1.0, 3.0, 10.0, 20.0, 30.0, 40.0, 50.0, 70.0, 100.0, 200.0, 300.0, 500.0, 1e3, 1e4)
# Purely relative error control, which SciPy and diffrax do not take as an atol of 0.
NO_ATOL = 1e-300
PURE, EQUAL = "none", "rtol"
QUICK_RTOLS, FULL_RTOLS = (1e-3, 1e-6), (1e-3, 1e-6, 1e-9, 1e-12)
QUICK_SECONDS, FULL_SECONDS = 4.0, 15.0
# The steps of one reverse solve are looked at one by one.
WATCHED_RATE, WATCHED_TOLERANCE = 100.0, 1e-6
SHOWN_RATE = 100.0
TSIT5 = "diffrax/tsit5"
PAPER = "Kim et al. 2021, Chaos 31, 093122"
# "About": a factor either way.
ABOUT = 5.0


def run(quick: bool) -> DataFrame:
    """Rows of `part` "error", a round trip each, and of `part` "step", a step of one way back."""
    import pandas as pd

    rtols = QUICK_RTOLS if quick else FULL_RTOLS
    cases = [
        {"part": "error", "method": method.name, "control": control, "rtol": rtol, "rate": rate}
        for method in one_an_integrator(quickly if quick else anything)
        for control in (EQUAL, PURE)
        for rtol in rtols
        for rate in (QUICK_RATES if quick else FULL_RATES)
    ]
    limit = QUICK_SECONDS if quick else FULL_SECONDS
    together = ("method", "control", "rtol")
    rows = attempts(round_trip, cases, limit, at_once=2, give_up=together, ready=get_ready)
    return pd.DataFrame(rows + watched_steps())


def _bound(method: str, control: str, rtol: float, rate: float) -> tuple[Solver, Any]:
    problem = get_problem(f"linear:{rate:g}:final")
    atol = rtol if control == EQUAL else NO_ATOL
    return solver(problem, method), (problem.y0, problem.p, rtol, atol)


def get_ready(part: str, **case: Any) -> None:
    """Import and compile."""
    bound, arguments = _bound(**case)
    bound.forward(*arguments)


def round_trip(part: str, rate: float, **case: Any) -> Row:
    """Errors after the way forward and after the way back."""
    bound, (y0, p, rtol, atol) = _bound(rate=rate, **case)
    end = bound.forward(y0, p, rtol, atol)().ys[-1]
    back = bound.reverse(end, p, rtol, atol)()
    row: Row = {
        "atol": atol,
        "forward_error": float(abs(end[0] - np.exp(-rate))),
        "error": float(abs(back.ys[0] - 1.0)),
        "recovered": float(back.ys[0]),
        "steps_back": back.counters.steps,
    }
    if not np.isfinite(back.ys[0]):
        row |= {"status": "non-finite", "reason": "the way back ended in NaN or infinity"}
    return row


def watched_steps() -> list[Row]:
    """z = h lambda and the growth of y of every step that SciPy's Radau takes on the way back."""
    from scipy.integrate import Radau

    start = np.array([np.exp(-WATCHED_RATE)])
    tolerance = {"rtol": WATCHED_TOLERANCE, "atol": WATCHED_TOLERANCE}
    jacobian = np.array([[WATCHED_RATE]])
    solver = Radau(lambda s, y: WATCHED_RATE * y, 0.0, start, 1.0, jac=jacobian, **tolerance)
    rows = []
    while solver.status == "running":
        before = solver.y
        solver.step()
        z = float(solver.step_size * WATCHED_RATE)
        rows.append({"part": "step", "z": z, "growth": float(abs(solver.y / before)[0])})
    return rows


def radau5(z: Any) -> Any:
    """Stability function of the 3-stage Radau IIA scheme, the (2, 3) Padé approximation of e^z.

    Source: Hairer & Wanner 1996, Solving Ordinary Differential Equations II, section IV.5.
    """
    return (1 + 2 * z / 5 + z**2 / 20) / (1 - 3 * z / 5 + 3 * z**2 / 20 - z**3 / 60)


def errors(frame: DataFrame, **wanted: Any) -> Any:
    """Finished round trips with these values."""
    rows = frame[(frame["part"] == "error") & (frame["status"] == "ok")]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows


def _of(frame: DataFrame, name: str, **wanted: Any) -> Any:
    rows = errors(frame, **wanted)
    rows = rows[rows["method"].map(integrator) == name]
    if rows.empty:
        raise NotMeasured(f"no round trip of {name} with {wanted} ended")
    return rows


def _implicit(frame: DataFrame) -> Any:
    return frame["method"].map(lambda name: get_method(name).implicit)


def judge_hundred(frame: DataFrame) -> Verdict:
    pure = _of(frame, TSIT5, rate=100.0, control=PURE).set_index("rtol")["error"]
    equal = errors(frame, rate=100.0, control=EQUAL)
    equal = equal[equal["method"].map(integrator) == TSIT5].set_index("rtol")["error"]
    measured = "Tsit5, purely relative control: " + ", ".join(
        f"{error:.2g} at rtol {rtol:.0e}" for rtol, error in pure.items()
    )
    measured += "; atol = rtol: " + (
        ", ".join(f"{error:.1e} at {rtol:.0e}" for rtol, error in equal.items()) or "never ended"
    )
    near = [rtol for rtol, error in pure.items() if 0.01 / ABOUT <= error <= 0.01 * ABOUT]
    if not near:
        return refuted(measured, "no tolerance tried gives an error near 1 %")
    if len(equal) and (equal <= 0.01 * ABOUT).all():
        return confirmed(measured)
    return differs(
        measured,
        f"1 % only where no absolute tolerance enters, at rtol {near[0]:.0e}: e^-100 is far below "
        "any usual atol, and then the error is e^100 times what atol allows",
    )


def judge_ten_thousand(frame: DataFrame) -> Verdict:
    rows = frame[(frame["part"] == "error") & (frame["rate"] == 1e4)]
    if rows.empty:
        raise NotMeasured("nothing was tried at lambda = 1e4")
    ended = rows[rows["status"] == "ok"]
    worst = float(ended["error"].min()) if len(ended) else np.inf
    measured = (
        f"{len(rows)} tried, {len(ended)} ended with success, smallest error of these {worst:.2g}"
    )
    if worst < 0.5:
        best = ended.loc[ended["error"].idxmin()]
        return refuted(measured, f"{best['method']} at rtol {best['rtol']:.0e} came back")
    return confirmed(f"{measured}; e^-10000 is 0 in double precision")


def judge_model(frame: DataFrame) -> Verdict:
    rows = errors(frame, control=EQUAL)
    rows = rows[(rows["rate"] >= 30) & (rows["rate"] <= 100) & (rows["forward_error"] > 0)]
    if rows.empty:
        raise NotMeasured("no round trip between lambda = 30 and 100 ended")
    ratio = rows["error"] / (np.exp(rows["rate"]) * rows["forward_error"])
    explicit, implicit = ratio[~_implicit(rows)], ratio[_implicit(rows)]
    if explicit.empty:
        raise NotMeasured("no explicit integrator came back")
    off = float(np.exp(np.abs(np.log(explicit)).median()))
    measured = (
        f"error / (e^lambda forward error), lambda 30 to 100, atol = rtol: explicit median "
        f"{explicit.median():.2g}, implicit {implicit.median():.2g}"
    )
    if off > ABOUT:
        return refuted(measured, f"explicit integrators are off by a median factor of {off:.2g}")
    if len(implicit) and implicit.median() < 1 / ABOUT:
        return differs(
            measured,
            "the way back of an implicit scheme does not grow like the solution: its own error "
            "takes the amplified one away, and leaves 100 %",
        )
    return confirmed(measured)


def judge_exponential(frame: DataFrame) -> Verdict:
    rows = _of(frame, TSIT5, control=EQUAL, rtol=1e-6)
    rows = rows[(rows["rate"] >= 10) & (rows["rate"] <= 100)]
    if len(rows) < 3:
        raise NotMeasured("fewer than three of Tsit5's round trips ended")
    slope = float(np.polyfit(rows["rate"], np.log(rows["error"]), 1)[0])
    measured = f"ln(error) grows by {slope:.2f} a unit of lambda (Tsit5, rtol = atol = 1e-6)"
    if 0.7 <= slope <= 1.3:
        return confirmed(measured)
    return refuted(measured, "e^lambda would be 1")


def judge_divergence(frame: DataFrame) -> Verdict:
    rows = errors(frame, control=EQUAL, rtol=1e-6, rate=100.0)
    implicit, explicit = rows[_implicit(rows)], rows[~_implicit(rows)]
    steps = frame[frame["part"] == "step"]
    if implicit.empty or steps.empty:
        raise NotMeasured("no implicit integrator ended")
    silent = implicit[(implicit["error"] > 0.9) & (implicit["error"] < 1.1)]
    off = float(np.abs(steps["growth"] / np.abs(radau5(steps["z"])) - 1).median())
    last = steps.loc[steps["z"].idxmax()]
    measured = (
        f"at lambda = 100, atol = rtol = 1e-6: explicit error {explicit['error'].min():.0e} or "
        f"more; {len(silent)} of {len(implicit)} implicit integrators that report success return "
        f"0 (error 1.00). Radau's way back takes {len(steps)} steps, each growing y by "
        f"|R(h lambda)| (median deviation {off:.0e}), the last with h lambda = {last['z']:.0f} by "
        f"{last['growth']:.2g}"
    )
    if silent.empty:
        return confirmed(measured)
    return differs(
        measured,
        "the equation diverges, an implicit solve of it need not: below atol any step is accepted, "
        "h lambda grows to where |R| < 1, and y is damped to 0 without a sign of failure",
    )


CLAIMS = (
    Claim(
        "one percent at 100",
        "Forward and back, a standard solver is off by about 1 % at lambda = 100",
        f"{PAPER}, III.A",
        "Only with purely relative control: with atol > 0 the error is about atol e^100",
        judge_hundred,
    ),
    Claim(
        "impossible at 1e4",
        "lambda = 10000 cannot be reversed numerically in double precision",
        f"{PAPER}, III.A",
        "True of any method: e^-10000 underflows, the start of the way back is 0 or noise",
        judge_ten_thousand,
    ),
    Claim(
        "error model",
        "The error at t = 0 is e^lambda eps_f(1) + eps_b(0)",
        f"{PAPER}, III.A (there u' = lambda u with lambda < 0)",
        "Ratio to e^lambda eps_f(1) about 1 for explicit schemes; far below 1 for implicit ones",
        judge_model,
    ),
    Claim(
        "exponential blow-up",
        "Tsit5's error at t = 0 grows exponentially with lambda",
        f"{PAPER}, figure 3",
        "d ln(error) / d lambda = 1 once the forward error is bounded by atol",
        judge_exponential,
    ),
    Claim(
        "divergence",
        "A stable forward problem implies the exponential divergence of the reverse problem",
        f"{PAPER}, III.A",
        "Implicit schemes return 0 and report success, for |R(z)| < 1 at large z > 0 too",
        judge_divergence,
    ),
)


def draw(frame: DataFrame) -> Figure:
    """Tsit5 over tolerances; every integrator with and without atol; the steps of a way back."""
    from studies import _figures

    figure, axes = _figures.panels(2, 2, size=(10.0, 8.0))
    _draw_tsit5(axes[0, 0], frame)
    rtol = 1e-6
    for axis, control in ((axes[0, 1], EQUAL), (axes[1, 0], PURE)):
        _draw_all(axis, frame, control, rtol)
    _draw_steps(axes[1, 1], frame[frame["part"] == "step"])
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def _finish(axis: Any, title: str) -> None:
    from studies import _figures

    axis.set(yscale="log", title=title, ylim=(1e-13, 1e45))
    axis.set(xlabel="λ [1/s]", ylabel="|y recovered − y(0)| at t = 0")
    axis.axhline(1.0, color="black", linewidth=0.8)
    axis.axhline(0.01, color=_figures.CLAIMED, linestyle=":", linewidth=1)
    ends = {"xycoords": axis.get_yaxis_transform(), "ha": "right", "fontsize": 7}
    axis.annotate("100 %", (0.99, 3), **ends)
    axis.annotate("1 %", (0.99, 1e-4), color=_figures.CLAIMED, **ends)


def _draw_tsit5(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = errors(frame)
    rows = rows[rows["method"].map(integrator) == TSIT5]
    rows = rows[rows["rate"] <= SHOWN_RATE]
    for look, (rtol, of_rtol) in zip(_figures.looks(), rows.groupby("rtol"), strict=False):
        for control, style in ((EQUAL, "-"), (PURE, "--")):
            line = of_rtol[of_rtol["control"] == control].sort_values("rate")
            label = f"rtol {rtol:.0e}, atol " + ("= rtol" if control == EQUAL else "→ 0")
            axis.plot(line["rate"], line["error"], label=label, **{**look, "linestyle": style})
    axis.plot(100, 0.01, "*", color="black", markersize=13, label="claimed", zorder=5)
    _finish(axis, "Tsit5 (figure 3 of the paper)")
    axis.legend(loc="upper left")


def _draw_all(axis: Any, frame: DataFrame, control: str, rtol: float) -> None:
    from studies import _figures

    names = sorted({integrator(name) for name in frame["method"] if name})
    rows = errors(frame, control=control, rtol=rtol)
    for look, name in zip(_figures.looks(), names, strict=False):
        line = rows[rows["method"].map(integrator) == name].sort_values("rate")
        axis.plot(line["rate"], line["error"], label=name, **look)
    title = "atol = rtol" if control == EQUAL else "atol → 0"
    axis.set_xscale("log")
    _finish(axis, f"Every integrator, rtol {rtol:.0e}, {title}")


def _draw_steps(axis: Any, steps: DataFrame) -> None:
    from studies import _figures

    z = np.geomspace(1e-2, 2e3, 400)
    axis.plot(z, np.abs(radau5(z)), color="#0072B2", label="|R(z)|, Radau IIA of order 5")
    axis.plot(
        z, np.exp(np.minimum(z, 50)), color=_figures.CLAIMED, linestyle="--", label="e^z, the ODE"
    )
    axis.plot(
        steps["z"], steps["growth"], "o", color="#D55E00", label="steps taken on the way back"
    )
    axis.axhline(1.0, color="black", linewidth=0.8)
    axis.set(xscale="log", yscale="log", ylim=(1e-3, 1e3), xlabel="z = h λ")
    axis.set(ylabel="|y after / y before| of a step")
    axis.set_title(f"Why it fails in silence: λ = {WATCHED_RATE:g}, atol = rtol = 1e-6")
    axis.legend(loc="lower left")


def numbers(frame: DataFrame) -> dict[str, float]:
    """Errors at lambda = 30, atol = rtol = 1e-6, by integrator; NaN where it failed."""
    rows = frame[(frame["part"] == "error") & (frame["control"] == EQUAL)]
    rows = rows[(rows["rtol"] == 1e-6) & (rows["rate"] == 30.0)]
    return {integrator(row.method): float(row.error) for row in rows.itertuples()}


STUDY = Study(
    name="reversibility-linear",
    title="y' = -lambda y, forward and back",
    source=PAPER,
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
)
