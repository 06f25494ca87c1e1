"""The figure of the study of vanishing gradients."""

from typing import Any

import numpy as np

from studies._methods import integrator
from studies._stability import SCHEMES
from studies._study import DataFrame, Figure

SHOWN = (
    "backward-euler",
    "trapezoid",
    "radau3",
    "radau5",
    "gauss4",
    "sdirk2",
    "lobatto-iiic3",
)
SLOW = ("backward-euler", "trapezoid", "radau3", "radau5", "gauss4", "sdirk2")


def draw(frame: DataFrame) -> Figure:
    """R' over z with its bound; roots of BDF; many steps; signs; the forced problem; the rest."""
    from studies import _figures

    figure, axes = _figures.panels(4, 2, size=(10.5, 15.0))
    _draw_step(axes[0, 0], frame)
    _draw_roots(axes[0, 1], frame)
    _draw_many(axes[1, 0], frame)
    _draw_signs(axes[1, 1], frame)
    _draw_forced(axes[2, 0], frame)
    _draw_parameters(axes[2, 1], frame)
    _draw_single(axes[3, 0], frame)
    _draw_adaptive(axes[3, 1], frame)
    return figure


def _log_log(axis: Any, title: str, **names: Any) -> None:
    axis.set(xscale="log", yscale="log", title=title, **names)


def _bound(axis: Any, z: Any) -> None:
    axis.plot(z, 1 / (2 * z), color="black", linewidth=2.2, label="1/(2|z|), the bound")


def _draw_step(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    z = np.geomspace(1.0, 1e6, 600)
    _bound(axis, z)
    rows = frame[(frame["part"] == "step") & (frame["steps"] == 1)]
    for look, name in zip(_figures.looks(), SHOWN, strict=False):
        style = {**look, "marker": ""}
        axis.plot(z, np.abs(SCHEMES[name].derivative(-z)), label=name, **style)
        found = rows[rows["scheme"] == name]
        every = max(1, len(found) // 13)
        axis.plot(
            -found["z"][::every],
            np.abs(found["solver"])[::every],
            color=look["color"],
            marker=look["marker"],
            linestyle="",
        )
    axis.plot(z, np.exp(-z), color=_figures.CLAIMED, linestyle="--", label="eᶻ, the ODE")
    _log_log(axis, "One step: closed form (lines), solver (marks)", ylim=(1e-18, 3))
    axis.set(xlabel="|z| = h |λ|", ylabel="|R'(z)|")
    axis.legend(loc="lower left", fontsize=7, ncols=2)


def _draw_roots(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    z = np.geomspace(1.0, 1e6, 600)
    _bound(axis, z)
    rows = frame[frame["part"] == "root"]
    for look, (name, line) in zip(_figures.looks(), rows.groupby("scheme"), strict=False):
        k = int(name.removeprefix("bdf"))
        label = f"{name}: |z|^{-1 - 1 / k:.2f}"
        axis.plot(
            -line["z"], line["closed"], label=label, markevery=max(1, len(line) // 13), **look
        )
    _log_log(axis, "Principal roots of BDF", xlabel="|z|", ylabel="|dζ/dz|")
    axis.legend(loc="lower left")


def _draw_many(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[(frame["part"] == "step") & (frame["steps"] == 10)]
    for look, name in zip(_figures.looks(), SHOWN, strict=False):
        line = rows[rows["scheme"] == name]
        style = {**look, "markevery": max(1, len(line) // 13)}
        axis.plot(-line["z"], np.abs(line["solver"]), label=name, **style)
    z = np.geomspace(1.0, 1e2, 200)
    axis.plot(z, 10 * np.exp(-10 * z), color=_figures.CLAIMED, linestyle="--", label="the ODE")
    _log_log(axis, "Ten steps: |z|^-(kN+1), or |z|^-2 undamped", ylim=(1e-120, 1e3))
    axis.set(xlabel="|z| = h |λ|", ylabel="|∂y₁₀/∂z|")
    axis.legend(loc="lower left", fontsize=7, ncols=2)


def _draw_signs(axis: Any, frame: DataFrame) -> None:
    from matplotlib.colors import ListedColormap

    from studies import _figures

    z = np.geomspace(1.0, 100.0, 400)
    names = list(SCHEMES)
    for offset, n in ((0.0, 1), (0.42, 10)):
        for i, name in enumerate(names):
            sign = np.sign(SCHEMES[name].after(-z, n))[None]
            axis.imshow(
                sign,
                extent=(0, 2, i + offset - 0.4, i + offset - 0.02),
                aspect="auto",
                cmap=ListedColormap([_figures.COLOURS[1], _figures.COLOURS[4]]),
                vmin=-1,
                vmax=1,
            )
    rows = frame[frame["part"] == "sign"]
    places = [names.index(name) - 0.21 for name in rows["scheme"]]
    axis.plot(np.log10(-rows["z"]), places, "k|", markersize=12, label="sign change of the solver")
    axis.set(xlim=(0, 2), ylim=(-0.6, len(names) - 0.4), xlabel="|z| = h |λ|")
    axis.set_xticks([0, 0.5, 1, 1.5, 2], ["1", "3", "10", "32", "100"])
    axis.set_yticks(range(len(names)), names, fontsize=7)
    axis.grid(False)
    axis.set_title("Sign: right (blue), wrong (red); 1 step below, 10 above")


def _draw_forced(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[frame["part"] == "forced"]
    for look, name in zip(_figures.looks(), SLOW, strict=False):
        for where, style in (("on", "-"), ("off", ":")):
            line = rows[(rows["scheme"] == name) & (rows["where"] == where)]
            off = np.abs(line["solver"] / line["true"] - 1)
            label = name if where == "on" else None
            axis.plot(-line["rate"], off, label=label, **{**look, "linestyle": style})
    axis.axhline(1.0, color="black", linewidth=0.8)
    _log_log(axis, "y' = λ(y − cos t), 10 steps: on (—) and off (···) the slow manifold")
    axis.set(xlabel="|λ|", ylabel="relative error of dy(1)/dλ", ylim=(1e-8, 1e6))
    axis.legend(loc="upper left", fontsize=7, ncols=3)


def _draw_parameters(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[(frame["part"] == "forced") & (frame["where"] == "on")]
    line = rows[rows["scheme"] == "radau5"]
    rate = -line["rate"]
    for look, (label, power) in zip(
        _figures.looks(), (("λ", 0), ("log |λ|", 1), ("τ = 1/|λ|", 2)), strict=False
    ):
        axis.plot(
            rate, np.abs(line["true"]) * rate**power, color=look["color"], label=f"by {label}"
        )
        solver = np.abs(line["solver"]) * rate**power
        axis.plot(rate, solver, color=look["color"], marker=look["marker"], linestyle="")
    _log_log(axis, "The parameter decides: ODE (lines), Radau5 (marks)")
    axis.set(xlabel="|λ|", ylabel="|sensitivity of y(1)|")
    axis.legend(loc="lower left")


def _draw_single(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[frame["part"] == "single"]
    for look, (name, line) in zip(_figures.looks(), rows.groupby("scheme"), strict=False):
        axis.plot(-line["z"], np.abs(line["closed"]), color=look["color"], label=name)
        kept = line[line["solver"].notna() & (line["solver"] != 0)]
        style = {"color": look["color"], "linestyle": ""}
        axis.plot(-kept["z"], np.abs(kept["solver"]), marker=look["marker"], **style)
        lost = line[line["solver"].isna() | (line["solver"] == 0)]
        axis.plot(-lost["z"], np.full(len(lost), 1e-68), marker="x", markersize=8, **style)
    tiny = np.finfo(np.float32).tiny
    axis.axhline(tiny, color=_figures.CLAIMED, linestyle="--")
    axis.annotate("smallest float32", (1.2, tiny * 30), color=_figures.CLAIMED, fontsize=8)
    _log_log(axis, "Ten steps in single precision; × is zero or NaN")
    axis.set(xlabel="|z| = h |λ|", ylabel="|∂y₁₀/∂z|", ylim=(1e-70, 1))
    axis.legend(loc="upper right")


def _draw_adaptive(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[(frame["part"] == "adaptive") & (frame["status"] == "ok")]
    rows = rows[rows["problem"].str.startswith("linear")]
    for look, (name, line) in zip(_figures.looks(), rows.groupby("method"), strict=False):
        line = line.sort_values("rate")
        size = np.maximum(np.abs(line["solver"]), 1e-60)
        axis.plot(-line["rate"], size, label=integrator(name), **look)
    rate = np.geomspace(1, 140, 200)
    axis.plot(rate, np.exp(-rate), color="black", linewidth=2, label="e^λ, the ODE")
    axis.axhline(1e-9, color=_figures.CLAIMED, linestyle="--", label="atol")
    _log_log(axis, "Adaptive solvers on y' = λ y, rtol 1e-6", ylim=(1e-62, 10))
    axis.set(xlabel="|λ|", ylabel="|dy(1)/dλ| (10⁻⁶⁰ and less as 10⁻⁶⁰)")
    axis.legend(loc="lower left", fontsize=6.5, ncols=2)
