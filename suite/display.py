"""Frames as tables for the terminal, readable at 80 columns and fuller at 160."""

import math
from collections.abc import Callable

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from suite import references, tables
from suite.statuses import STATUSES

WIDE_TERMINAL = 130


def show_run(console: Console, data: pd.DataFrame, sort: str | None = None) -> None:
    """The ranking of every problem, the failures with their reasons, and how it was measured."""
    ranked = tables.ranking(data)
    for problem in data["problem"].drop_duplicates():
        rows = ranked[ranked["problem"] == problem]
        if sort is not None:
            rows = rows.sort_values(sort)
        if not rows.empty:
            console.print(_ranking(str(problem), rows, console.width >= WIDE_TERMINAL))
    failed = tables.failures(data)
    if not failed.empty:
        console.print(_failures(failed))
    console.print(escape(legend(data)), highlight=False)
    console.print(escape(provenance(data)), highlight=False)


def milliseconds(seconds: object, bound: bool = False) -> str:
    """Milliseconds to two or three digits; `≤` before an upper bound, `–` for none."""
    if not _is_number(seconds):
        return "–"
    number = float(seconds) * 1e3  # type: ignore[arg-type]
    value = f"{number:.2g}" if number < 1 else f"{number:.3g}" if number < 1e3 else f"{number:.0f}"
    return f"≤{value}" if bound else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


def _power(value: object) -> str:
    return f"{float(value):.0e}" if _is_number(value) else "–"  # type: ignore[arg-type]


def _short(value: object) -> str:
    return f"{float(value):.2g}" if _is_number(value) else "–"  # type: ignore[arg-type]


def _percent(value: object) -> str:
    return f"{float(value):.2%}" if _is_number(value) else "–"  # type: ignore[arg-type]


def _difference(row: pd.Series) -> str:
    if not _is_number(row["difference"]):
        return "–"
    below = row["difference"] <= row["floor"]
    return f"≤{row['floor']:.0e}" if below else f"{row['difference']:.0e}"


Column = tuple[str, Callable[[pd.Series], str]]

NARROW: list[Column] = [
    *(
        (
            f"{target:.0e}",
            lambda row, target=target: milliseconds(  # type: ignore[misc]
                row[f"at {target:.0e}"], row[f"bound {target:.0e}"]
            ),
        )
        for target in tables.TARGETS
    ),
    ("error", lambda row: _power(row["error"])),
]
WIDE: list[Column] = [
    *NARROW,
    ("worst", lambda row: _power(row["worst"])),
    ("vs differences", _difference),
    ("forward ms", lambda row: milliseconds(row["forward_seconds"])),
    ("compile s", lambda row: _short(row["compile_seconds"])),
    ("MiB", lambda row: _short(row["peak_bytes"] / 2**20)),
    ("reversal error", lambda row: _percent(row["reversibility"])),
]
TITLE = "ms for one gradient, at equal gradient error"


def _ranking(problem: str, rows: pd.DataFrame, wide: bool) -> Table:
    table = Table(title=f"{problem}: {TITLE}")
    table.add_column("method", no_wrap=True)
    table.add_column("", no_wrap=True)
    columns = WIDE if wide else NARROW
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=not wide)
    for _, row in rows.iterrows():
        table.add_row(row["method"], row["signs"], *(make(row) for _, make in columns))
    return table


def markdown(data: pd.DataFrame) -> str:
    """The ranking of every problem and what failed, as Markdown with its provenance."""
    ranked, failed = tables.ranking(data), tables.failures(data)
    parts = []
    for problem in data["problem"].drop_duplicates():
        rows = ranked[ranked["problem"] == problem]
        lines = [
            [f"`{row['method']}`", row["signs"], *(make(row) for _, make in WIDE)]
            for _, row in rows.iterrows()
        ]
        header = ["method", "", *(name for name, _ in WIDE)]
        parts.append(f"**{problem}**: {TITLE}\n\n" + _pipes(header, lines))
        lines = [
            [f"`{row['method']}`", row["rtols"], row["status"], row["reason"]]
            for _, row in failed[failed["problem"] == problem].iterrows()
        ]
        if lines:
            header = ["method", "rtol", "status", "reason"]
            parts.append(f"**{problem}**: not ok, and why\n\n" + _pipes(header, lines))
    return "\n\n".join([*parts, legend(data), provenance(data)]) + "\n"


def summary(data: pd.DataFrame) -> str:
    """At every error the fastest integrator of each framework and strategy, as Markdown."""
    ranked = tables.ranking(data)
    parts = []
    for problem in data["problem"].drop_duplicates():
        rows = ranked[ranked["problem"] == problem]
        names = rows["method"].str.split("/", expand=True)
        lines = [
            [f"{framework} {strategy}", *(_fastest(group, target) for target in tables.TARGETS)]
            for (framework, strategy), group in rows.groupby([names[0], names[2]], sort=False)
        ]
        header = ["framework, strategy", *(f"{target:.0e}" for target in tables.TARGETS)]
        parts.append(f"**{problem}**: {TITLE}\n\n" + _pipes(header, lines))
    return "\n\n".join([*parts, provenance(data)]) + "\n"


def _fastest(rows: pd.DataFrame, target: float) -> str:
    reached = rows[rows[f"at {target:.0e}"].notna()]
    if reached.empty:
        return "–"
    row = reached.loc[reached[f"at {target:.0e}"].idxmin()]
    time = milliseconds(row[f"at {target:.0e}"], row[f"bound {target:.0e}"])
    return f"{time} {row['method'].split('/')[1]}"


def _pipes(header: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(header)
    rows = [header, rule, *lines]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows
    )


def _failures(failed: pd.DataFrame) -> Table:
    table = Table(title="Not ok, and why")
    for name in ("problem", "method", "status"):
        table.add_column(name, overflow="fold")
    table.add_column("reason", overflow="fold", ratio=1)
    for _, row in failed.sort_values(["problem", "status", "method"]).iterrows():
        reason = f"{row['reason']} [{row['rtols']}]"
        table.add_row(row["problem"], row["method"], row["status"], escape(reason))
    return table


def provenance(data: pd.DataFrame) -> str:
    """How many cases ended how, when and on what they were measured."""
    last = data.iloc[-1]
    machine, commit = last["machine"], last["commit"] or "unknown"
    tree = {True: "clean", False: "with uncommitted changes", None: "outside a repository"}
    libraries: dict[str, str] = {}
    for versions in data["versions"]:
        libraries |= versions
    named = [name for name in sorted(set(data["framework"]) | {"numpy", "torch"})]
    shown = ", ".join(f"{name} {libraries[name]}" for name in named if name in libraries)
    counts = ", ".join(f"{count} {name}" for name, count in data["status"].value_counts().items())
    return (
        f"{len(data)} cases: {counts}. Measured {last['date']} at commit {commit[:10]} "
        f"({tree[last['clean']]}) on {machine['cpu']} ({machine['cores']} cores), "
        f"{machine['threads']} thread, Python {machine['python']}, {shown}."
    )


def legend(data: pd.DataFrame) -> str:
    """The signs that occur, and how a time is to be read."""
    signs = ", ".join(
        f"{sign} {name}" for name, (sign, _) in STATUSES.items() if name in set(data["status"])
    )
    return (
        f"One sign a tolerance, loosest first: {signs}. "
        "≤: already the loosest tolerance is better than that; –: not reached or not measured."
    )


def show_comparison(console: Console, compared: pd.DataFrame) -> None:
    """Every case of either run, a table a problem, what changed most first."""
    changed = compared["status_a"] != compared["status_b"]
    size = compared["calibrated"].map(lambda x: abs(math.log(x)) if x > 0 else 0.0)
    ordered = compared.assign(changed=changed, size=size).sort_values(
        ["changed", "size"], ascending=False
    )
    for problem in compared["problem"].drop_duplicates():
        console.print(_comparison(str(problem), ordered[ordered["problem"] == problem]))
    console.print(
        "B over A: below 1 is faster, more accurate, smaller; calibrated: times relative to the "
        "calibration kernel timed with each case"
    )


def _comparison(problem: str, rows: pd.DataFrame) -> Table:
    table = Table(title=problem)
    table.add_column("method", no_wrap=True)
    for name in ("rtol", "status", "time", "calibrated", "error", "memory"):
        table.add_column(name, overflow="fold")
    for _, row in rows.iterrows():
        same = row["status_a"] == row["status_b"]
        status = row["status_a"] if same else f"{row['status_a']} → {row['status_b']}"
        ratios = [
            f"{row[name]:.3g}" if _is_number(row[name]) else "–"
            for name in ("time", "calibrated", "error", "memory")
        ]
        table.add_row(row["method"], f"{row['rtol']:.0e}", status, *ratios)
    return table


def show_reference(console: Console, compared: references.Comparison) -> None:
    """Every component of a reference: stored, computed anew, and the digits certified."""
    stored = compared.stored
    table = Table(title=f"{escape(stored.problem)}: certified on {stored.date}")
    for name in ("", "stored", "computed anew", "digits", ""):
        table.add_column(name, justify="left" if name == "" else "right", overflow="fold")
    for row in compared.components:
        verdict = "agrees" if row.agrees else "DISAGREES"
        values = f"{row.stored:.15g}", f"{row.computed:.15g}", f"{row.digits:.1f}"
        table.add_row(escape(row.name), *values, verdict)
    table.caption = "; ".join(escape(answer.method) for answer in stored.methods)
    console.print(table)
