"""The training studies' figure: loss, gradient norm, what gradients cost, species profiles."""

from typing import Any

from studies._study import DataFrame, Figure
from studies._training import BASELINE, PLAIN, SEEDS
from studies._training_frame import Marks, rows

# Trainings that stay above are named in the panel instead.
LARGEST_SHOWN = 3.0


def draw(frame: DataFrame, species: tuple[str, ...], marks: Marks, logarithmic: bool) -> Figure:
    """Curves over epochs as in figures 4 and 7, profiles as in figures 6 and 8."""
    from studies import _figures

    figure, axes = _figures.panels(2, 3, size=(13.0, 7.5))
    curves = rows(frame, "curve")
    _draw_curves(axes[0, 0], curves, "misfit")
    _draw_curves(axes[0, 1], curves, "norm")
    for epoch, value in marks.recorded.items():
        axes[0, 0].plot(epoch, value, "*", color="black", markersize=10, zorder=5)
    axes[0, 0].axhline(marks.trivial, color=_figures.CLAIMED, linestyle=":")
    axes[0, 0].set(
        ylabel="misfit, eq. 14", title="Loss (★ the authors' run)", ylim=(1e-3, LARGEST_SHOWN)
    )
    axes[0, 1].set(ylabel="L2 norm of the gradient", title="Gradient norm")
    _draw_gradients(axes[0, 2], frame[frame["part"] == "gradient"])
    for axis, name in zip(axes[1], species, strict=True):
        _draw_profile(axis, rows(frame, "profile", species=name), name)
        if logarithmic:
            axis.set_xscale("log")
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _draw_curves(axis: Any, curves: Any, column: str) -> None:
    """Medians over seeds of the longest training of a recipe, with the extremes shaded."""
    from studies import _figures

    by_recipe = curves.groupby("recipe", sort=False)
    off = []
    for look, (name, every) in zip(_figures.looks(), by_recipe, strict=False):
        longest = every[every["epochs"] == every["epochs"].max()]
        over_seeds = longest.groupby("epoch")[column]
        middle, style = over_seeds.median(), {"linestyle": look["linestyle"]}
        axis.plot(middle.index, middle, label=name, color=look["color"], **style)
        low, high = over_seeds.min(), over_seeds.max()
        axis.fill_between(middle.index, low, high, color=look["color"], alpha=0.15)
        if column == "misfit" and middle.min() > LARGEST_SHOWN:
            off.append(f"{name}: ends at {middle.iloc[-1]:.1g}")
    axis.text(0.03, 0.03, "\n".join(off), transform=axis.transAxes, fontsize=8)
    axis.set(xscale="log", yscale="log", xlabel="epoch")


def _draw_gradients(axis: Any, gradients: Any) -> None:
    """Milliseconds by method, the fastest on top; where there are none, the status instead."""
    from studies import _figures

    order = gradients.groupby("method")["ms"].min().sort_values(na_position="last").index
    places = {name: -place for place, name in enumerate(order)}
    for look, (state, of) in zip(_figures.looks(), gradients.groupby("state"), strict=False):
        axis.plot(
            of["ms"],
            of["method"].map(places),
            look["marker"],
            color=look["color"],
            label=f"{state} weights",
        )
    for name, of in gradients[gradients["ms"].isna()].groupby("method"):
        failed = ", ".join(f"{row.state}: {row.status}" for row in of.itertuples())
        place = (0.98, places[name])
        axis.annotate(failed, place, xycoords=("axes fraction", "data"), fontsize=6, ha="right")
    axis.set(xscale="log", xlabel="ms a gradient", title="One gradient of the training loss")
    axis.set_yticks(list(places.values()), list(places), fontsize=6)
    if len(gradients):
        axis.legend(loc="lower left", fontsize=6)


def _draw_profile(axis: Any, profile: Any, name: str) -> None:
    from studies import _figures

    first = profile[profile["seed"] == SEEDS[0]]
    for recipe, colour in ((PLAIN, _figures.COLOURS[0]), (BASELINE, _figures.COLOURS[1])):
        line = first[first["recipe"] == recipe]
        axis.plot(line["time"], line["value"], color=colour, label=recipe)
    truth = first[first["recipe"] == PLAIN]
    axis.plot(truth["time"], truth["truth"], "o", color="black", markersize=3, label="truth")
    if len(truth):
        low, high = truth["truth"].min(), truth["truth"].max()
        margin = 0.25 * (high - low)
        axis.set_ylim(low - margin, high + margin)
    axis.set(xlabel="t [s]", ylabel=name, title=f"{name} (where absent, off the scale)")
    axis.legend(loc="best")
