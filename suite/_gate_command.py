"""`stiffgrad gate`: what is compared, the measuring, and the table of findings."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from problems import UnknownNameError
from suite import gate, records
from suite._paired import Pairing
from suite._sides import CACHE, SideError, side
from suite.cases import BadRequest, Case, get_tier, make_cases, select_methods, select_problems
from suite.gate import Finding

STYLES = {"regression": "bold red", "improvement": "green", "undecided": "yellow", "same": "dim"}
UNITS = {"gradient_seconds": (1e3, "ms"), "peak_bytes": (2.0**-10, "KiB")}


class GateError(RuntimeError):
    """The comparison could not be made."""


@dataclass(frozen=True)
class Request:
    """What `stiffgrad gate` was asked for."""

    base: str
    head: str
    problems: list[str]
    methods: list[str]
    tier: str
    rounds: int


def run(wanted: Request, json_file: Path | None, console: Console) -> bool:
    """Compare, print, and say whether there is a regression.

    Raises BadRequest or UnknownNameError for what cannot be, GateError where a side cannot be
    installed or measured.
    """
    recorded = [_recorded(name) for name in (wanted.base, wanted.head)]
    if all(path is not None for path in recorded):
        base, head = (records.read(path) for path in recorded if path is not None)
        findings = gate.judge_recorded(base, head)
    elif any(path is not None for path in recorded):
        raise BadRequest(
            "a recorded run can only be compared with another; name two runs, or two commits or "
            "stacks, which are measured in turn"
        )
    else:
        findings = _measured(wanted, console)
    if not findings:
        raise BadRequest(f"{wanted.base} has no cases to compare")
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(finding) for finding in findings], indent=1) + "\n")
    show(findings, console)
    return any(finding.verdict == "regression" for finding in findings)


def _recorded(name: str) -> Path | None:
    try:
        return records.find_run(name)
    except UnknownNameError:
        return None


def _measured(wanted: Request, console: Console) -> list[Finding]:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
    folder = CACHE / "gate" / stamp
    try:
        with console.status("installing") as status:
            sides = side(wanted.base), side(wanted.head)
            pairing = Pairing(
                *sides,
                wanted.tier,
                wanted.rounds,
                folder,
                announce=lambda text: status.update(escape(text)),
            )
            pairs = list(pairing.measure(_cases(wanted)))
    except SideError as error:
        raise GateError(str(error)) from error
    console.print(f"base: {sides[0].label}; head: {sides[1].label}; records: {folder}")
    return [finding for measured in pairs for finding in gate.judge(measured)]


def _cases(wanted: Request) -> list[Case]:
    """Those asked for; by default what airspeed velocity tracks of the smoke tier."""
    # only a checkout has the benchmarks, and only a checkout has commits to compare
    from benchmarks.smoke import Gradients

    problems, methods, _ = Gradients.params
    tier = get_tier(wanted.tier)
    return make_cases(
        select_problems(wanted.problems or problems, tier.problems),
        select_methods(wanted.methods or methods),
        tier.rtols[:1],
    )


def show(findings: list[Finding], console: Console) -> None:
    """What changed and what could not be decided, and one line on the rest."""
    table = Table("case", "figure", "base", "head", "ratio", f"{gate.CONFIDENCE:.0%} interval", "")
    for (problem, method, rtol), group in groupby(
        findings, lambda f: (f.problem, f.method, f.rtol)
    ):
        for finding in group:
            if finding.verdict != "same":
                table.add_row(
                    escape(f"{problem} {method} {rtol:.0e}"),
                    *_row(finding),
                    finding.verdict,
                    style=STYLES[finding.verdict],
                )
    if table.row_count:
        console.print(table)
    counts = {name: sum(f.verdict == name for f in findings) for name in STYLES}
    console.print(
        f"{len(findings)} figures compared: "
        + ", ".join(f"{count} {name}" for name, count in counts.items())
    )


def _row(finding: Finding) -> list[str]:
    if finding.figure == "status":
        return ["status", finding.base, finding.head, "", ""]
    factor, unit = UNITS.get(finding.figure, (1.0, ""))
    interval = "" if finding.low == finding.high else f"{finding.low:.2f} to {finding.high:.2f}"
    return [
        finding.figure,
        f"{finding.base * factor:.3g} {unit}",
        f"{finding.head * factor:.3g} {unit}",
        f"{finding.ratio:.2f}",
        interval,
    ]
