"""Robertson's reaction as a differential-algebraic equation, and neural networks with a constraint.

Kim et al., section V: mass-matrix DAEs let a network's states satisfy equations exactly, but are
"infinitely stiff". Gradients of the DAE against the ODE's by every method that takes a mass matrix;
the ODEs eps y3' = 1 - y1 - y2 - y3 that tend to it; and networks trained with and without it.
"""

from typing import Any

import numpy as np

from adapters import methods
from problems import get_problem
from studies import Claim, NotMeasured, Row, Study, Verdict, attempts, confirmed, differs, refuted
from studies._constrained import ATOL as TRAINING_ATOL
from studies._constrained import FORMS, UNITS, train
from studies._methods import integrator, solver
from studies._study import DataFrame, Figure
from suite import metrics, references

PROBLEMS = ("rober", "rober-dae")
QUICK_RTOLS, FULL_RTOLS = (1e-4, 1e-6), (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
# Time constants with which y3 follows the constraint, against 1/k1 = 25.
QUICK_EPSILONS = (1e-3, 1e-6, 1e-9)
FULL_EPSILONS = tuple(float(f"1e{k}") for k in range(-1, -13, -1))
PERTURBED_RTOL, PERTURBED_ATOL = 1e-8, 1e-12
QUICK_SECONDS, FULL_SECONDS = 60.0, 900.0
QUICK_EPOCHS, FULL_EPOCHS = 60, 2000
QUICK_SEEDS, FULL_SEEDS = (0,), (0, 1, 2)
# A gradient is as good as its tolerance promises below this many times it (suite.statuses).
PROMISED = 100.0
# "Equal": the DAE's error is within this factor of the ODE's, or of a hundredth of the tolerance.
FACTOR = 10.0
# A loss this many times the best one before it is a spike.
SPIKE = 2.0
PAPER = "Kim et al. 2021, Chaos 31, 093122, V"


def run(quick: bool) -> DataFrame:
    """Rows of `part` "gradient", "perturbed" and "training"."""
    import pandas as pd

    limit = QUICK_SECONDS if quick else FULL_SECONDS
    rtols = QUICK_RTOLS if quick else FULL_RTOLS
    rows = attempts(gradient, _gradients(rtols, quick), limit, at_once=2, ready=get_ready)
    epsilons = QUICK_EPSILONS if quick else FULL_EPSILONS
    rows += attempts(perturbed, [{"part": "perturbed", "epsilons": epsilons}], limit)
    rows += attempts(train_one, _trainings(quick), limit)
    return pd.DataFrame(rows).drop(columns="epsilons")


def _gradients(rtols: tuple[float, ...], quick: bool) -> list[Row]:
    able = [method for method in methods().values() if method.mass_matrix]
    if quick:
        # a linearly and a fully implicit integrator under one strategy
        able = [m for m in able if m.strategy == "discrete" and not m.variant]
        able = [m for m in able if m.integrator in ("rodas5p", "radau5")]
    return [
        {"part": "gradient", "method": method.name, "problem": problem, "rtol": rtol}
        for method in able
        for problem in PROBLEMS
        for rtol in rtols
    ]


def _trainings(quick: bool) -> list[Row]:
    epochs = QUICK_EPOCHS if quick else FULL_EPOCHS
    seeds = QUICK_SEEDS if quick else FULL_SEEDS
    return [
        {"part": "training", "form": form, "units": units, "seed": seed, "epochs": epochs}
        for units in UNITS
        for form in FORMS
        for seed in seeds
    ]


def get_ready(method: str, problem: str, rtol: float, **case: Any) -> None:
    """Import and compile."""
    found = get_problem(problem)
    solver(found, method).compile(found.y0, found.p, rtol, found.default_atol(rtol))


def gradient(method: str, problem: str, rtol: float, **case: Any) -> Row:
    """Error of one gradient against the certified one, and its steps."""
    found = get_problem(problem)
    result = solver(found, method).gradient(found.y0, found.p, rtol, found.default_atol(rtol))()
    true = references.load(found)
    given = result.p, result.y0, true.gradient_p, true.gradient_y0, true.digits_p, true.digits_y0
    error = metrics.gradient_error(found, *given)
    return {
        "error": error.total,
        "error_p": error.p,
        "error_y0": error.y0,
        "steps": result.counters.steps,
    }


def perturbed(epsilons: tuple[float, ...], **case: Any) -> list[Row]:
    """p dL/dp of the ODE with eps y3' = 1 - y1 - y2 - y3 against the DAE's, for every eps."""
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    jax.config.update("jax_enable_x64", True)
    dae = get_problem("rober-dae")
    times = np.concatenate([[dae.t0], dae.times])

    def rhs(t: Any, y: Any, p: Any) -> Any:
        rates = dae.rhs(t, y, p[:3], jnp)
        return jnp.concatenate([rates[:2], -rates[2:] / p[3]])

    def loss(p: Any) -> Any:
        found = solve(rhs, dae.y0, times, p, rtol=PERTURBED_RTOL, atol=PERTURBED_ATOL)
        return dae.loss.value(found.ys[1:], jnp), (found.status, found.stats.accepted)

    derive = jax.jit(jax.value_and_grad(loss, has_aux=True))
    true = references.load(dae).gradient_p * dae.p
    rows = []
    for epsilon in epsilons:
        (_, (status, steps)), found = derive(jnp.asarray([*dae.p, epsilon]))
        off = np.linalg.norm(np.asarray(found)[:3] * dae.p - true) / np.linalg.norm(true)
        row: Row = {"epsilon": epsilon, "error": float(off), "steps": int(steps)}
        if status != 0:
            row |= {"status": "diverged", "reason": f"the solve ended with status {int(status)}"}
        rows.append(row)
    return rows


def train_one(form: str, units: str, seed: int, epochs: int, **case: Any) -> list[Row]:
    """The rows of one training."""
    return train(form, units, seed, epochs)


def _part(frame: DataFrame, part: str) -> Any:
    rows = frame[(frame["part"] == part) & (frame["status"] == "ok")]
    if rows.empty:
        raise NotMeasured(f"no row of the part {part!r} is there")
    return rows


def judge_gradients(frame: DataFrame) -> Verdict:
    """Each pair of a method's gradients of the DAE and the ODE at one tolerance."""
    tried = frame[frame["part"] == "gradient"]
    rows = _part(frame, "gradient")
    pairs = rows.pivot_table(index=["method", "rtol"], columns="problem", values="error")
    if "rober-dae" not in pairs or "rober" not in pairs:
        raise NotMeasured("there is no pair of gradients to compare")
    pairs = pairs.dropna()
    rtol = pairs.index.get_level_values("rtol").to_numpy()
    alike = pairs["rober-dae"] <= FACTOR * np.maximum(pairs["rober"], rtol / PROMISED)
    good = pairs["rober-dae"] <= PROMISED * rtol
    failed = tried[(tried["problem"] == "rober-dae") & (tried["status"] != "ok")]
    methods_used = pairs.index.get_level_values("method").nunique()
    ratio = float(np.exp(np.log(pairs["rober-dae"] / pairs["rober"]).median()))
    measured = (
        f"{methods_used} methods, {len(pairs)} pairs: error of the DAE's gradient over the ODE's, "
        f"median {ratio:.2g}; {int(alike.sum())} alike, {int(good.sum())} within "
        f"{PROMISED:g} x rtol; {len(failed)} solves of the DAE failed"
    )
    if not alike.any():
        return refuted(measured, "no method's gradient of the DAE is as good as that of the ODE")
    if alike.all() and good.all():
        lost = [m for m in failed["method"].unique() if not _ode_failed(tried, m, failed)]
        if not lost:
            return confirmed(measured)
        return differs(measured, f"the DAE alone fails with {', '.join(lost)}")
    bad = sorted({name for name, _ in pairs.index[~(alike & good)]})
    return differs(measured, f"not with {', '.join(bad)}")


def _ode_failed(tried: Any, method: str, failed: Any) -> bool:
    """Whether the ODE fails wherever the DAE does."""
    ode = tried[(tried["method"] == method) & (tried["problem"] == "rober")].set_index("rtol")
    where = failed[failed["method"] == method]["rtol"]
    return bool((ode["status"].reindex(where) != "ok").all())


def judge_limit(frame: DataFrame) -> Verdict:
    rows = _part(frame, "perturbed").sort_values("epsilon")
    floor = 3 * float(rows["error"].min())
    fitted = rows[rows["error"] > floor]
    if len(fitted) < 2:
        raise NotMeasured("fewer than two of the perturbed gradients differ from their floor")
    slope = float(np.polyfit(np.log(fitted["epsilon"]), np.log(fitted["error"]), 1)[0])
    stiffest = rows.iloc[0]
    measured = (
        f"the gradient tends to the DAE's like eps^{slope:.2f}, to {rows['error'].min():.0e}; "
        f"steps {int(rows.iloc[-1]['steps'])} at eps = {rows.iloc[-1]['epsilon']:.0e}, "
        f"{int(stiffest['steps'])} at {stiffest['epsilon']:.0e}"
    )
    if not 0.7 <= slope <= 1.3:
        return refuted(measured, "a regular limit would be approached like eps")
    if stiffest["steps"] > 2 * rows["steps"].median():
        return differs(measured, "the steps grow in number as eps falls")
    return confirmed(measured)


def _last(rows: Any) -> Any:
    """The last row of every training."""
    keys = ["form", "units", "seed"]
    return rows.sort_values("epoch").groupby(keys, as_index=False).last()


def judge_constraint(frame: DataFrame) -> Verdict:
    rows = _part(frame, "training")
    rows = rows[rows["units"] == "scaled"]
    worst = rows.groupby("form")["violation"].max()
    if set(worst.index) != set(FORMS):
        raise NotMeasured("one of the two forms was not trained")
    measured = (
        f"largest |y1 + y2 + y3 - 1| of any solve in training: {worst['constrained']:.0e} with the "
        f"constraint, {worst['free']:.0e} without"
    )
    if worst["constrained"] > TRAINING_ATOL:
        return refuted(measured, "it is above the solver's tolerance")
    if worst["free"] < 10 * worst["constrained"]:
        return differs(measured, "the network without it satisfies it as well")
    return confirmed(measured)


def judge_training(frame: DataFrame) -> Verdict:
    ends = _last(_part(frame, "training"))
    ends = ends[(ends["units"] == "scaled") & (ends["failed"] == 0)]
    medians = ends.groupby("form")["loss"].median()
    if set(medians.index) != set(FORMS):
        raise NotMeasured("one of the two forms finished no training")
    epochs = int(ends["epoch"].max())
    measured = (
        f"median loss after {epochs} epochs: {medians['constrained']:.3g} with the constraint, "
        f"{medians['free']:.3g} without ({len(ends)} trainings)"
    )
    first = _part(frame, "training")
    first = first[(first["units"] == "scaled") & (first["form"] == "constrained")]
    start = float(first.sort_values("epoch")["worst_loss"].iloc[0])
    if not medians["constrained"] < start:
        return refuted(measured, "the loss with the constraint does not fall")
    if medians["constrained"] > 1.5 * medians["free"]:
        return differs(measured, "the constraint makes it train worse")
    return confirmed(measured)


def instabilities(frame: DataFrame) -> Any:
    """Trainings with their `failed` and `spiked`, one row each."""
    rows = _part(frame, "training").sort_values("epoch")
    keys = ["units", "form", "seed"]
    before = rows.groupby(keys)["best_loss"].transform(lambda best: best.cummin().shift())
    rows = rows.assign(spiked=rows["worst_loss"] > SPIKE * before, failed=rows["failed"] > 0)
    return rows.groupby(keys, as_index=False)[["spiked", "failed"]].max()


def judge_instabilities(frame: DataFrame) -> Verdict:
    found = instabilities(frame)
    counts = {
        (units, form): (int(rows["failed"].sum()), int(rows["spiked"].sum()), len(rows))
        for (units, form), rows in found.groupby(["units", "form"])
    }
    measured = "; ".join(
        f"{units}, {form}: {failed} ended by a failed solve, {spiked} with a loss over {SPIKE:g} "
        f"times an earlier one, of {total}"
        for (units, form), (failed, spiked, total) in counts.items()
    )

    def unstable(units: str, form: str) -> bool:
        failed, spiked, _ = counts.get((units, form), (0, 0, 0))
        return failed + spiked > 0

    scaled, plain = (unstable(units, "constrained") for units in ("scaled", "plain"))
    if not scaled and not plain:
        return refuted(measured, "no training with the constraint was unstable here")
    if not scaled:
        also = "as" if unstable("plain", "free") else "but not"
        return differs(
            measured,
            f"only without the scaling of eq. 13, {also} without the constraint: the scaled "
            "network trains smoothly with it under the exact discrete adjoint",
        )
    if not any(unstable(units, "free") for units in UNITS):
        return differs(measured, "with the constraint alone, not in the neural ODE")
    return confirmed(measured)


CLAIMS = (
    Claim(
        "gradients",
        "ROBER can be written as an index-1 DAE with M = diag(1, 1, 0)",
        f"{PAPER}, eq. 18-20",
        "the same dL/dk, and dL/dy0 with y3 slaved to the sum, at the same error as the ODE's",
        judge_gradients,
    ),
    Claim(
        "limit",
        "DAEs are a form of infinite stiffness: the limit of singularly perturbed stiff ODEs",
        f"{PAPER}, after Hairer and Wanner",
        "the gradient of the ODE with eps y3' = 1 - y1 - y2 - y3 tends to the DAE's like eps, for "
        "an L-stable method without more steps",
        judge_limit,
    ),
    Claim(
        "constraint",
        "a system whose states sum to 1 can be imposed by [y1, y2]' = NN(y), 0 = y1 + y2 + y3 - 1",
        f"{PAPER}, eq. 21-22",
        "the sum is 1 to rounding at every step: a linear equation is solved exactly",
        judge_constraint,
    ),
    Claim(
        "training",
        "such systems can be trained in differentiable DAE solvers",
        PAPER,
        "as well as the neural ODE without the constraint",
        judge_training,
    ),
    Claim(
        "instabilities",
        "fitting instabilities similar to stiff neural ODEs arise",
        PAPER,
        "no number is given; our discrete adjoint is exact for the DAE, so that none should come "
        "from the gradient",
        judge_instabilities,
    ),
)


def draw(frame: DataFrame) -> Figure:
    """Errors of gradients; the singular limit; losses; how far the sum is off."""
    from studies import _figures

    figure, axes = _figures.panels(2, 2, size=(10.0, 8.0))
    _draw_gradients(axes[0, 0], frame[frame["part"] == "gradient"])
    _draw_limit(axes[0, 1], frame[frame["part"] == "perturbed"])
    training = frame[frame["part"] == "training"]
    _draw_training(axes[1, 0], training, "loss", "loss, each in its own units", UNITS)
    axes[1, 0].set_title("Training")
    _draw_training(axes[1, 1], training, "violation", "max |y1 + y2 + y3 − 1|", ("scaled",))
    axes[1, 1].set_title("The constraint while training")
    return figure


def _draw_gradients(axis: Any, rows: Any) -> None:
    from studies import _figures

    rows = rows[rows["status"] == "ok"]
    discrete = rows[rows["method"].str.endswith("/discrete")]
    for look, (name, of_method) in zip(_figures.looks(), discrete.groupby("method"), strict=False):
        for problem, style in (("rober", ":"), ("rober-dae", "-")):
            line = of_method[of_method["problem"] == problem].sort_values("rtol")
            label = integrator(name).partition("/")[2] if problem == "rober-dae" else None
            axis.plot(line["rtol"], line["error"], label=label, **{**look, "linestyle": style})
    axis.plot([], [], color="black", label="the DAE")
    axis.plot([], [], color="black", linestyle=":", label="the ODE")
    axis.set(xscale="log", yscale="log", xlabel="rtol", ylabel="relative error of the gradient")
    axis.set_title("ROBER as an index-1 DAE, discrete adjoint")
    axis.legend()


def _draw_limit(axis: Any, rows: Any) -> None:
    rows = rows[rows["status"] == "ok"].sort_values("epsilon")
    axis.plot(rows["epsilon"], rows["error"], "o-", color="#0072B2", label="gradient")
    axis.set(xscale="log", yscale="log", xlabel="ε [s]", ylabel="relative distance from the DAE's")
    axis.set_title("ε y3' = 1 − y1 − y2 − y3")
    steps = axis.twinx()
    steps.plot(rows["epsilon"], rows["steps"], "s--", color="#D55E00")
    steps.set(ylabel="steps", ylim=(0, None))
    steps.grid(False)
    axis.plot([], [], "s--", color="#D55E00", label="steps")
    axis.legend(loc="center left")


def _draw_training(axis: Any, rows: Any, column: str, label: str, units: tuple[str, ...]) -> None:
    from studies import _figures

    looks = _figures.looks()
    for unit in units:
        for form in FORMS:
            look = next(looks)
            chosen = rows[(rows["form"] == form) & (rows["units"] == unit)]
            of_epoch = chosen.groupby("epoch")[column]
            middle = of_epoch.median().dropna()
            style = {"color": look["color"], "linestyle": "-" if unit == "scaled" else "--"}
            # a linear equation can hold exactly, and zero has no place on the axis
            shown = np.maximum(middle, 1e-17)
            axis.plot(middle.index, shown, label=f"{form}, {unit}", **style)
            low, high = (np.maximum(of_epoch.quantile(q).dropna(), 1e-17) for q in (0.0, 1.0))
            axis.fill_between(low.index, low, high, color=look["color"], alpha=0.15, linewidth=0)
    axis.set(yscale="log", xlabel="epoch", ylabel=label)
    axis.legend()


def numbers(frame: DataFrame) -> dict[str, float]:
    """Errors of the DAE's gradients at rtol 1e-6, and the final losses."""
    rows = frame[(frame["part"] == "gradient") & (frame["problem"] == "rober-dae")]
    rows = rows[rows["rtol"] == 1e-6]
    found = {f"error {row.method}": float(row.error) for row in rows.itertuples()}
    ends = _last(frame[frame["part"] == "training"])
    for form in FORMS:
        chosen = ends[(ends["units"] == "scaled") & (ends["form"] == form)]
        found[f"loss {form}"] = float(chosen["loss"].median())
    return found


STUDY = Study(
    name="dae",
    title="ROBER and neural networks as differential-algebraic equations",
    source=PAPER,
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
    requires=("jax", "optax"),
)
