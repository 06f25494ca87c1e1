"""The README's tables are made of committed records; `python -m suite.readme` writes them."""

import re

from suite import display, session
from suite.machine import ROOT

README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- table: (\S+) (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def filled(text: str) -> str:
    """`text` with every block `<!-- table: RUN PROBLEM -->` holding that run's ranking."""

    def table(block: re.Match[str]) -> str:
        data = session.recorded(block[2], [block[3]])
        return f"{block[1]}\n{display.markdown(data)}\n{block[4]}"

    return BLOCK.sub(table, text)


def main() -> None:
    """Write the README's tables anew."""
    README.write_text(filled(README.read_text()))


if __name__ == "__main__":
    main()
