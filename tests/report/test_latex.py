"""LaTeX that compiles, whatever is in the tables."""

import shutil
import subprocess

import pytest

from report import latex

PDFLATEX = shutil.which("pdflatex")
compiled = pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed")
PACKAGES = "amssymb,array,booktabs,longtable,pdflscape"
# Points that a line may be too long for and nobody sees it.
UNSEEN = 5.0


def pages(folder, parts):
    """The log of pdflatex, after which there is a PDF."""
    text = "\n\n".join(parts)
    source = (
        rf"\documentclass[a4paper]{{article}}\usepackage[margin=2cm]{{geometry}}"
        rf"\usepackage{{{PACKAGES}}}\setlength{{\hfuzz}}{{{UNSEEN}pt}}"
        rf"\begin{{document}}{text}\end{{document}}"
    )
    (folder / "all.tex").write_text(source)
    done = subprocess.run(
        [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "all.pdf").read_bytes().startswith(b"%PDF")
    return done.stdout


def included(path):
    words = rf"\noindent\input{{{path}}}"
    wide = latex.WIDE in path.read_text()
    return rf"\begin{{landscape}}{words}\end{{landscape}}" if wide else words


@compiled
def test_every_table_of_a_report_compiles_and_fits_on_a_page(made, tmp_path):
    paths = sorted((made.out / "tables").rglob("*.tex"))
    assert len(paths) > 10
    copies = [shutil.copy(path, tmp_path / f"t{i}.tex") for i, path in enumerate(paths)]
    log = pages(tmp_path, map(included, copies))
    assert "Overfull" not in log and "Missing character" not in log


@compiled
def test_any_letter_can_be_set(tmp_path, hostile):
    every = "".join(map(chr, [*range(1, 0x180), 0x2713, 0x20AC, 0x1F600])) + "".join(latex.SIGNS)
    lines = [[hostile, every[i : i + 30]] for i in range(0, len(every), 30)]
    lines += [["[1] an argument?", "* and another"]]
    log = pages(tmp_path, [latex.document(["a", "b"], lines, [False, False], ["one\ntwo"])])
    assert "Missing character" not in log


def test_powers_of_ten_are_set_as_such():
    assert latex.cell("1e-04") == "$10^{-4}$" and latex.cell("≤8.4e-12") == (
        r"$\le$$8.4\cdot 10^{-12}$"
    )
    assert latex.cell("linear:1e4 in 3 s") == "linear:1e4 in 3 s"
    assert latex.cell("v1.2e-03") == "v1.2e-03", "not a number"


def test_letters_get_smaller_before_a_page_is_turned():
    def size(columns):
        text = latex.document(["x"] * columns, [["0" * 7] * columns], [True] * columns, [])
        return text.split("\n{")[1].split("\\setlength")[0], latex.WIDE in text

    assert [size(n) for n in (3, 13, 14, 16, 25)] == [
        (r"\small", False),
        (r"\footnotesize", False),
        (r"\scriptsize", False),
        (r"\small", True),
        (r"\scriptsize", True),
    ]
