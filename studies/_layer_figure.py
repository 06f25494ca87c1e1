"""The figure of the study of per-layer gradients."""

from typing import Any

import numpy as np

from studies._study import DataFrame, Figure

TRUE = {"color": "black", "linewidth": 2.2, "alpha": 0.45, "label": "true gradient G(t)"}
RINGING = ("trapezoid", "implicit-midpoint", "radau3", "backward-euler")


def draw(frame: DataFrame) -> Figure:
    """Layers of leapfrog and of midpoint; errors over steps; training; a stiff state."""
    from studies import _figures

    figure, axes = _figures.panels(3, 2, size=(10.0, 11.0))
    _draw_layers(axes[0, 0], frame, "leapfrog", ("raw", "filter", "Gragg"))
    _draw_layers(axes[0, 1], frame, "midpoint", ("raw", "stage sum", "node costate"))
    _draw_rates(axes[1, 0], frame)
    _draw_training(axes[1, 1], frame)
    _draw_theta(axes[2, 0], frame)
    _draw_ringing(axes[2, 1], frame)
    return figure


def _draw_layers(axis: Any, frame: DataFrame, scheme: str, variants: tuple[str, ...]) -> None:
    from studies import _figures

    rows = frame[(frame["part"] == "layer") & (frame["scheme"] == scheme)]
    for look, variant in zip(_figures.looks(), variants, strict=False):
        line = rows[rows["variant"] == variant]
        raw = variant == "raw"
        style = {**look, "linewidth": 0.8 if raw else 0, "markersize": 3.0 if raw else 4.5}
        axis.plot(line["t"], line["value"], label=variant, **style)
        if raw:
            axis.plot(line["t"], line["true"], zorder=5, **TRUE)
    axis.set(xlabel="t", ylabel="(dL/dθ₁ of a layer) / h", title=f"{scheme}, 40 steps")
    axis.legend(loc="best", ncols=2)


def _draw_rates(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[frame["part"] == "rate"]
    shown = (
        ("leapfrog", "raw"),
        ("midpoint", "raw"),
        ("ralston", "raw"),
        ("ab2", "raw"),
        ("bdf2", "raw"),
        ("heun", "raw"),
        ("leapfrog", "filter"),
        ("leapfrog", "Gragg"),
        ("midpoint", "stage sum"),
        ("midpoint", "node costate"),
        ("ab2", "trimmed"),
    )
    for look, (scheme, variant) in zip(_figures.looks(), shown, strict=False):
        line = rows[(rows["scheme"] == scheme) & (rows["variant"] == variant)]
        style = {**look, "linestyle": "--" if variant == "raw" else "-"}
        axis.plot(line["steps"], line["sup"], label=f"{scheme}, {variant}", **style)
    n = np.array([rows["steps"].min(), rows["steps"].max()])
    axis.plot(n, 3.0 / n**2, color=_figures.CLAIMED, linestyle=":", label="∝ h²")
    axis.set(xscale="log", yscale="log", xlabel="steps N", ylabel="sup error of the layers")
    ticks = sorted(rows["steps"].unique())
    axis.set_xticks(ticks, [f"{int(tick)}" for tick in ticks])
    axis.minorticks_off()
    axis.set_title("Raw (dashed) and corrected")
    # room on the right for what would not fit between the lines
    axis.set_xlim(ticks[0] * 0.9, ticks[-1] * (ticks[-1] / ticks[0]) ** 0.75)
    axis.legend(loc="center right", fontsize=7)


def _draw_training(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[frame["part"] == "training"]
    curves = rows.groupby("variant", sort=False)
    for i, (look, (variant, line)) in enumerate(zip(_figures.looks(), curves, strict=False)):
        label = f"{variant}: loss of the ODE"
        axis.plot(line["epoch"], line["loss"], label=label, markevery=(i, 4), **look)
        if variant in ("raw", "filter"):
            style = {**look, "linestyle": ":", "marker": ""}
            axis.plot(line["epoch"], line["discrete"], label=f"{variant}: discrete loss", **style)
    axis.set(yscale="log", ylim=(1e-6, 3), xlabel="gradient descent steps", ylabel="loss")
    axis.set_title("Training leapfrog, 80 layers")
    axis.legend(loc="lower left", fontsize=7)


def _draw_theta(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[frame["part"] == "theta"]
    for look, (variant, line) in zip(
        _figures.looks(), rows.groupby("variant", sort=False), strict=False
    ):
        style = {**look, "markersize": 2.5 if variant == "raw" else 0}
        style["linewidth"] = 0.8 if variant == "raw" else 1.6
        axis.plot(line["t"], line["value"], label=variant, **style)
    axis.set(xlabel="t", ylabel="θ₁", title="What training made of θ₁")
    axis.legend(loc="best", ncols=2)


def _draw_ringing(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = frame[frame["part"] == "ringing"]
    rows = rows[rows["steps"] == rows["steps"].min()]
    for i, (look, scheme) in enumerate(zip(_figures.looks(), RINGING, strict=False)):
        line = rows[rows["scheme"] == scheme]
        style = {**look, "linewidth": 1.0, "markevery": (i % 2, 2)}
        axis.plot(line["t"], line["value"], label=scheme, **style)
    line = rows[rows["scheme"] == RINGING[0]]
    axis.plot(line["t"], line["true"], zorder=5, **TRUE)
    axis.set(xlabel="t", ylabel="(dL/dθ₂ of a layer) / h")
    axis.set_title("Implicit schemes where the loss sees a fast state (h K = 1e4)")
    axis.legend(loc="best", fontsize=7)
