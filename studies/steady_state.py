"""Gradients of equilibria: the implicit function theorem against integrating for long.

Kim et al., section V: what hurts stiff neural ODEs would hurt layers defined by G(y) = 0, deep
equilibrium networks for one, forward and in their adjoint, which assumes G(y) = 0 exactly. Here the
equilibria and their gradients are known to rounding, with condition numbers over ten decades.
"""

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from studies import Claim, NotMeasured, Row, Study, Verdict, attempts, confirmed, differs, refuted
from studies._equilibria import Array, Equilibrium, make
from studies._study import DataFrame, Figure

FAMILIES = ("layer", "reactor")
QUICK_CONDITIONS = (1e2, 1e4, 1e6, 1e8)
FULL_CONDITIONS = tuple(float(f"1e{k}") for k in range(1, 11))
# Residual at which a solver stops, relative to that at its start.
STOPS = (1e-4, 1e-6, 1e-8)
SHOWN_STOP = 1e-6
ITERATIONS = 500
# A Krylov method ends after as many iterations as there are unknowns; this layer has many.
WIDE = 300
GMRES_RTOL = 1e-6
# Horizons in units of the slowest mode's time.
HORIZONS = (1.0, 3.0, 10.0, 30.0)
LONG = 30.0
RTOL, ATOL = 1e-8, 1e-12
MAX_STEPS = 4096
SECONDS = 120.0
# Errors between these show how they grow: beside rounding, and before they are all of it.
GROWING = (1e-11, 0.1)
PAPER = "Kim et al. 2021, Chaos 31, 093122"


def run(quick: bool) -> DataFrame:
    """Rows of `part` "implicit", "linear" and "through time"."""
    import pandas as pd

    conditions = QUICK_CONDITIONS if quick else FULL_CONDITIONS
    cases = [{"family": f, "wanted": wanted} for f in FAMILIES for wanted in conditions]
    return pd.DataFrame(attempts(measure, cases, SECONDS))


def measure(family: str, wanted: float) -> list[Row]:
    """All rows of one equilibrium."""
    found = make(family, wanted)
    rows = [_implicit(found, name, stop) for name in FORWARD for stop in STOPS]
    rows.append(_linear(found, "LU"))
    if family == "layer":
        rows += [_linear(make(family, wanted, WIDE), name) for name in ("wide LU", "GMRES")]
    rows += [_through_time(found, family, wanted, horizon) for horizon in HORIZONS]
    return [{"condition": found.condition, **row} for row in rows]


def _error(found: Equilibrium, gradient: Array) -> float:
    """Relative, in the units of the parameters."""
    size = np.linalg.norm(found.gradient)
    return float(np.linalg.norm(gradient * found.p_scale - found.gradient) / size)


def implicit_gradient(found: Equilibrium, y: Array) -> Array:
    """-f_p^T f_y^-T L_y at y, which is dL/dp if f(y, p) = 0."""
    dual = np.linalg.solve(found.jacobian(y, found.p).T, found.weights)
    return -dual @ found.parameter_jacobian(y, found.p)


def _implicit(found: Equilibrium, forward: str, stop: float) -> Row:
    """The theorem's gradient where a solver of f = 0 stops."""
    row: Row = {"part": "implicit", "solver": forward, "stop": stop}
    goal = stop * float(np.linalg.norm(found.rhs(found.y0, found.p, np)))
    with warnings.catch_warnings():
        # what overflows is reported as not having converged
        warnings.simplefilter("ignore")
        y, iterations = FORWARD[forward](found, goal)
    row["iterations"] = iterations
    if y is None:
        reason = f"the residual did not fall to {stop:g} of the first in {iterations} iterations"
        return row | {"status": "diverged", "reason": reason}
    residual = float(np.linalg.norm(found.rhs(y, found.p, np)))
    distance = float(np.linalg.norm(y - found.y) / np.linalg.norm(found.y))
    polished = y - np.linalg.solve(found.jacobian(y, found.p), found.rhs(y, found.p, np))
    return row | {
        "residual": residual,
        "distance": distance,
        "error": _error(found, implicit_gradient(found, y)),
        "polished_error": _error(found, implicit_gradient(found, polished)),
    }


def newton(found: Equilibrium, goal: float) -> tuple[Array | None, int]:
    """Newton's method with LU, down to a residual; the state or None, and iterations."""
    y = found.y0
    for count in range(ITERATIONS):
        residual = found.rhs(y, found.p, np)
        if np.linalg.norm(residual) <= goal:
            return y, count
        y = y - np.linalg.solve(found.jacobian(y, found.p), residual)
    return None, ITERATIONS


def broyden(found: Equilibrium, goal: float) -> tuple[Array | None, int]:
    """Broyden's first method from the identity, which deep equilibrium networks use.

    Bai, Kolter and Koltun, Deep Equilibrium Models, NeurIPS 2019; the update of the inverse by the
    formula of Sherman and Morrison, and no line search.
    """
    y, residual = found.y0, found.rhs(found.y0, found.p, np)
    inverse = -np.eye(y.size)
    for count in range(ITERATIONS):
        size = np.linalg.norm(residual)
        if size <= goal:
            return y, count
        if not np.isfinite(size):
            return None, count
        step = -inverse @ residual
        after = found.rhs(y + step, found.p, np)
        moved = inverse @ (after - residual)
        inverse = inverse + np.outer(step - moved, step @ inverse) / (step @ moved)
        y, residual = y + step, after
    return None, ITERATIONS


def integration(found: Equilibrium, goal: float) -> tuple[Array | None, int]:
    """y' = f by SciPy's Radau until the residual has fallen."""
    from scipy.integrate import Radau

    def jacobian(t: float, y: Array) -> Array:
        return found.jacobian(y, found.p)

    solver = Radau(
        lambda t, y: found.rhs(y, found.p, np),
        0.0,
        found.y0,
        np.inf,
        rtol=RTOL,
        atol=ATOL,
        jac=jacobian,
        first_step=1e-6,
    )
    for count in range(ITERATIONS * 10):
        if np.linalg.norm(found.rhs(solver.y, found.p, np)) <= goal:
            return solver.y, count
        if solver.status != "running":
            return None, count
        solver.step()
    return None, ITERATIONS * 10


FORWARD: dict[str, Callable[[Equilibrium, float], tuple[Array | None, int]]] = {
    "integration": integration,
    "newton": newton,
    "broyden": broyden,
}


def _linear(found: Equilibrium, name: str) -> Row:
    """The theorem's gradient at the equilibrium itself, by a direct or a Krylov solver."""
    row: Row = {"part": "linear", "solver": name, "iterations": 0}
    if name != "GMRES":
        return row | {"error": _error(found, implicit_gradient(found, found.y))}
    from scipy.sparse.linalg import gmres

    count: list[float] = []
    matrix = found.jacobian(found.y, found.p).T
    dual, _ = gmres(
        matrix,
        found.weights,
        rtol=GMRES_RTOL,
        restart=len(found.y),
        maxiter=10,
        callback=count.append,
        callback_type="pr_norm",
    )
    gradient = -dual @ found.parameter_jacobian(found.y, found.p)
    off = np.linalg.norm(matrix @ dual - found.weights) / np.linalg.norm(found.weights)
    row |= {"error": _error(found, gradient), "iterations": len(count), "residual": float(off)}
    if off > 2 * GMRES_RTOL:
        row |= {"status": "diverged", "reason": f"GMRES stagnated at a residual of {off:.1e}"}
    return row


@lru_cache(maxsize=2)
def _integrated(family: str, wanted: float) -> Callable[..., Any]:
    """The gradient of L at the end of an integration, by the discrete adjoint."""
    import jax
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    jax.config.update("jax_enable_x64", True)
    found = make(family, wanted)

    def loss(p: Any, horizon: Any) -> Any:
        times = jnp.stack([jnp.zeros(()), horizon])
        solution = solve(
            lambda t, y, p: found.rhs(y, p, jnp),
            found.y0,
            times,
            p,
            rtol=RTOL,
            atol=ATOL,
            max_steps=MAX_STEPS,
            engine="array",
        )
        return found.weights @ solution.ys[-1], (solution.status, solution.stats.accepted)

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def _through_time(found: Equilibrium, family: str, wanted: float, horizon: float) -> Row:
    derive = _integrated(family, wanted)
    (_, (status, steps)), gradient = derive(found.p, horizon * found.time)
    row: Row = {"part": "through time", "solver": "rodas5p", "horizon": horizon}
    row["iterations"] = int(steps)
    if status != 0:
        return row | {"status": "diverged", "reason": f"it ended with status {int(status)}"}
    return row | {"error": _error(found, np.asarray(gradient))}


def _part(frame: DataFrame, part: str, **wanted: Any) -> Any:
    rows = frame[frame["part"] == part]
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    if rows.empty:
        raise NotMeasured(f"nothing of {part!r} with {wanted} was measured")
    return rows


def _ok(rows: Any) -> Any:
    return rows[rows["status"] == "ok"]


def exponent(rows: Any) -> float:
    """By which power of the condition number the error grows, where it does; NaN if it does not."""
    low, high = GROWING
    rows = _ok(rows)
    rows = rows[(rows["error"] > low) & (rows["error"] < high)]
    if len(rows) < 3:
        return float("nan")
    return float(np.polyfit(np.log(rows["condition"]), np.log(rows["error"]), 1)[0])


def judge_forward(frame: DataFrame) -> Verdict:
    reach, totals = {}, {}
    for name in FORWARD:
        rows = _part(frame, "implicit", solver=name, stop=SHOWN_STOP)
        good = _ok(rows)
        totals[name] = f"{len(good)} of {len(rows)}"
        reach[name] = float(good["condition"].max()) if len(good) else 0.0
        if len(good) == len(rows):
            reach[name] = np.inf
    newton_rows = _ok(_part(frame, "implicit", solver="newton", stop=SHOWN_STOP))
    measured = "residual fell by 1e6: " + ", ".join(f"{k} {v}" for k, v in totals.items())
    if len(newton_rows):
        measured += f"; Newton's most iterations {int(newton_rows['iterations'].max())}"
    lost = [name for name, value in reach.items() if np.isfinite(value)]
    if not lost:
        return refuted(measured, "every solver found every equilibrium")
    kept = [name for name in reach if name not in lost]
    if not kept:
        return confirmed(measured)
    return differs(
        measured,
        f"{' and '.join(lost)} alone, above a condition of {min(reach[n] for n in lost):.0e}; "
        f"{' and '.join(kept)} factorise the Jacobian, and take a few times more steps at most",
    )


def judge_adjoint(frame: DataFrame) -> Verdict:
    slopes = {
        family: exponent(
            _part(frame, "implicit", solver="integration", stop=SHOWN_STOP, family=family)
        )
        for family in FAMILIES
    }
    worst = _ok(_part(frame, "implicit", solver="integration", stop=SHOWN_STOP))["error"].max()
    measured = (
        "residual at 1e-6 of the first: the implicit gradient's error grows like the condition "
        "number to the power "
        + ", ".join(f"{slope:.2f} ({family})" for family, slope in slopes.items())
        + f", up to {worst:.1g}"
    )
    found = [slope for slope in slopes.values() if np.isfinite(slope)]
    if not found:
        raise NotMeasured("too few errors lie between rounding and all of the gradient")
    if min(found) < 0.3:
        return refuted(measured, "there is an equilibrium where it does not grow")
    if len(found) < len(slopes) or not all(0.7 <= slope <= 1.3 for slope in found):
        return differs(measured, "not proportional to the condition number everywhere")
    return confirmed(measured)


def judge_stabilised(frame: DataFrame) -> Verdict:
    rows = _ok(_part(frame, "implicit", solver="integration", stop=SHOWN_STOP))
    rows = rows[(rows["error"] > GROWING[0]) & (rows["error"] < GROWING[1])]
    if rows.empty:
        raise NotMeasured("no gradient was off enough to be mended")
    gain = rows["error"] / np.maximum(rows["polished_error"], np.finfo(float).tiny)
    measured = (
        f"one more Newton step before the theorem: errors smaller by a median factor of "
        f"{gain.median():.0e}, at the least {gain.min():.1g}; largest {rows['error'].max():.0e} "
        f"before, {rows['polished_error'].max():.0e} after"
    )
    if gain.median() < 10:
        return refuted(measured, "it hardly helps")
    if gain.min() < 1:
        return differs(measured, "not at every equilibrium")
    return confirmed(measured)


def judge_krylov(frame: DataFrame) -> Verdict:
    krylov = _part(frame, "linear", solver="GMRES").sort_values("condition")
    direct = _part(frame, "linear", solver="wide LU")
    first, last = krylov.iloc[0], krylov.iloc[-1]
    measured = (
        f"{WIDE} unknowns at the equilibrium itself: GMRES takes {int(first['iterations'])} "
        f"iterations to {GMRES_RTOL:.0e} at a condition of {first['condition']:.0e} and "
        f"{int(last['iterations'])} at {last['condition']:.0e}, with errors up to "
        f"{krylov['error'].max():.1g}; {int((krylov['status'] != 'ok').sum())} of {len(krylov)} "
        f"stagnate; LU's largest error {direct['error'].max():.0e}"
    )
    if direct["error"].max() > krylov["error"].max():
        return refuted(measured, "the direct solver is less accurate")
    if last["iterations"] < 2 * first["iterations"]:
        return refuted(measured, "the iterations hardly grow")
    if (krylov["status"] != "ok").any():
        return differs(measured, "it does not only become slow, it stagnates")
    return confirmed(measured)


def judge_long(frame: DataFrame) -> Verdict:
    rows = _part(frame, "through time", horizon=LONG)
    good = _ok(rows)
    theorem = _part(frame, "linear", solver="LU")
    if good.empty:
        return refuted(f"none of {len(rows)} integrations ended", "there is no gradient")
    slope = exponent(rows)
    growth = "does not grow" if not np.isfinite(slope) else f"grows to the power {slope:.2f}"
    measured = (
        f"T = {LONG:g} slowest times: {len(good)} of {len(rows)} ended, largest error "
        f"{good['error'].max():.0e} (the theorem's at the equilibrium "
        f"{theorem['error'].max():.0e}), which {growth} with the condition number; "
        f"{int(good['iterations'].max())} steps at most"
    )
    if good["error"].max() > 0.1:
        return refuted(measured, "a gradient through time is wrong")
    if len(good) < len(rows) or good["error"].max() > 100 * RTOL:
        return differs(measured, "not at every condition number to the tolerance")
    return confirmed(measured)


CLAIMS = (
    Claim(
        "forward",
        "a nonlinear solver destabilises when its Jacobian is ill-conditioned; on highly stiff "
        "systems the forward pass of deep equilibrium layers would behave similarly",
        f"{PAPER}, section V",
        "quasi-Newton and fixed-point iterations do, Newton's method with LU does not: it is "
        "invariant under linear maps of f",
        judge_forward,
    ),
    Claim(
        "adjoint",
        "instabilities in the adjoint likely occur, for it assumes G(y) = 0 exactly, which is more "
        "difficult to satisfy as the condition number rises",
        f"{PAPER}, section V",
        "a residual r leaves y off by f_y^-1 r: at a fixed residual the error grows like the "
        "condition number, where the slowest mode is what is left",
        judge_adjoint,
    ),
    Claim(
        "stabilisation",
        "similar stabilisation may be required for this case",
        f"{PAPER}, section V",
        "one Newton step squares the distance to the equilibrium",
        judge_stabilised,
    ),
    Claim(
        "krylov",
        "Krylov methods like GMRES converge slowly when the condition number is high, so that "
        "stiff solvers use direct ones",
        f"{PAPER}, section II",
        "more iterations, up to one for every unknown; for LU rounding of about the condition "
        "number times 1e-16",
        judge_krylov,
    ),
    Claim(
        "long time",
        "stiffness of the ODE and the condition of its equilibrium are the same, seen as a solver "
        "to steady state",
        f"{PAPER}, section V",
        "integrating for long gives the theorem's gradient within e^(-T/slowest time) and the "
        "tolerance, whatever the condition number, with an L-stable method",
        judge_long,
    ),
)


def draw(frame: DataFrame) -> Figure:
    """Errors at a fixed residual; linear solvers; horizons; iterations."""
    from studies import _figures

    figure, axes = _figures.panels(2, 2, size=(10.0, 8.0))
    _draw_adjoint(axes[0, 0], frame)
    _draw_linear(axes[0, 1], frame)
    _draw_horizons(axes[1, 0], frame)
    _draw_iterations(axes[1, 1], frame)
    return figure


def _curves(axis: Any, labelled: dict[str, Any], column: str, limits: tuple[float, float]) -> None:
    """For every label and family a curve over the condition number; failures are left out.

    `limits` of the vertical axis leave room for the legend above the curves.
    """
    from studies import _figures

    for look, (label, rows) in zip(_figures.looks(), labelled.items(), strict=False):
        for family, style in zip(FAMILIES, ("-", ":"), strict=True):
            line = _ok(rows[rows["family"] == family]).sort_values("condition")
            if line.empty:
                continue
            name = label if family == FAMILIES[0] else None
            shown = np.maximum(line[column], 1e-17)
            axis.plot(line["condition"], shown, label=name, **{**look, "linestyle": style})
    axis.plot([], [], color="black", label="layer")
    axis.plot([], [], color="black", linestyle=":", label="reactor")
    axis.set(xscale="log", yscale="log", ylim=limits)
    axis.set(xlabel="condition number of the Jacobian")
    axis.legend(loc="upper left", ncols=2)


def _draw_adjoint(axis: Any, frame: DataFrame) -> None:
    rows = frame[(frame["part"] == "implicit") & (frame["solver"] == "integration")]
    labelled = {f"residual {stop:.0e}": rows[rows["stop"] == stop] for stop in STOPS}
    shown = rows[rows["stop"] == SHOWN_STOP]
    mended = shown.assign(error=shown["polished_error"])
    labelled[f"residual {SHOWN_STOP:.0e}, one Newton step more"] = mended
    _curves(axis, labelled, "error", (1e-17, 1e7))
    conditions = np.array([1e2, 1e6])
    axis.plot(conditions, conditions * 1e-14, color="#777777", linewidth=1)
    axis.annotate("∝ condition", (1e5, 1e-10), color="#777777", fontsize=8)
    axis.set(ylabel="relative error of the gradient", title="Implicit gradient, f = 0 not exactly")


def _draw_linear(axis: Any, frame: DataFrame) -> None:
    rows = frame[frame["part"] == "linear"]
    names = {"LU": "LU", f"LU, {WIDE} unknowns": "wide LU", f"GMRES, {WIDE} unknowns": "GMRES"}
    labelled = {label: rows[rows["solver"] == name] for label, name in names.items()}
    _curves(axis, labelled, "error", (1e-17, 1e2))
    axis.set(ylabel="relative error of the gradient", title="Implicit gradient at the equilibrium")


def _draw_horizons(axis: Any, frame: DataFrame) -> None:
    rows = frame[frame["part"] == "through time"]
    labelled = {f"T = {h:g}": rows[rows["horizon"] == h] for h in HORIZONS}
    _curves(axis, labelled, "error", (1e-16, 1e6))
    title = "Gradient of an integration over T slowest times"
    axis.set(ylabel="relative error of the gradient", title=title)


def _draw_iterations(axis: Any, frame: DataFrame) -> None:
    rows = frame[(frame["part"] == "implicit") & (frame["stop"] == SHOWN_STOP)]
    labelled = {name: rows[rows["solver"] == name] for name in FORWARD}
    krylov = frame[(frame["part"] == "linear") & (frame["solver"] == "GMRES")]
    labelled[f"GMRES, {WIDE} unknowns"] = krylov
    _curves(axis, labelled, "iterations", (1.0, 1e6))
    axis.set(ylabel="iterations or steps", title=f"To a residual of {SHOWN_STOP:.0e}")


def numbers(frame: DataFrame) -> dict[str, float]:
    """Exponents of the error's growth, and the largest errors of both ways."""
    rows = frame[(frame["part"] == "implicit") & (frame["solver"] == "integration")]
    rows = rows[rows["stop"] == SHOWN_STOP]
    found = {f"exponent {f}": exponent(rows[rows["family"] == f]) for f in FAMILIES}
    long = frame[(frame["part"] == "through time") & (frame["horizon"] == LONG)]
    found["error through time"] = float(_ok(long)["error"].max())
    return found


STUDY = Study(
    name="steady-state",
    title="The gradient of an equilibrium",
    source=f"{PAPER}, section V",
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
    requires=("jax", "scipy"),
)
