"""What can be run: problems with their variants, methods with whether they can run here and why."""

from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adapters import Method, available
from problems import get_problem, problem_names, variant_help
from suite.cases import judged, select_methods, select_problems

SHOWN_TIMES = 8


def describe(problem_globs: list[str], method_globs: list[str]) -> dict[str, Any]:
    """`problems` and `methods` as plain data; each method with `available` and `reason`.

    A batch is described by its first member.

    Only what is asked for is in it where globs of one kind alone are given. A problem named in full
    comes with its stiffness along the trajectory.
    """
    described: dict[str, Any] = {}
    if problem_globs or not method_globs:
        names = select_problems(problem_globs, problem_names())
        with_spectrum = bool(problem_globs)
        described["problems"] = [_problem(name, with_spectrum) for name in names]
    if method_globs or not problem_globs:
        described["methods"] = [_method(method) for method in select_methods(method_globs)]
    return described


def _problem(name: str, with_spectrum: bool) -> dict[str, Any]:
    base = name.split(":")[0]
    problem = judged(get_problem(name))[0]
    described: dict[str, Any] = {
        "name": get_problem(name).name if with_spectrum else base,
        "title": problem.title,
        "citation": problem.citation,
        "states": list(problem.states),
        "parameters": list(problem.parameters),
        "y0": problem.y0.tolist(),
        "p": problem.p.tolist(),
        "time_span": [problem.t0, problem.t1],
        "observations": int(problem.times.size),
        "variants": variant_help(base),
    }
    if with_spectrum:
        from problems import spectrum

        found = asdict(spectrum(problem))
        described["spectrum"] = {name: np.asarray(value).tolist() for name, value in found.items()}
    return described


def _method(method: Method) -> dict[str, Any]:
    usable, reason = available(method)
    return {
        "name": method.name,
        "family": method.family,
        **asdict(method),
        "available": usable,
        "reason": reason,
    }


def show(described: dict[str, Any], console: Console) -> None:
    """The same for a reader."""
    problems, methods = described.get("problems", []), described.get("methods", [])
    detailed = [problem for problem in problems if "spectrum" in problem]
    if detailed:
        for problem in detailed:
            _show_problem(problem, console)
    elif problems:
        console.print(_problems(problems))
    if methods:
        console.print(_methods(methods))


def _problems(problems: list[dict[str, Any]]) -> Table:
    table = Table(title="Problems")
    for name in ("name", "title", "states", "parameters"):
        table.add_column(name)
    for problem in problems:
        sizes = str(len(problem["states"])), str(len(problem["parameters"]))
        table.add_row(problem["name"], escape(problem["title"]), *sizes)
    table.caption = "stiffgrad list --problem NAME shows one with its variants and stiffness"
    return table


def _methods(methods: list[dict[str, Any]]) -> Table:
    table = Table(title="Methods")
    table.add_column("name", no_wrap=True)
    table.add_column("family")
    table.add_column("devices")
    table.add_column("here")
    for method in methods:
        here = "yes" if method["available"] else f"no: {method['reason']}"
        devices = ", ".join(method["devices"])
        table.add_row(method["name"], method["family"], devices, escape(here))
    return table


def _show_problem(problem: dict[str, Any], console: Console) -> None:
    start, end = problem["time_span"]
    console.print(f"[bold]{escape(problem['name'])}[/bold]: {escape(problem['title'])}")
    console.print(escape(f"  {problem['citation']}"), highlight=False)
    console.print(f"  t from {start:g} to {end:g}, {problem['observations']} observations")
    console.print(_values("States", "y0", problem["states"], problem["y0"]))
    console.print(_values("Parameters", "value", problem["parameters"], problem["p"]))
    console.print(_spectrum(problem["spectrum"]))
    variants = Table(title="Variants, composed with colons")
    variants.add_column("token")
    variants.add_column("meaning")
    for token, meaning in problem["variants"].items():
        variants.add_row(token, escape(meaning))
    console.print(variants)


def _values(title: str, column: str, names: list[str], values: list[float]) -> Table:
    table = Table(title=title)
    table.add_column("name")
    table.add_column(column, justify="right")
    for name, value in zip(names, values, strict=True):
        table.add_row(escape(name), f"{value:g}")
    return table


def _spectrum(found: dict[str, Any]) -> Table:
    """Eight of the observation times at most, evenly chosen."""
    table = Table(title="Stiffness along the trajectory: eigenvalues of df/dy")
    names = {
        "t": "times",
        "fastest": "fastest",
        "slowest, not 0": "slowest",
        "conserved": "conserved",
        "stiffness index": "index",
    }
    for name in names:
        table.add_column(name, justify="right")
    count = len(found["times"])
    chosen = sorted({round(k * (count - 1) / (SHOWN_TIMES - 1)) for k in range(SHOWN_TIMES)})
    for row in chosen:
        table.add_row(*(f"{found[field][row]:.3g}" for field in names.values()))
    table.caption = (
        "index: Re(fastest) / Re(slowest) x time span (Kim et al. 2021, eq. 5), modes with "
        "eigenvalue 0 (conserved quantities) left out"
    )
    return table
