"""A table once, written as CSV, Parquet, Markdown and LaTeX, and given to the page as cells."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from report import latex, provenance

KINDS = ("csv", "parquet", "md", "tex")


@dataclass(frozen=True)
class Column:
    """What a reader sees of a row.

    Arguments:
        title: the head of the column; text: the cell, to be read.
        value: what the column is sorted by; the text where it is None.
        marks: (text, style, hover text) of each of the parts that the cell is made of on the page.
    """

    title: str
    text: Callable[[Any], str]
    value: Callable[[Any], Any] | None = None
    marks: Callable[[Any], list[tuple[str, str, str]]] | None = None

    @property
    def numeric(self) -> bool:
        return self.value is not None


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Arguments:
        name: its files' path without ending, below the folder of tables.
        frame: the figures, in full precision and SI units, as CSV and Parquet have them.
        columns: what is shown of them; source: the records that they are from.
    """

    name: str
    title: str
    frame: pd.DataFrame
    columns: list[Column]
    source: pd.DataFrame
    note: str = ""
    about: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", provenance.describe(self.source))

    @property
    def provenance(self) -> str:
        return provenance.sentence(self.about)

    def lines(self) -> list[list[str]]:
        """The cells as text."""
        rows = self.frame.to_dict("records")
        return [[column.text(row) for column in self.columns] for row in rows]

    def rows(self) -> list[dict[str, Any]]:
        """What the page needs of each row: `method` to filter by, None without, and the cells."""
        return [
            {
                "method": row.get("method"),
                "cells": [self._cell(column, row) for column in self.columns],
            }
            for row in self.frame.to_dict("records")
        ]

    def _cell(self, column: Column, row: dict[str, Any]) -> dict[str, Any]:
        value = None if column.value is None else column.value(row)
        marks = None if column.marks is None else column.marks(row)
        return {"text": column.text(row), "value": value, "marks": marks, "number": column.numeric}


def write(table: Table, folder: Path) -> None:
    """Write a table in all four kinds below `folder`."""
    stem = folder / table.name
    stem.parent.mkdir(parents=True, exist_ok=True)
    table.frame.to_csv(_ending(stem, "csv"), index=False)
    _write_parquet(table, _ending(stem, "parquet"))
    _ending(stem, "md").write_text(markdown(table))
    _ending(stem, "tex").write_text(tex(table))


def _ending(stem: Path, kind: str) -> Path:
    """`Path.with_suffix` would take the end of a name such as linear-1.5 away."""
    return stem.parent / f"{stem.name}.{kind}"


def _write_parquet(table: Table, path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    found = pyarrow.Table.from_pandas(table.frame, preserve_index=False)
    about = {"title": table.title, "note": table.note, "provenance": json.dumps(table.about)}
    pyarrow.parquet.write_table(
        found.replace_schema_metadata((found.schema.metadata or {}) | about), path
    )


def markdown(table: Table) -> str:
    """The table in Markdown, with its title, note and provenance."""
    head = [column.title for column in table.columns]
    rule = ["---:" if column.numeric else "---" for column in table.columns]
    lines = [[_markdown(cell) for cell in line] for line in [head, *table.lines()]]
    pipes = "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
    parts = [f"**{_markdown(table.title)}**", pipes, _markdown(table.note)]
    return "\n\n".join(part for part in [*parts, _markdown(table.provenance)] if part) + "\n"


def _markdown(text: str) -> str:
    """Plain text that no renderer takes for a cell's end, emphasis, a link or HTML."""
    return re.sub(r"([\\`*_\[\]|<>&~])", r"\\\1", " ".join(text.split()))


def tex(table: Table) -> str:
    """A booktabs table to be `\\input`."""
    head = [column.title for column in table.columns]
    right = [column.numeric for column in table.columns]
    about = [table.title, table.note, table.provenance]
    return latex.document(head, table.lines(), right, about)
