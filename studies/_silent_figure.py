"""The figure of the study of silent errors."""

from typing import Any

import numpy as np

from adapters import get_method
from studies import _figures
from studies._silent_detectors import (
    BLIND,
    DETECTORS,
    FALSE_ALARM,
    NONE,
    QUIET,
    SEEN,
    UNDERSTATED,
    matrix,
)
from studies._study import DataFrame, Figure

# Signs beside the colours, for readers who do not tell these apart.
LOOKS = {
    SEEN: ("#009E73", "✓"),
    UNDERSTATED: ("#E69F00", "(✓)"),
    BLIND: ("#D55E00", "✗"),
    QUIET: ("#DDDDDD", "✓"),
    FALSE_ALARM: ("#CC79A7", "!"),
    NONE: ("white", "–"),
}
MEANINGS = {
    SEEN: "reports a tenth of the error or more",
    UNDERSTATED: "reports over 1 %, but less than a tenth of the error",
    BLIND: "reports less than 1 % where the gradient is worse",
    QUIET: "rightly quiet: gradient within 1 %",
    FALSE_ALARM: "false alarm",
    NONE: "no such check",
}
HOWS = {
    "skipped": "step sizes held fixed",
    "differentiated": "step sizes differentiated",
    "differences": "finite differences",
}


def draw(frame: DataFrame) -> Figure:
    """The matrix on the left; the equilibrium, the step sizes, the frozen step on the right."""
    figure, axes = _figures.panels(3, 2, size=(15.0, 12.0))
    grid = axes[0, 0].get_gridspec()
    for axis in axes[:, 0]:
        axis.remove()
    grid.set_width_ratios([1.15, 1.0])
    _draw_matrix(figure.add_subplot(grid[:, 0]), matrix(frame))
    _draw_equilibrium(axes[0, 1], frame)
    _draw_controllers(axes[1, 1], frame)
    _draw_frozen(axes[2, 1], frame)
    return figure


def _draw_matrix(axis: Any, cells: DataFrame) -> None:
    from matplotlib.patches import Patch, Rectangle

    subjects = list(dict.fromkeys(cells["subject"]))
    detectors = list(DETECTORS)
    errors = cells.drop_duplicates("subject").set_index("subject")
    for row in cells.itertuples():
        i, j = subjects.index(row.subject), detectors.index(row.detector)
        colour, sign = LOOKS[row.verdict]
        axis.add_patch(Rectangle((j - 0.47, i - 0.44), 0.94, 0.88, color=colour, lw=0))
        text = f"{sign} {_percent(row.gap)}" if row.verdict != NONE else sign
        axis.text(j, i, text, ha="center", va="center", fontsize=8)
    labels = [f"{s}\ngradient off by {_percent(errors['error'][s])}" for s in subjects]
    axis.set(xlim=(-0.5, len(detectors) - 0.5), ylim=(len(subjects) - 0.5, -0.5))
    axis.set_yticks(range(len(subjects)), labels, fontsize=7)
    axis.set_xticks(range(len(detectors)), list(DETECTORS.values()), fontsize=7.5)
    axis.tick_params(length=0)
    axis.xaxis.tick_top()
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    handles = [
        Patch(facecolor=LOOKS[name][0], edgecolor="#999999", label=f"{LOOKS[name][1]}  {text}")
        for name, text in MEANINGS.items()
        if name in set(cells["verdict"])
    ]
    axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, -0.01), ncols=2)
    axis.set_title("Which check sees which wrong gradient, and what it reports")


def _percent(value: float) -> str:
    if np.isinf(value):
        return "failed"
    if value == 0:
        return "0"
    if value < 1e-3:
        return f"{value:.0e}"
    if value < 0.1:
        return f"{100 * value:.2g} %"
    return f"{100 * value:.0f} %" if value < 10 else f"{value:.0e}×"


def _draw_equilibrium(axis: Any, frame: DataFrame) -> None:
    rows = frame[(frame["part"] == "equilibrium") & (frame["problem"] == "equilibrium:20")]
    rows = rows[rows["gradient_error"].notna()]
    continuous: list[Any] = []
    looks = _figures.looks()
    shown: set[str] = set()
    for name, line in rows.groupby("method", sort=False):
        line = line.sort_values("rtol")
        method = get_method(str(name))
        if method.strategy not in ("discrete", "forward-discrete"):
            continuous.append(line)
            continue
        integrator = f"{method.framework}/{method.integrator}"
        if integrator in shown:
            continue
        shown.add(integrator)
        axis.plot(line["rtol"], _floored(line), label=integrator, **next(looks))
    for i, line in enumerate(continuous):
        label = f"continuous ({len(continuous)})" if i == 0 else None
        axis.plot(line["rtol"], _floored(line), color="#BBBBBB", linewidth=0.9, label=label)
    axis.axhline(0.6, color=_figures.CLAIMED, linestyle=":", label="claimed: 60 %")
    axis.set(xscale="log", yscale="log", xlabel="rtol", ylabel="relative gradient error")
    axis.set_title("y' = p2 − p1 y at rest, p1 T = 20: discrete gradients do not converge")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)


def _floored(line: DataFrame) -> Any:
    return np.maximum(line["gradient_error"], 1e-16)


def _draw_controllers(axis: Any, frame: DataFrame) -> None:
    rows = frame[(frame["part"] == "controller") & (frame["rate"] == 20)]
    looks = _figures.looks()
    for how, words in HOWS.items():
        look = next(looks)
        for offset, style in zip(sorted(rows["offset"].unique()), ("-", "--", ":"), strict=False):
            line = rows[(rows["how"] == how) & (rows["offset"] == offset)].sort_values("rtol")
            label = f"{words}, y0 {'at rest' if offset == 0 else f'off by {offset:.0e}'}"
            axis.plot(
                line["rtol"],
                line["gradient_error"],
                **{**look, "linestyle": style},
                label=label,
            )
    axis.set(xscale="log", yscale="log", xlabel="rtol", ylabel="relative error of dy/dlog p2")
    axis.set_title("Step sizes differentiated or not (Bogacki-Shampine 3(2), p1 T = 20)")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)


def _draw_frozen(axis: Any, frame: DataFrame) -> None:
    rows = frame[frame["part"] == "frozen step"]
    for look, (name, line) in zip(_figures.looks(), rows.groupby("scheme"), strict=False):
        line = line.sort_values("z")
        axis.plot(-line["z"], np.abs(line["ratio"] - 1), label=name, **{**look, "marker": ""})
    axis.plot([10, 100], [56.9, 109.0], "*", color="black", markersize=11, label="expected, ROS2")
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set(xscale="log", yscale="log", xlabel="−z = −h λ", ylim=(1e-6, 1e5))
    axis.set_ylabel("|frozen / exact − 1|")
    axis.set_title("dR/dz of one Rosenbrock step, its Jacobian taken for a constant")
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
