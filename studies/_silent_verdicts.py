"""Verdicts on wrong gradients, and on the checks that should see them."""

from typing import Any

import numpy as np

from adapters import get_method
from studies._silent_detectors import (
    ALARM,
    BLIND,
    FALSE_ALARM,
    NONE,
    SEEN,
    UNDERSTATED,
    matrix,
    text,
)
from studies._study import DataFrame, NotMeasured, Verdict, confirmed, differs, refuted

ROBER = "rober:t1=10"
DISCRETE = ("discrete", "forward-discrete")
CONTINUOUS = ("forward", "interpolating", "quadrature", "gauss", "imex")
RATIO_AT = (-0.01, -0.1, -1.0, -10.0, -100.0)
# Ours, derived from the closed form of R(z).
RATIOS = (1.0000, 0.999, 0.862, 57.9, 110.0)
# "Does not decrease": no more than this from the loosest to the tightest tolerance.
SAME = 1e-3
# What a tolerance promises, as the suite judges it.
PROMISED = 100.0
RIGHT, WRONG = 1e-3, 0.1


def _itself(frame: DataFrame, kinds: tuple[str, ...], problems: tuple[str, ...] = ()) -> Any:
    rows = frame[(frame["part"] == "matrix") & (frame["role"] == "itself")]
    rows = rows[rows["kind"].isin(kinds)]
    rows = rows[rows["problem"].isin(problems)] if problems else rows
    rows = rows[rows["gradient_error"].notna()]
    if rows.empty:
        raise NotMeasured("no such gradient was measured")
    return rows


def _figures(rows: DataFrame) -> str:
    return "; ".join(
        f"{row.method} ({row.kind}, {row.problem}, {row.rtol:.0e}): loss {row.loss_error:.0e}, "
        f"gradient {row.gradient_error:.2g}"
        for row in rows.itertuples()
    )


def judge_explicit(frame: DataFrame) -> Verdict:
    rows = _itself(frame, ("plain", "default", "library"), (ROBER,))
    rows = rows[[not get_method(name).implicit for name in rows["method"]]]
    if rows.empty:
        raise NotMeasured("no explicit gradient ended")
    measured = f"relative errors: {_figures(rows)}"
    silent = rows[(rows["loss_error"] < RIGHT) & (rows["gradient_error"] > 1)]
    if len(silent) == len(rows):
        return confirmed(measured)
    if silent.empty:
        return refuted(measured, "where the loss is right, so is the gradient")
    return differs(measured, "not every integrator and controller")


def judge_truncated(frame: DataFrame) -> Verdict:
    rows = _itself(frame, ("truncated",))
    measured = f"relative errors: {_figures(rows)}"
    reported = rows[rows["reported"] > 0]
    if reported.empty:
        return refuted(measured, "no solve was truncated")
    gradients = reported[np.isfinite(reported["gradient_error"])]
    if gradients.empty:
        return refuted(measured, "the gradients are not finite")
    unseen = reported[np.isfinite(reported["loss_error"])]
    if len(unseen) == len(reported) and (gradients["gradient_error"] < WRONG).all():
        return confirmed(measured)
    return differs(
        measured,
        "with states saved at given times the loss itself is not finite and shows it, and the "
        "gradient is a few percent off; with the last state alone the loss is finite, of an "
        "earlier time than asked for, and both are far off. The result says so to who reads it",
    )


def judge_frozen(frame: DataFrame) -> Verdict:
    rows = frame[frame["part"] == "frozen step"]
    rows = rows[rows["scheme"] == "ros2"].set_index("z")["ratio"]
    if rows.empty:
        raise NotMeasured("no step was differentiated")
    found = np.array([rows[z] for z in RATIO_AT])
    measured = "ratio of the derivatives at z = -0.01, -0.1, -1, -10, -100: " + ", ".join(
        f"{value:.4g}" for value in found
    )
    if not np.allclose(found, RATIOS, rtol=1e-2):
        return refuted(measured, f"expected {RATIOS}")
    try:
        solves = _itself(frame, ("frozen",))
    except NotMeasured:
        return confirmed(f"{measured} (ROS2)")
    measured += f" (ROS2). Whole solves: {_figures(solves)}"
    mild = solves[solves["gradient_error"] < ALARM]
    if len(mild) and len(mild) < len(solves):
        return differs(measured, "over a solve it depends: on ROBER error control hides it")
    return confirmed(measured)


def judge_backsolve(frame: DataFrame) -> Verdict:
    rows = frame[frame["part"] == "backsolve"]
    alone = rows[rows["problem"].str.startswith("linear") & rows["gradient_error"].notna()]
    kept = rows[rows["problem"].str.startswith("collected")]
    ended = kept[kept["gradient_error"].notna() & (kept["loss_error"] < RIGHT)]
    if alone.empty or ended.empty:
        raise NotMeasured("no backsolve gradient ended")
    silent = ended[(ended["gradient_error"] > WRONG) & (ended["warning"].map(text) == "")]
    measured = (
        f"with a state that remembers, y2' = y1, L = y2(1), dL/dlog lambda about -1/lambda: "
        f"{len(silent)} of {len(kept)} gradients of {kept['method'].nunique()} methods are wrong "
        f"in silence, by {silent['gradient_error'].min():.2g} to "
        f"{silent['gradient_error'].max():.2g}; {sum(kept['status'] == 'diverged')} say that they "
        f"failed, {sum(kept['status'] == 'non-finite')} end in NaN. On the equation alone, where "
        f"the true one is of order e^-lambda, relative errors reach "
        f"{alone['gradient_error'].max():.1g}, those of the loss {alone['loss_error'].max():.1g}"
    )
    if silent.empty:
        return refuted(measured, "none is wrong in silence")
    if silent["gradient_error"].between(0.9, 1.1).all():
        return confirmed(measured)
    return differs(
        measured,
        "mostly by far more than 100 %: the states integrated alone are damped to 0, but beside "
        "the adjoint steps stay short, and their error grows as e^lambda. On the equation alone "
        "gradient and loss are both below any tolerance, and relative errors say nothing",
    )


def judge_unrolled(frame: DataFrame) -> Verdict:
    rows = frame[frame["part"] == "unrolled"]
    if rows.empty or rows["status"].iloc[0] != "ok":
        reason = "not tried" if rows.empty else rows["reason"].iloc[0]
        raise NotMeasured(f"{reason}; it is in the repository's later, unreleased state alone")
    row = rows.iloc[0]
    measured = f"loss {row['loss_error']:.0e}, gradient {row['gradient_error']:.2g}"
    if row["loss_error"] < 1e-2 and row["gradient_error"] > 1:
        return confirmed(measured)
    return refuted(measured, "loss and gradient are wrong, or right, together")


def _at_rest(frame: DataFrame, strategies: tuple[str, ...], adaptive: bool = True) -> Any:
    rows = frame[(frame["part"] == "equilibrium") & frame["gradient_error"].notna()]
    chosen = [get_method(name) for name in rows["method"]]
    keep = [m.strategy in strategies and m.adaptive >= adaptive for m in chosen]
    return rows[np.array(keep, dtype=bool)]


def _spans(rows: DataFrame) -> Any:
    """Errors at the loosest and the tightest tolerance of every method and problem."""
    ordered = rows.sort_values("rtol", ascending=False).groupby(["method", "problem"])
    spans = ordered["gradient_error"].agg(["first", "last", "count"])
    return spans[spans["count"] > 1]


def judge_equilibrium(frame: DataFrame) -> Verdict:
    spans = _spans(_at_rest(frame, DISCRETE))
    if spans.empty:
        raise NotMeasured("no discrete gradient ended at two tolerances")
    stuck = spans[abs(spans["last"] / spans["first"] - 1) < SAME]
    names = spans.index.get_level_values("method")
    measured = (
        f"{len(stuck)} of {len(spans)} cases ({names.nunique()} adaptive discrete methods, p1 T = "
        f"5 and 20) are equally wrong from the loosest to the tightest tolerance: "
        f"{_worst(stuck)}"
    )
    if stuck.empty:
        return refuted(measured, "all of them converge")
    converge = sorted(set(names) - set(stuck.index.get_level_values("method")))
    if converge:
        return differs(measured, f"these converge: {', '.join(converge)}")
    return confirmed(measured)


def _worst(spans: DataFrame) -> str:
    """The largest error of every integrator."""
    if spans.empty:
        return "none"
    worst = spans.reset_index().assign(
        integrator=lambda rows: rows["method"].str.rsplit("/", n=1).str[0]
    )
    largest = worst.groupby("integrator")["last"].agg(["min", "max"]).sort_values("max")
    return ", ".join(f"{row.Index} {row.min:.1g} to {row.max:.1g}" for row in largest.itertuples())


def judge_controller(frame: DataFrame) -> Verdict:
    rows = frame[frame["part"] == "controller"]
    if rows.empty:
        raise NotMeasured("no controller was tried")
    key = ["rate", "offset", "rtol"]
    table = rows.pivot_table(index=key, columns="how", values="gradient_error").reset_index()
    rest = table[table["offset"] == 0]
    off = table[table["offset"] > 0]
    worse = off[off["differentiated"] > off["skipped"]]
    big = off.loc[off["differentiated"].idxmax()]
    measured = (
        f"at the equilibrium, both {rest['skipped'].min():.2g} to {rest['skipped'].max():.2g} "
        f"wrong at every tolerance; off it, differentiating the step sizes is worse in "
        f"{len(worse)} of {len(off)} cases, at most {big['differentiated']:.2g} (skipped: "
        f"{big['skipped']:.1g}, y0 off by {big['offset']:.0e}, rtol {big['rtol']:.0e}); "
        f"differences of the same program are within {table['differences'].max():.0e}"
    )
    same = np.allclose(rest["skipped"], rest["differentiated"], rtol=SAME)
    if not same or rest["skipped"].min() < WRONG:
        return refuted(measured, "the treatment of the step sizes decides at the equilibrium")
    if len(worse) == len(off):
        return confirmed(measured)
    return differs(measured, "neither treatment is better throughout")


def judge_remedy(frame: DataFrame) -> Verdict:
    rows = _at_rest(frame, CONTINUOUS)
    rows = rows[rows["rtol"] >= 1e-6]
    if rows.empty:
        raise NotMeasured("no continuous method ended")
    late = rows[rows["gradient_error"] > PROMISED * rows["rtol"]]
    measured = (
        f"{len(rows) - len(late)} of {len(rows)} gradients of {rows['method'].nunique()} "
        f"continuous methods are within 100 times the tolerance of 1e-6; the worst is "
        f"{rows['gradient_error'].max():.1e} off"
    )
    if late.empty:
        return confirmed(measured)
    if len(late) == len(rows):
        return refuted(measured, "none of them is right")
    return differs(measured, f"not {', '.join(sorted(late['method'].unique()))}")


def judge_detector(name: str) -> Any:
    """A judge of one check, by what it sees of the wrong gradients it can be made on."""

    def judge(frame: DataFrame) -> Verdict:
        rows = matrix(frame)
        rows = rows[(rows["detector"] == name) & (rows["verdict"] != NONE)]
        wrong = rows[rows["error"] > ALARM]
        if wrong.empty:
            raise NotMeasured("no wrong gradient was checked so")
        missed = wrong[wrong["verdict"].isin([BLIND, UNDERSTATED])]
        alarms = rows[rows["verdict"] == FALSE_ALARM]
        measured = (
            f"sees {sum(wrong['verdict'] == SEEN)} of {len(wrong)} wrong gradients that it can be "
            f"made on, understates {sum(wrong['verdict'] == UNDERSTATED)}; {len(alarms)} false "
            f"alarms on {len(rows) - len(wrong)} right ones"
        )
        if missed.empty and alarms.empty:
            return confirmed(measured)
        names = ", ".join(missed["subject"].str.replace("\n", " "))
        what = f"misses {names}" if len(missed) else "gives false alarms"
        if len(missed) <= len(wrong) / 4:
            return differs(measured, what)
        return refuted(measured, f"it {what}")

    return judge
