"""The figure of the study `cost-scaling`."""

from collections.abc import Callable
from typing import Any

from studies import cost_scaling as study
from studies._study import DataFrame, Figure


def draw_scaling(frame: DataFrame) -> Figure:
    """Time against m, k and the chunk; memory; forward against adjoint."""
    from studies import _figures

    figure, axes = _figures.panels(2, 3, size=(13.0, 8.0))
    _curves(axes[0, 0], frame, "parameters", "parameters", "seconds", 1e3)
    axes[0, 0].set(
        title=f"{study.STATES} states", xlabel="parameters m", ylabel="one gradient [ms]"
    )
    _slopes(axes[0, 0], frame, "parameters", (1, 3))
    _curves(axes[0, 1], frame, "states", "states", "seconds", 1e3)
    _slopes(axes[0, 1], frame, "states", (1, 3))
    title = f"{study.FIXED_PARAMETERS} parameters"
    axes[0, 1].set(title=title, xlabel="states k", ylabel="one gradient [ms]")
    _curves(axes[1, 0], frame, "chunk", "chunk", "seconds", 1e3)
    title = f"{study.STATES} states, {study.FIXED_PARAMETERS} parameters, l at once"
    axes[1, 0].set(title=title, xlabel="chunk l", ylabel="all passes [ms]")
    _curves(axes[1, 1], frame, "parameters", "parameters", "temporary_bytes", 2.0**-20)
    title = f"memory beside arguments and results, {study.STATES} states"
    axes[1, 1].set(title=title, xlabel="parameters m", ylabel="memory [MiB]")
    _crossover(axes[0, 2], frame)
    axes[1, 2].axis("off")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    axes[1, 2].legend(handles.values(), handles.keys(), loc="center", fontsize=9)
    return figure


def _looks() -> Callable[[str], dict[str, Any]]:
    from studies import _figures

    looks = dict(zip(study.LABELS, _figures.looks(), strict=False))
    return lambda label: looks[label]


def _curves(axis: Any, frame: DataFrame, part: str, size: str, figure: str, unit: float) -> None:
    look = _looks()
    rows = study.rows_of(frame, part)
    for label in study.LABELS:
        line = rows[rows["label"] == label].sort_values(size)
        if len(line):
            axis.plot(line[size], unit * line[figure], label=label, **look(label))
    if rows.empty:
        axis.annotate("not part of this run", (0.5, 0.5), xycoords="axes fraction", ha="center")
    axis.set(xscale="log", yscale="log")


def _slopes(axis: Any, frame: DataFrame, part: str, powers: tuple[int, ...]) -> None:
    """Lines of known powers from the corner of the fastest and smallest, as far as they fit."""
    from studies import _figures

    rows = study.rows_of(frame, part)
    if rows.empty:
        return
    low, high = axis.get_ylim()
    left, right = rows[part].min(), rows[part].max()
    base = 1e3 * rows["seconds"].min()
    for power in powers:
        end = min(right, left * (high / base) ** (1 / power))
        line = [base, base * (end / left) ** power]
        axis.plot([left, end], line, color=_figures.CLAIMED, linestyle=":", linewidth=1.2)
        where = {"textcoords": "offset points", "xytext": (4, -10), "fontsize": 9}
        axis.annotate(f"power {power}", (end, line[1]), color=_figures.CLAIMED, ha="right", **where)
    axis.set(ylim=(low, high))


def _crossover(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    rows = study.rows_of(frame, "crossover")
    look = _looks()
    for label in study.LABELS:
        line = rows[rows["label"] == label].sort_values("states")
        if len(line):
            size = line["states"] + line["parameters"]
            axis.plot(size, 1e3 * line["seconds"], label=label, **look(label))
    axis.axvline(
        study.RULE, color=_figures.CLAIMED, linestyle="--", label="SciML's rule, n + p = 100"
    )
    axis.set(xscale="log", yscale="log", title="Brusselator, N × N cells")
    axis.set(xlabel="states and parameters, n + p", ylabel="one gradient [ms]")
    totals = sorted({int(row.states + row.parameters) for row in rows.itertuples()})
    axis.set_xticks([*totals], [str(total) for total in totals])
    axis.set_xticks([], minor=True)
