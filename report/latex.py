"""Tables as LaTeX, ready to be `\\input`: booktabs, no wider than the page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
from unicodedata import decomposition

SIGNS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
    "~": r"$\sim$",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # the command with a name is unknown to some font encodings
    '"': r"\char34{}",
    # after the end of a row these would be arguments of it
    "[": "{[}",
    "*": "{*}",
    "✓": r"$\checkmark$",
    "✗": r"$\times$",
    "·": r"$\cdot$",
    "○": r"$\circ$",
    "≤": r"$\le$",
    "–": "--",
    "×": r"$\times$",
    "→": r"$\to$",
    "‖": r"$\Vert$",
    "±": r"$\pm$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "∂": r"$\partial$",
}
# What a comment says of a table that is too wide for a page upright.
WIDE = "; wide: in landscape, as of the package pdflscape"
# Accents beyond these are not in every font.
LAST_ACCENTED = "ÿ"
POWER = re.compile(r"(?<![\w.])(-?\d(?:\.\d+)?)e([+-]\d+)\b")
# Points: a line of an A4 page with margins of 2 cm, upright and on its side; between columns; and
# a letter of each size, as measured on such tables.
UPRIGHT, LANDSCAPE = 480.0, 727.0
BETWEEN = 6.0
LETTERS = {r"\small": 4.5, r"\footnotesize": 4.1, r"\scriptsize": 3.7}
# Letters of a cell that is a sentence: its column is as wide as there is room, but at least so
# large a part of the line.
SENTENCE = 60
LEAST_ROOM = 0.4
# More rows would not fit on a page, upright or on its side.
LONGEST_TABULAR, LONGEST_LANDSCAPE = 45, 28
# Letters of a heading that is set in two lines.
LONG_HEADING = 8


def document(
    head: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[bool], about: Sequence[str]
) -> str:
    """A booktabs table: tabular, or longtable if it is longer than a page.

    Arguments:
        head, lines: plain text; right: whether a column is aligned to the right; about: what is
            said before it as comments.
    """
    headings = [_stacked(title) for title in head]
    columns = zip(*lines, strict=True) if lines else [()] * len(head)
    widths = [
        max(map(len, [*heading, *column]))
        for heading, column in zip(headings, columns, strict=True)
    ]
    fit = _fitted(widths)
    longest = LONGEST_TABULAR if fit.upright else LONGEST_LANDSCAPE
    height = sum(max(1, ceil(max(map(len, line)) / fit.letters)) for line in lines)
    kind = "tabular" if height <= longest else "longtable"
    sentence = rf">{{\raggedright\arraybackslash}}p{{{fit.room:.2f}\linewidth}}"
    spec = "".join(
        "r" if to_the_right else sentence if width > SENTENCE else "l"
        for to_the_right, width in zip(right, widths, strict=True)
    )
    packages = ["booktabs", "amssymb", "array", *(["longtable"] * (kind == "longtable"))]
    return "\n".join(
        [
            *(f"% {' '.join(text.split())}" for text in about if text),
            f"% needs {', '.join(packages)}{'' if fit.upright else WIDE}",
            f"{{{fit.size}\\setlength{{\\tabcolsep}}{{{BETWEEN / 2:g}pt}}%",
            f"\\begin{{{kind}}}{{{spec}}}",
            r"\toprule",
            " & ".join(map(_heading, headings, right)) + r" \\",
            r"\midrule",
            *([r"\endhead"] if kind == "longtable" else []),
            *map(_row, lines),
            r"\bottomrule",
            f"\\end{{{kind}}}}}",
            "",
        ]
    )


def _stacked(title: str) -> list[str]:
    """A long heading in two lines, as short as they can be."""
    words = title.split()
    if len(title) <= LONG_HEADING or len(words) < 2:
        return [title]
    ways = [[" ".join(words[:n]), " ".join(words[n:])] for n in range(1, len(words))]
    return min(ways, key=lambda way: max(map(len, way)))


def _heading(lines: list[str], to_the_right: bool) -> str:
    if len(lines) == 1:
        return cell(lines[0])
    side = "r" if to_the_right else "l"
    return rf"\shortstack[{side}]{{{cell(lines[0])}\\{cell(lines[1])}}}"


@dataclass(frozen=True)
class _Fit:
    """The largest letters with which the columns fit on a line.

    `room` is the part of the line for each column of sentences, `letters` how many it has there.
    """

    size: str
    upright: bool
    room: float
    letters: float


def _fitted(widths: Sequence[int]) -> _Fit:
    short = sum(width for width in widths if width <= SENTENCE)
    sentences = sum(width > SENTENCE for width in widths)
    least = LEAST_ROOM if sentences else 0.0
    for line in (UPRIGHT, LANDSCAPE):
        for size, letter in LETTERS.items():
            left = 1 - (short * letter + len(widths) * BETWEEN) / line
            room = max(left, LEAST_ROOM) / max(sentences, 1)
            letters = room * line / letter if sentences else inf
            fit = _Fit(size, line == UPRIGHT, room, letters)
            if left >= least:
                return fit
    return fit


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(cell, cells)) + r" \\"


def cell(text: str) -> str:
    """Plain text as LaTeX, powers of ten as such."""
    first, *rest = POWER.split(" ".join(text.split()))
    triples = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    return escaped(first) + "".join(_power(*pair) + escaped(after) for *pair, after in triples)


def _power(digits: str, exponent: str) -> str:
    factor = "" if digits == "1" else rf"{digits}\cdot "
    return f"${factor}10^{{{int(exponent)}}}$"


def escaped(text: str) -> str:
    """Plain text as LaTeX that shows it; letters that TeX may not have by their numbers."""
    return "".join(map(_letter, text))


def _letter(letter: str) -> str:
    accented = letter <= LAST_ACCENTED and letter.isalpha() and decomposition(letter)
    known = " " <= letter <= "~" or accented
    return SIGNS.get(letter) or (letter if known else f"(U+{ord(letter):04X})")
