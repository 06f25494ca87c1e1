"""The studies on record: their verdicts, and their figures, small enough to be carried along."""

import base64
import io
from pathlib import Path
from typing import Any

from studies import _record
from studies._command import provenance
from suite.machine import ROOT

FIGURES = ROOT / "docs" / "figures"
# Pixels: sharp on a telephone and in print at a column's width.
WIDEST = 900
COLOURS = 64


def load(folder: Path) -> list[dict[str, Any]]:
    """Every study with a full run: its record, `provenance` and `image`, a data URI or None."""
    return [
        record | {"provenance": provenance(record), "image": _image(path)}
        for path in sorted(folder.glob("*.json"))
        for record in [_record.read_record(path)]
    ]


def _image(path: Path) -> str | None:
    """The figure beside the record, or that of the documentation."""
    for found in (path.with_suffix(".png"), FIGURES / f"studies-{path.stem}.png"):
        if found.exists():
            return f"data:image/png;base64,{base64.b64encode(_small(found)).decode()}"
    return None


def _small(path: Path) -> bytes:
    from PIL import Image

    with Image.open(path) as found:
        picture = found.convert("RGB")
    if picture.width > WIDEST:
        height = round(picture.height * WIDEST / picture.width)
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        file, format="PNG", optimize=True
    )
    return file.getvalue()


def tally(found: list[dict[str, Any]]) -> dict[str, int]:
    """How many claims have which verdict."""
    counts: dict[str, int] = {}
    for record in found:
        for row in record["verdicts"]:
            counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    return dict(sorted(counts.items()))
