"""The report's tables, each made of a frame of records."""

import json
from typing import Any

import pandas as pd

from report import dots, formats, profiles
from report.formats import NONE, large, number, sort_by, target, text
from report.gather import Platform
from report.profiles import TARGETS, Field
from report.table import Column, Table
from suite import tables
from suite.display import milliseconds

SIGNS = (
    "One sign a tolerance, loosest first; ≤: already the loosest tolerance is better than that; "
    "–: not reached or not measured. Error, memory and the rest are of the tightest tolerance with "
    "a usable gradient."
)


def ranking(platform: Platform, problem: str, ranked: pd.DataFrame) -> Table | None:
    """Methods by the time they take to reach equal gradient errors."""
    data = platform.of(problem)
    newest = data.sort_values("rtol").drop_duplicates("method")[["method", "commit", "date"]]
    frame = ranked[ranked["problem"] == problem].merge(newest, on="method", how="left")
    if frame.empty:
        return None
    columns = [
        text("method", "method"),
        text("", "signs"),
        *map(target, TARGETS),
        number("error", "error", ".0e"),
        number("worst", "worst", ".0e"),
        Column("vs differences", _difference, sort_by("difference")),
        number("forward ms", "forward_seconds", ".3g", 1e3),
        number("compile s", "compile_seconds"),
        number("MiB", "peak_bytes", ".3g", 2**-20),
        number("reversal", "reversibility", ".0e"),
        number("steps", "steps", ".0f"),
        Column("commit", lambda row: str(row["commit"])[:8]),
    ]
    title = f"{problem}: ms for one gradient, at equal gradient error"
    return Table(platform.place(problem, "ranking"), title, frame, columns, data, SIGNS)


def glance(platform: Platform, ranked: pd.DataFrame) -> Table:
    """Every framework at its fastest: a row a problem and framework."""
    rows = []
    for problem in platform.problems:
        for framework, part in platform.of(problem).groupby("framework"):
            of = (ranked["problem"] == problem) & (ranked["framework"] == framework)
            ok, wrong = ((part["status"] == name).sum() for name in ("ok", "silently-wrong"))
            row = {"problem": problem, "framework": framework, "cases": len(part)}
            rows.append(row | {"ok": ok, "silently wrong": wrong} | _fastest(ranked[of]))
    columns = [
        *(text(name, name) for name in ("problem", "framework")),
        *(number(name, name, ".0f") for name in ("cases", "ok", "silently wrong")),
        *map(_fastest_column, TARGETS),
    ]
    title = "Every framework at its fastest: ms for one gradient, and the method"
    note = "≤: already the loosest tolerance is better than that; –: not reached at any tolerance."
    name = f"{platform.slug}/at-a-glance"
    return Table(name, title, pd.DataFrame(rows), columns, platform.data, note)


def _fastest(rows: pd.DataFrame) -> dict[str, Any]:
    """For each gradient error seconds, whether they are a bound, and the method; NaN for none."""
    found: dict[str, Any] = {}
    for error in TARGETS:
        at, bound, method = f"at {error:.0e}", f"bound {error:.0e}", f"method {error:.0e}"
        found |= {at: float("nan"), bound: False, method: ""}
        if rows[at].notna().any():
            best = rows.loc[rows[at].idxmin()]
            found |= {at: best[at], bound: bool(best[bound]), method: best["method"]}
    return found


def _fastest_column(error: float) -> Column:
    at, bound, method = f"at {error:.0e}", f"bound {error:.0e}", f"method {error:.0e}"
    return Column(
        f"at {error:.0e}",
        lambda row: f"{milliseconds(row[at], row[bound])} {row[method].partition('/')[2]}".strip(),
        sort_by(at),
    )


def _difference(row: Any) -> str:
    """Against finite differences; not below the error that those have themselves."""
    if not formats.is_number(row["difference"]):
        return NONE
    below = row["difference"] <= row["floor"]
    return f"≤{row['floor']:.0e}" if below else f"{row['difference']:.0e}"


def failures(platform: Platform, problem: str) -> Table | None:
    """What did not end well, and why."""
    data = platform.of(problem)
    about = data.drop_duplicates("method")[["method", "framework", "strategy", "family"]]
    frame = tables.failures(data).merge(about, on="method", how="left")
    if frame.empty:
        return None
    columns = [text(name, name) for name in ("method", "status", "rtols", "reason")]
    title = f"{problem}: not ok, and why"
    return Table(platform.place(problem, "failures"), title, frame, columns, data)


def profile(platform: Platform, ranked: pd.DataFrame, field: Field) -> Table | None:
    """The figures of the performance profiles, for every error that somebody reaches."""
    about = platform.data.drop_duplicates("method")[["method", "framework", "strategy", "family"]]
    data = platform.data[
        platform.data["problem"].isin(field.problems) & platform.data["method"].isin(field.methods)
    ]
    parts = []
    for error in TARGETS:
        ratios = profiles.ratios(profiles.times(ranked, field, error))
        if not ratios.empty:
            parts.append(profiles.summary(ratios).assign(target=error, problems=len(ratios)))
    if not parts:
        return None
    frame = pd.concat(parts).merge(about, on="method", how="left")
    shares = ("solved", "fastest", "within 2", "within 10", "within 100")
    columns = [
        number("gradient error", "target", ".0e"),
        text("method", "method"),
        *(number(name, name, ".0%") for name in shares),
        number("problems", "problems", ".0f"),
    ]
    title = f"Share of problems ({field.name}) solved within a factor of the fastest method's time"
    note = f"Problems: {', '.join(field.problems)}."
    return Table(f"{platform.slug}/profile-{field.slug}", title, frame, columns, data, note)


def same_integrator(platform: Platform, ranked: pd.DataFrame) -> Table | None:
    """Strategies on one integrator."""
    note = (
        "Ratio: to the fastest strategy on the same integrator of the same framework; of bounds "
        "where times are bounds (≤)."
    )
    frame = dots.same_integrator_rows(ranked)
    return _controlled(platform, "same-integrator", frame, note, "integrator")


def same_strategy(platform: Platform, ranked: pd.DataFrame) -> Table | None:
    """Frameworks with one strategy."""
    note = (
        "Each framework by its fastest integrator. Ratio: to the strategy's fastest framework; of "
        "bounds where times are bounds (≤)."
    )
    frame = dots.same_strategy(ranked)
    return _controlled(platform, "same-strategy", frame, note, "strategy")


def _controlled(
    platform: Platform, name: str, frame: pd.DataFrame, note: str, what: str
) -> Table | None:
    if frame.empty:
        return None
    columns = [
        text("problem", "problem"),
        text(what, what),
        number("gradient error", "target", ".0e"),
        text("method", "method"),
        Column("ms", dots.time_text, sort_by("seconds")),
        large("ratio", "ratio"),
        number("MiB", "peak_bytes", ".3g", 2**-20),
    ]
    title = f"Same {what}, side by side, at equal gradient error"
    kept = ["problem", what, "target", "method", "framework", "integrator", "strategy", "family"]
    kept += ["seconds", "bound", "ratio", "peak_bytes"]
    frame = frame[list(dict.fromkeys(kept))]
    return Table(f"{platform.slug}/{name}", title, frame, columns, platform.data, note)


def everything(platform: Platform) -> Table:
    """All chosen records, a row each, to be worked on further."""
    frame = platform.data.sort_values(["problem", "method", "rtol"], ascending=[True, True, False])
    for name in frame:
        if frame[name].map(lambda value: isinstance(value, dict | list)).any():
            frame[name] = [
                json.dumps(value) if isinstance(value, dict | list) else None
                for value in frame[name]
            ]
    columns = [
        *(text(name, name) for name in ("problem", "method")),
        number("rtol", "rtol", ".0e"),
        text("status", "status"),
        number("error", "gradient_error", ".1e"),
        number("ms", "gradient_seconds", ".3g", 1e3),
        number("MiB", "peak_bytes", ".3g", 2**-20),
    ]
    title = "All records"
    return Table(f"{platform.slug}/records", title, frame, columns, platform.data)


def side_by_side(platforms: list[Platform]) -> Table | None:
    """Platforms against each other, in calibration kernels: the one place where they are mixed."""
    parts = []
    for platform in platforms:
        kernel = platform.data.groupby(["problem", "method"])["calibration_seconds"].median()
        rows = profiles.ranking(platform.data).merge(
            kernel.rename("kernel").reset_index(), on=["problem", "method"]
        )
        parts += [
            rows.assign(platform=platform.name, target=error, kernels=rows[name] / rows["kernel"])
            for error in TARGETS
            for name in [f"at {error:.0e}"]
        ]
    rows = pd.concat(parts)
    about = ["problem", "method", "framework", "strategy", "family"]
    wide = rows.pivot_table(index=[*about, "target"], columns="platform", values="kernels")
    wide = wide[wide.notna().sum(axis="columns") > 1].reset_index()
    if wide.empty:
        return None
    names = [platform.name for platform in platforms if platform.name in wide]
    columns = [
        text("problem", "problem"),
        text("method", "method"),
        number("gradient error", "target", ".0e"),
        *(number(name, name, ".3g") for name in names),
    ]
    note = (
        "Normalised: time over that of the calibration kernel, a small CPU computation timed with "
        "each case. It levels CPUs; it says nothing of an accelerator."
    )
    source = pd.concat([platform.data for platform in platforms])
    title = "Platforms side by side, in calibration kernels"
    return Table("platforms", title, wide, columns, source, note)
