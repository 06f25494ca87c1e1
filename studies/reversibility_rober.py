"""Robertson's reaction solved to t = 1e5 and back, by every integrator (Kim et al., figures 1, 2).

The paper's integrator is CVODE's BDF at atol = rtol. Any registered BDF stands beside the others;
where a way back ends early, its trajectory is shown as far as it goes. The absolute tolerance is
always stated, because it moves these errors by more than an order of magnitude.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import Solver, get_method, load
from problems import Problem, get_problem, spectrum
from studies import Claim, NotMeasured, Row, Study, Verdict, attempts, confirmed, differs, refuted
from studies._back import as_far_as_it_goes, way_back
from studies._methods import anything, integrator, one_an_integrator, quickly, solver
from studies._study import DataFrame, Figure

RTOLS = (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12)
QUICK_RTOLS = (1e-6, 1e-8, 1e-10)
SHOWN = (1e-6, 1e-7, 1e-8)
# Multiples of rtol that are tried as atol: the paper's, and the problem's own.
EQUAL, SMALL = 1.0, 1e-5
QUICK_SECONDS, FULL_SECONDS = 5.0, 30.0
# Where figure 2 zooms in: t from 99999.98999 to 1e5.
ZOOM = 1e5 - 99999.98999
PAPER = "Kim et al. 2021, Chaos 31, 093122"
# Where failures are drawn in a panel of errors.
FAILED_AT = 2e3
CLAIMED_Y2 = 1e-10
CLAIMED = {1e-6: 0.72, 1e-7: 0.38, 1e-8: 0.05, 1e-10: 0.001}
# An error so many times the claimed one, either way, still counts as the same.
ABOUT = 3.0
IMPERCEPTIBLE, NOTICEABLE = 1e-3, 1e-2
# A way back with a smaller error has recovered the initial state, but for y2's initial layer.
RECOVERED = 1e-3

Array = NDArray[np.float64]


def run(quick: bool) -> DataFrame:
    """Rows of `part` "error" (a round trip), "trajectory" (a state on one) and "spectrum"."""
    import pandas as pd

    cases: list[Row] = [
        {"part": "error", "method": method.name, "factor": factor, "rtol": rtol}
        for method in one_an_integrator(quickly if quick else anything)
        for factor in (EQUAL, SMALL)
        for rtol in (QUICK_RTOLS if quick and method.integrator != "bdf" else RTOLS)
    ]
    limit = QUICK_SECONDS if quick else FULL_SECONDS
    rows = attempts(
        round_trip, cases, limit, at_once=2, give_up=("method", "factor"), ready=get_ready
    )
    watched = [
        {**case, "part": "trajectory"}
        for case in cases
        if get_method(case["method"]).integrator == "bdf" and case["rtol"] in SHOWN
    ]
    rows += attempts(trajectory, watched, 5 * limit, at_once=2, give_up=("method", "factor"))
    return pd.DataFrame(rows + stiffness())


def _is_bdf(name: str) -> bool:
    return "bdf" in integrator(name)


def get_ready(part: str, method: str, factor: float, rtol: float) -> None:
    """Import and compile, and have the reference at hand."""
    problem = get_problem("rober")
    _reference()
    solver(problem, method).forward(problem.y0, problem.p, rtol, factor * rtol)


def round_trip(part: str, method: str, factor: float, rtol: float) -> Row:
    """Errors of every state after the way forward and after the way back."""
    problem = get_problem("rober")
    atol = factor * rtol
    bound = solver(problem, method)
    there = bound.forward(problem.y0, problem.p, rtol, atol)().ys
    row: Row = {"atol": atol, "forward_error": forward_error(there)}
    back = bound.reverse(there[-1], problem.p, rtol, atol)().ys
    gap = back - problem.y0
    row |= {f"{name}_back": float(y) for name, y in zip(problem.states, back, strict=True)}
    if not np.isfinite(back).all():
        return row | {"status": "non-finite", "reason": "the way back ended in NaN or infinity"}
    return row | {"error": float(np.linalg.norm(gap) / np.linalg.norm(problem.y0))}


@lru_cache(maxsize=1)
def _reference() -> Array:
    """States at the observation times, to ten digits."""
    problem = get_problem("rober")
    return _radau(problem).forward(problem.y0, problem.p, 1e-10, 1e-16)().ys


def _radau(problem: Problem) -> Solver:
    return load(problem, get_method("scipy/radau/forward"))


def forward_error(ys: Array) -> float:
    """Largest error of (N, n) states at the observation times, relative to each state's maximum."""
    return float(np.max(np.abs(ys - _reference()) / get_problem("rober").y_scale))


def trajectory(part: str, method: str, factor: float, rtol: float) -> list[Row]:
    """The states both ways, at the observation times and where figure 2 zooms in."""
    problem = get_problem("rober")
    atol = factor * rtol
    bound = load(problem, get_method(method))
    there = bound.forward(problem.y0, problem.p, rtol, atol)().ys
    rows = _states("forward", problem, problem.times, problem.t1 - problem.times, there)
    distances = np.union1d(ZOOM * np.linspace(0.05, 1.0, 20), problem.t1 - problem.times[:-1])
    back = way_back(problem, there[-1], np.append(distances, problem.t1))
    states, why = as_far_as_it_goes(lambda part: load(part, get_method(method)), back, rtol, atol)
    distances = back.times[: len(states)]
    rows += _states("back", problem, problem.t1 - distances, distances, states)
    rows[-1]["stopped"] = why
    return rows


def _states(
    direction: str, problem: Problem, times: Array, distances: Array, states: Array
) -> list[Row]:
    return [
        {
            "direction": direction,
            "t": float(t),
            "s": float(s),
            **{name: float(value) for name, value in zip(problem.states, y, strict=True)},
            "eigenvalue": fastest(problem, t, y),
        }
        for t, s, y in zip(times, distances, states, strict=True)
    ]


def fastest(problem: Problem, t: float, y: Array) -> float:
    """Largest magnitude of the eigenvalues of the Jacobian, 1/s."""
    return float(np.abs(np.linalg.eigvals(problem.jacobian(t, y, problem.p))).max())


def stiffness() -> list[Row]:
    """Eigenvalues along the true trajectory, and y2 where figure 2 zooms in."""
    problem = get_problem("rober")
    found = spectrum(problem)
    rows = [
        {"part": "spectrum", "t": float(t), "eigenvalue": abs(float(value))}
        for t, value in zip(found.times, found.fastest, strict=True)
    ]
    end = _reference()[-1]
    # y2 is quasi-steady: over this hundredth of a second it moves by less than 1e-14
    back = way_back(problem, end, np.array([ZOOM / 2, ZOOM]))
    states = _radau(back).forward(end, back.p, 1e-10, 1e-20)().ys
    zoomed = zip([0.0, *back.times], [end, *states], strict=True)
    return rows + [{"part": "true", "s": float(s), "y2": float(y[1])} for s, y in zoomed]


def _errors(frame: DataFrame, **wanted: Any) -> Any:
    rows = frame[frame["part"] == "error"]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    return rows


def _bdf(frame: DataFrame, rtol: float, factor: float = EQUAL) -> Any:
    rows = _errors(frame, rtol=rtol, factor=factor)
    # what was cut short says nothing about where it would have come
    rows = rows[rows["method"].map(_is_bdf) & ~rows["status"].isin(["not-installed", "timeout"])]
    if rows.empty:
        raise NotMeasured(f"no BDF ended, well or badly, at rtol {rtol:.0e}")
    return rows


def _listed(rows: DataFrame) -> str:
    return ", ".join(
        f"{integrator(row.method)} " + (f"{row.error:.2%}" if row.status == "ok" else row.status)
        for row in rows.itertuples()
    )


def _judge(rtol: float, claimed: float) -> Any:
    """The verdict on one of the paper's percentages, over all BDF integrators."""

    def judge(frame: DataFrame) -> Verdict:
        rows = _bdf(frame, rtol)
        small = _bdf(frame, rtol, SMALL)
        measured = f"atol = rtol: {_listed(rows)}; atol = {SMALL:.0e} rtol: {_listed(small)}"
        ended = rows[rows["status"] == "ok"]["error"]
        near = (ended >= claimed / ABOUT) & (ended <= claimed * ABOUT)
        if len(ended) == len(rows) and near.all():
            return confirmed(measured)
        if near.any():
            return differs(measured, "not every BDF agrees")
        if (ended > claimed).all():
            what = "none of these comes back at all" if ended.empty else "the error is larger here"
            return differs(measured, f"{what}: another BDF than CVODE's, and another history")
        return refuted(measured, f"off by more than a factor of {ABOUT:g}, and smaller")

    return judge


def judge_below(frame: DataFrame) -> Verdict:
    at = {rtol: _bdf(frame, rtol) for rtol in (1e-9, 1e-10)}
    measured = "; ".join(f"at {rtol:.0e}: {_listed(rows)}" for rtol, rows in at.items())
    reached = {rtol: rows[rows["status"] == "ok"]["error"].min() for rtol, rows in at.items()}
    limit = CLAIMED[1e-10]
    if np.isnan(reached[1e-10]):
        raise NotMeasured("no BDF came back at 1e-10")
    if reached[1e-9] <= limit:
        return refuted(measured, "0.1 % is reached at 1e-9 already")
    if reached[1e-10] <= 2 * limit:
        return confirmed(measured)
    return refuted(measured, "0.1 % is not reached at 1e-10")


def judge_imperceptible(frame: DataFrame) -> Verdict:
    rows = _errors(frame, status="ok", factor=EQUAL)
    rows = rows[rows["method"].map(_is_bdf)]
    shown = rows[(rows["forward_error"] < IMPERCEPTIBLE) & (rows["error"] > NOTICEABLE)]
    if rows.empty:
        raise NotMeasured("no BDF came back")
    if shown.empty:
        return refuted(_listed(rows), "every forward error under 0.1 % came back to under 1 %")
    row = shown.loc[(shown["error"] / shown["forward_error"]).idxmax()]
    return confirmed(
        f"{integrator(row['method'])} at atol = rtol = {row['rtol']:.0e}: largest forward error "
        f"{row['forward_error']:.1e} of each state's maximum, {row['error']:.1%} after the way back"
    )


def judge_difficult(frame: DataFrame) -> Verdict:
    rows = _errors(frame, factor=EQUAL, rtol=1e-6)
    rows = rows[rows["status"] != "not-installed"]
    if rows.empty:
        raise NotMeasured("nothing was tried at 1e-6")
    ended = rows[rows["status"] == "ok"]
    back = ended[ended["error"] <= RECOVERED]
    wrong = ended[ended["error"] >= NOTICEABLE]
    every = frame[(frame["part"] == "error") & (frame["status"] == "ok")]
    lies = sorted({integrator(name) for name in every[every["error"] > 1]["method"]})
    measured = (
        f"at atol = rtol = 1e-6, of {len(rows)} integrators {len(rows) - len(ended)} fail or do "
        f"not end; back within {RECOVERED:.1%}: {_listed(back) or 'none'}; success reported, but "
        f"over {NOTICEABLE:.0%} off: {_listed(wrong) or 'none'}; success reported at some "
        f"tolerance, with more than 100 % error: {', '.join(lies) or 'none'}"
    )
    if back.empty:
        return confirmed(measured)
    return differs(
        measured,
        "it depends on the scheme: one-step methods that damp the growing mode step over it, so "
        "that a good way back says nothing about the gradient taken along it",
    )


def judge_zoom(frame: DataFrame) -> Verdict:
    rows = frame[(frame["part"] == "trajectory") & (frame["direction"] == "back")]
    rows = rows[(rows["factor"] == EQUAL) & np.isclose(rows["s"], ZOOM, rtol=1e-9)]
    if rows.empty:
        raise NotMeasured("no BDF came back as far as t = 99999.98999")
    true = frame[(frame["part"] == "true") & np.isclose(frame["s"], ZOOM, rtol=1e-9)]["y2"]
    gaps = (rows["y2"] - true.iloc[0]).abs()
    measured = ", ".join(
        f"{gap:.1e} at atol = rtol = {rtol:.0e} ({integrator(name)})"
        for gap, rtol, name in zip(gaps, rows["rtol"], rows["method"], strict=True)
    )
    if ((gaps >= CLAIMED_Y2 / ABOUT) & (gaps <= CLAIMED_Y2 * ABOUT)).any():
        return confirmed(measured)
    if (gaps < CLAIMED_Y2).all():
        return differs(
            measured, f"smaller by {CLAIMED_Y2 / gaps.max():.0f} or more: another BDF than CVODE's"
        )
    return refuted(measured, "no tolerance gives an error near 1e-10")


def _percentage(rtol: float) -> Claim:
    expected = {
        1e-6: "CVODES and SciPy's BDF: neither comes back",
        1e-7: "CVODES 93 %; SciPy's BDF does not come back",
        1e-8: "CVODES 13 %, SciPy's BDF 4.6 to 6.5 %",
    }[rtol]
    return Claim(
        f"error at {rtol:.0e}",
        f"tol = abstol = reltol = {rtol:.0e}: {CLAIMED[rtol]:.0%} error",
        f"{PAPER}, III.A and figure 1",
        expected,
        _judge(rtol, CLAIMED[rtol]),
    )


CLAIMS = (
    *(_percentage(rtol) for rtol in SHOWN),
    Claim(
        "0.1 % below 1e-10",
        "0.1 % error is only reached at tol < 1e-10",
        f"{PAPER}, III.A",
        "At 1e-10: CVODES 0.21 %, SciPy's BDF 0.07 to 0.10 %",
        judge_below,
    ),
    Claim(
        "imperceptible",
        "Even with imperceptible errors in the forward pass the reverse solve has noticeable ones",
        f"{PAPER}, III.A and figure 1",
        "Forward errors near the tolerance, reverse errors of percents",
        judge_imperceptible,
    ),
    Claim(
        "y2 at the start",
        "On the way back y2 is off by about 1e-10 at t = 99999.98999",
        f"{PAPER}, III.A and figure 2",
        "Depends on the tolerance, which the figure's caption leaves open",
        judge_zoom,
    ),
    Claim(
        "difficult to reverse",
        "Stiff ODEs are numerically difficult to reverse",
        f"{PAPER}, III.A",
        "Radau IIA reverses ROBER to 0.024 % wherever it finishes; LSODA reports success far off",
        judge_difficult,
    ),
)


def draw(frame: DataFrame) -> Figure:
    """Figures 1 and 2 of the paper, and the error at t = 0 of every integrator below them."""
    from studies import _figures

    figure, axes = _figures.panels(3, 2, size=(10.0, 11.5))
    _draw_state(axes[0, 0], frame, "y1", (-0.3, 1.5), "y1 (figure 1, top)")
    _draw_state(axes[0, 1], frame, "y2", (-2e-5, 7e-5), "y2 (figure 2, top)")
    axes[0, 1].legend(*axes[0, 0].get_legend_handles_labels(), loc="upper right")
    _draw_spectrum(axes[1, 0], frame)
    _draw_zoom(axes[1, 1], frame)
    for axis, factor in ((axes[2, 0], EQUAL), (axes[2, 1], SMALL)):
        _draw_errors(axis, frame, factor)
    handles, labels = axes[2, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5)
    return figure


def _lines(frame: DataFrame) -> Any:
    """(rtol, integrator, direction, rows) of the trajectories at atol = rtol, and their looks."""
    from studies import _figures

    rows = frame[(frame["part"] == "trajectory") & (frame["factor"] == EQUAL)]
    rows = rows[rows["status"] == "ok"]
    for (method, group), style in zip(rows.groupby("method"), _figures.LINES, strict=False):
        for colour, (rtol, of_rtol) in zip(
            _figures.COLOURS,
            group.sort_values("rtol", ascending=False).groupby("rtol"),
            strict=False,
        ):
            back = of_rtol[of_rtol["direction"] == "back"].sort_values("s")
            look = {"color": colour, "linestyle": style}
            yield f"{integrator(method)} back, {rtol:.0e}", back, look


def _true(frame: DataFrame) -> Any:
    rows = frame[(frame["part"] == "trajectory") & (frame["direction"] == "forward")]
    tightest = rows[rows["rtol"] == rows["rtol"].min()]
    return tightest[tightest["method"] == tightest["method"].iloc[0]].sort_values("t")


def _draw_state(axis: Any, frame: DataFrame, name: str, limits: Any, title: str) -> None:
    for label, rows, look in _lines(frame):
        axis.plot(rows["t"].clip(lower=1e-5), rows[name], label=label, **look)
        last = rows.iloc[-1]
        if last["stopped"]:
            axis.plot(
                last["t"], np.clip(last[name], *limits), "x", color=look["color"], ms=9, mew=2
            )
    true = _true(frame)
    axis.plot(true["t"], true[name], color="black", linewidth=2.5, alpha=0.35, label="forward")
    axis.set(xscale="log", xlim=(1e-5, 1e5), ylim=limits, title=title)
    axis.set(xlabel="t [s]", ylabel=name)
    axis.legend(loc="upper left")


def _draw_spectrum(axis: Any, frame: DataFrame) -> None:
    for label, rows, look in _lines(frame):
        axis.plot(rows["t"].clip(lower=1e-5), rows["eigenvalue"], label=label, **look)
    true = frame[(frame["part"] == "spectrum") & (frame["t"] > 0)]
    axis.plot(true["t"], true["eigenvalue"], color="black", linewidth=2.5, alpha=0.35, label="true")
    axis.set(xscale="log", yscale="log", xlim=(1e-5, 1e5), xlabel="t [s]")
    axis.set(ylabel="largest |eigenvalue| of ∂f/∂y [1/s]", title="Stiffness (figure 1, bottom)")


def _draw_zoom(axis: Any, frame: DataFrame) -> None:
    true = frame[frame["part"] == "true"].sort_values("s")["y2"].iloc[-1]
    for label, rows, look in _lines(frame):
        zoomed = rows[(rows["s"] > 0) & (rows["s"] <= ZOOM * (1 + 1e-9))]
        axis.plot(zoomed["s"], (zoomed["y2"] - true).abs(), label=label, **look)
    axis.plot(ZOOM, CLAIMED_Y2, "*", color="black", markersize=13, label="claimed", zorder=5)
    axis.set(yscale="log", xlabel="1e5 − t [s]", ylabel="|error of y2| on the way back")
    axis.set_title("The first hundredth of a second back (figure 2, bottom)")
    axis.legend(loc="best")


def _draw_errors(axis: Any, frame: DataFrame, factor: float) -> None:
    from studies import _figures

    names = sorted({integrator(name) for name in _errors(frame, status="ok")["method"]})
    rows = _errors(frame, factor=factor)
    for look, name in zip(_figures.looks(), names, strict=False):
        line = rows[rows["method"].map(integrator) == name].sort_values("rtol")
        failed = line[line["status"] != "ok"]["rtol"]
        axis.plot(line["rtol"], line["error"], label=name, **look)
        axis.plot(failed, np.full(len(failed), FAILED_AT), **{**look, "linestyle": ""}, mfc="none")
    axis.annotate("failed", (rows["rtol"].max(), 2 * FAILED_AT), fontsize=8)
    if factor == EQUAL:
        axis.plot(*zip(*CLAIMED.items(), strict=True), "*", color="black", ms=12, label="claimed")
    relation = "atol = rtol" if factor == EQUAL else f"atol = {factor:.0e} rtol"
    axis.set(xscale="log", yscale="log", xlabel="rtol", title=f"Error at t = 0, {relation}")
    axis.set(ylabel="‖y recovered − y(0)‖ / ‖y(0)‖", ylim=(1e-5, 2e4))
    axis.invert_xaxis()


def numbers(frame: DataFrame) -> dict[str, float]:
    """`INTEGRATOR RTOL`: errors at t = 0 with atol = rtol; NaN where there is none."""
    rows = _errors(frame, factor=EQUAL)
    return {
        f"{integrator(row.method)} {row.rtol:.0e}": float(row.error) for row in rows.itertuples()
    }


STUDY = Study(
    name="reversibility-rober",
    title="Robertson's reaction, forward to t = 1e5 and back",
    source=PAPER,
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
)
