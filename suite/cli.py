"""The command line: list, run, show, compare, gate, reference, study, report.

Heavy imports happen inside the commands, so that help and listing answer at once.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from problems import ProblemError, UnknownNameError
from suite.cases import TIERS, BadRequest

REGRESSION = 1
BAD_USAGE = 2
CANNOT_PROCEED = 3

app = typer.Typer(
    help="Which gradient can you trust through a stiff ODE, and what does it cost?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ProblemGlobs = Annotated[
    list[str] | None, typer.Option("--problem", help="Problem name or pattern; repeatable.")
]
MethodGlobs = Annotated[
    list[str] | None, typer.Option("--method", help="Method name or pattern; repeatable.")
]


class CannotProceed(RuntimeError):
    """The run itself, not a method, failed; the message says why."""


def main() -> None:
    """Entry point: bad requests are one line and exit code 2, a run that cannot proceed is 3."""
    try:
        app()
    except (UnknownNameError, ProblemError, BadRequest) as error:
        sys.exit(_complain(str(error), BAD_USAGE))
    except CannotProceed as error:
        sys.exit(_complain(str(error), CANNOT_PROCEED))


def _complain(message: str, code: int) -> int:
    typer.echo(f"stiffgrad: {message}", err=True)
    return code


@app.command("list")
def list_(
    problem: ProblemGlobs = None,
    method: MethodGlobs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Problems and methods, and whether they can be run here and why not.

    With --problem NAME: that problem's definition, its variants and how stiff it is.
    """
    from suite import listing

    described = listing.describe(problem or [], method or [])
    if as_json:
        typer.echo(json.dumps(described, indent=1))
    else:
        listing.show(described, _console())


@app.command()
def run(
    problem: ProblemGlobs = None,
    method: MethodGlobs = None,
    rtol: Annotated[
        str | None, typer.Option(help="Relative tolerances, such as 1e-4,1e-6.")
    ] = None,
    atol: Annotated[
        float | None, typer.Option(help="Absolute tolerance; by default the problem's own.")
    ] = None,
    tier: Annotated[str, typer.Option(help=f"One of {', '.join(TIERS)}.")] = "quick",
    timeout: Annotated[
        float | None, typer.Option(help="Seconds a case; by default the tier's.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where gradients are computed: cpu or gpu.")] = "cpu",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the records to this file.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Do not continue an unfinished run.")
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask scheduler, to whose workers cases go."),
    ] = None,
) -> None:
    """Measure cases, keep the records, print the table. Failing methods are results."""
    from suite import session

    request = session.request(problem or [], method or [], rtol, atol, tier, timeout, device)
    try:
        session.run(request, json_file, fresh, scheduler, _console())
    except session.RunError as error:
        raise CannotProceed(str(error)) from error


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(metavar="RUN", help="By default the last.")] = None,
    problem: ProblemGlobs = None,
    sort: Annotated[
        str | None, typer.Option(help="Column to sort by, such as error or peak_bytes.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
) -> None:
    """The table of a run."""
    from suite import display, session

    data = session.recorded(name, problem or [])
    session.check_column(sort, data)
    if markdown:
        typer.echo(display.markdown(data), nl=False)
    else:
        display.show_run(_console(), data, sort)


@app.command()
def compare(a: str, b: str) -> None:
    """Two runs case by case: B over A in time, error and memory, and changed statuses."""
    from suite import display, session, tables

    both = [session.recorded(name, []) for name in (a, b)]
    display.show_comparison(_console(), tables.comparison(*both))


@app.command()
def gate(
    base: Annotated[str, typer.Option(help="A commit, a stack or a recorded run.")],
    head: Annotated[str, typer.Option(help="The same; by default the working tree.")] = ".",
    problem: ProblemGlobs = None,
    method: MethodGlobs = None,
    tier: Annotated[str, typer.Option(help="Whose limits and efforts hold.")] = "smoke",
    rounds: Annotated[int, typer.Option(min=2, help="At most so many of every case.")] = 20,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the findings to this file.")
    ] = None,
) -> None:
    """Is HEAD worse than BASE? Measures both in turn, case by case; exit code 1 on a regression.

    Two recorded runs are compared as they are, within wider limits.
    """
    from suite import _gate_command

    request = _gate_command.Request(base, head, problem or [], method or [], tier, rounds)
    try:
        worse = _gate_command.run(request, json_file, _console())
    except _gate_command.GateError as error:
        raise CannotProceed(str(error)) from error
    if worse:
        sys.exit(REGRESSION)


@app.command()
def reference(
    problem: Annotated[str, typer.Argument(metavar="PROBLEM", help="Its name, with variants.")],
) -> None:
    """Compute a problem's certified gradient anew and compare it with the stored one."""
    from suite import session

    try:
        session.show_reference(problem, _console())
    except session.RunError as error:
        raise CannotProceed(str(error)) from error


@app.command()
def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a study, or: list.")],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer points, about a minute.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the CSV, JSON, SVG and PNG files.")
    ] = None,
) -> None:
    """Re-run a paper's experiment: what it claims, what is measured, and a verdict on each."""
    # studies build on the suite; only this command knows them, and only when it is called
    from studies import StudyError, _command

    try:
        if name == "list":
            _command.show_studies(_console())
        else:
            _command.run(name, quick, out, _console())
    except StudyError as error:
        raise CannotProceed(str(error)) from error


@app.command()
def report(
    out: Annotated[Path, typer.Option(help="Folder for index.html, tables/ and figures/.")] = Path(
        "build/report"
    ),
    records: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="A recorded run or its file; repeatable. Default: all."),
    ] = None,
) -> None:
    """One HTML page that needs no network, and every table and figure as a file."""
    # the report builds on the suite, as the studies do
    from report import ReportError, _command

    try:
        _command.run(out, records or [], _console())
    except ReportError as error:
        raise CannotProceed(str(error)) from error


def _console() -> Any:
    from rich.console import Console

    return Console()


if __name__ == "__main__":
    main()
