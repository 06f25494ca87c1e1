"""The command `stiffgrad report`: what it does, between the options and the files."""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from report import ReportError

# Megabytes that still open quickly on a telephone.
LARGEST = 5.0
# Distributions and the modules by which they are found.
NEEDED = {
    "Jinja2": "jinja2",
    "markdown-it-py": "markdown_it",
    "matplotlib": "matplotlib",
    "pyarrow": "pyarrow",
}


def run(out: Path, names: Sequence[str], console: Console) -> None:
    """Make the report in `out` and say where it is.

    Raises ReportError where a package is missing, nothing is on record or `out` cannot be written.
    """
    missing = [name for name, module in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise ReportError(f"{', '.join(missing)} not installed; pip install 'stiffgrad[report]'")
    from report.build import Sources, build

    start = time.perf_counter()
    try:
        with console.status("records") as status:
            page = build(out, Sources(names), lambda what: status.update(escape(what)))
    except OSError as error:
        raise ReportError(f"the report cannot be written: {error}") from error
    size, seconds = page.stat().st_size / 1e6, time.perf_counter() - start
    console.print(f"{page}: {size:.1f} MB, {seconds:.0f} s", highlight=False, soft_wrap=True)
    if size > LARGEST:
        console.print(f"over {LARGEST:g} MB is much for a page; --records RUN takes fewer records")
