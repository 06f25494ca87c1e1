"""The tables of README.md and docs/results.md are made of committed records.

`python -m suite.readme` writes them: the README's short, the other's whole.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite import display, session
from suite.machine import ROOT

README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
TABLES: dict[Path, Callable[[Any], str]] = {README: display.summary, RESULTS: display.markdown}
BLOCK = re.compile(r"(<!-- table: (\S+) (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def filled(path: Path) -> str:
    """The file's text, every block `<!-- table: RUN PROBLEM -->` holding that run's ranking."""

    def table(block: re.Match[str]) -> str:
        data = session.recorded(block[2], [block[3]])
        return f"{block[1]}\n{TABLES[path](data)}\n{block[4]}"

    return BLOCK.sub(table, path.read_text())


def main() -> None:
    """Write the tables anew."""
    for path in TABLES:
        path.write_text(filled(path))


if __name__ == "__main__":
    main()
