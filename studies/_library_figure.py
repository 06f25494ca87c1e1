"""The figure of the study `library`."""

from typing import Any

from studies import library
from studies._study import DataFrame, Figure

PARTS = (
    ("import_seconds", "import", "#56B4E9"),
    ("compile_seconds", "trace and compile", "#0072B2"),
    ("run_seconds", "run", "#D55E00"),
)


def draw_library(frame: DataFrame) -> Figure:
    """Work-precision of both problems, time against m, first calls by their parts."""
    from studies import _figures

    figure, axes = _figures.panels(2, 2, size=(10.0, 8.6))
    for axis, problem in zip(axes[0], library.PROBLEMS, strict=True):
        _precision(axis, frame, problem)
    _scaling(axes[1, 0], frame)
    _first(axes[1, 1], frame)
    handles: dict[str, Any] = {}
    for axis in axes[0]:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3)
    return figure


def _looks(frame: DataFrame) -> dict[str, dict[str, Any]]:
    """One look a method, ours with full lines and filled markers, others with dashed lines."""
    from studies import _figures

    names = frame[frame["part"] == "precision"]["method"].unique()
    names = sorted(names, key=lambda name: (not name.startswith(library.OURS), name))
    looks = zip(names, _figures.looks(), strict=False)
    return {
        name: {**look, "linestyle": "-" if name.startswith(library.OURS) else "--"}
        for name, look in looks
    }


def _precision(axis: Any, frame: DataFrame, problem: str) -> None:
    from studies import _figures

    for name, look in _looks(frame).items():
        rows = library.rows_of(frame, "precision", problem=problem, method=name)
        rows = rows.sort_values("gradient_error")
        if len(rows):
            axis.plot(rows["gradient_error"], 1e3 * rows["seconds"], label=name, **look)
    if not len(library.rows_of(frame, "precision", problem=problem)):
        axis.annotate("not part of this run", (0.5, 0.6), xycoords="axes fraction", ha="center")
    wanted = 1e3 * library.WANTED[problem]
    axis.plot(library.TARGET, wanted, "*", color="black", markersize=13, zorder=5, label="wanted")
    axis.axvline(library.TARGET, color=_figures.CLAIMED, linestyle=":", linewidth=1)
    axis.set(xscale="log", yscale="log", title=f"{problem.upper()}: work and precision")
    axis.set(xlabel="relative error of the gradient, log parameters", ylabel="one gradient [ms]")
    axis.invert_xaxis()


def _scaling(axis: Any, frame: DataFrame) -> None:
    from studies import _figures

    found = library.exponents(frame)
    rows = library.rows_of(frame, "scaling")
    for look, (name, group) in zip(_figures.looks(), rows.groupby("method"), strict=False):
        strategy = str(name).rpartition("/")[2]
        group = group.sort_values("parameters")
        label = strategy + (
            f", last exponent {found[strategy][1]:.2f}" if strategy in found else ""
        )
        axis.plot(group["parameters"], 1e3 * group["seconds"], label=label, **look)
    if len(rows):
        ends = [rows["parameters"].min(), rows["parameters"].max()]
        base = 1e3 * rows["seconds"].min() / 2
        line = [base, base * (ends[1] / ends[0]) ** library.WANTED_EXPONENT]
        axis.plot(ends, line, color=_figures.CLAIMED, linestyle=":", label="wanted: slope 1.2")
    axis.set(xscale="log", yscale="log", title=f"{library.STATES} states, wide network")
    axis.set(xlabel="parameters m", ylabel="one gradient [ms]")
    axis.legend(loc="upper left")


def _first(axis: Any, frame: DataFrame) -> None:
    rows = library.rows_of(frame, "first")
    labels = [f"{row.problem.upper()}\n{row.cache}" for row in rows.itertuples()]
    base = [0.0] * len(rows)
    for column, label, colour in PARTS:
        heights = rows[column].tolist()
        axis.bar(labels, heights, bottom=base, label=label, color=colour, width=0.6)
        base = [below + height for below, height in zip(base, heights, strict=True)]
    for i, row in enumerate(rows.itertuples()):
        cold = row.cache == "cold"
        wanted = library.WANTED_COLD[row.problem] if cold else library.WANTED_WARM
        axis.hlines(wanted, i - 0.4, i + 0.4, color="black", linestyle=":")
    axis.plot([], [], color="black", linestyle=":", label="wanted")
    axis.set_ylim(top=1.35 * max([*base, library.WANTED_COLD["rober"]]))
    axis.set(title="The first gradient of a fresh process", xlabel="problem, compile cache")
    axis.set(ylabel="time [s]")
    axis.legend(loc="upper left", ncols=2)
