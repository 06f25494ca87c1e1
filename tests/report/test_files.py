"""Tables and figures as files: equal figures in every kind, strings escaped in each."""

import json
import re
from xml.etree import ElementTree

import pandas as pd
import pyarrow.parquet
import pytest

from report import gather, latex, listings, profiles, svg, table
from report.svg import Styles, Tag


@pytest.fixture
def ranked(record, hostile):
    """The table of a problem with a hostile name."""
    found = [record(problem=hostile, rtol=rtol) for rtol in (1e-4, 1e-6)]
    (platform,) = gather.platforms(found)
    return listings.ranking(platform, hostile, profiles.ranking(platform.data))


def test_csv_and_parquet_hold_the_same_figures_in_full(ranked, tmp_path):
    table.write(ranked, tmp_path)
    stem = tmp_path / ranked.name
    csv = pd.read_csv(f"{stem}.csv")
    parquet = pd.read_parquet(f"{stem}.parquet")
    assert list(csv) == list(parquet) == list(ranked.frame)
    for name in ("at 1e-04", "at 1e-06", "gradient_seconds", "peak_bytes"):
        assert csv[name].tolist() == parquet[name].tolist() == ranked.frame[name].tolist()
    assert csv["at 1e-06"].tolist() == [pytest.approx(1e-3 * 1e-6**-0.1)]
    about = json.loads(pyarrow.parquet.read_schema(f"{stem}.parquet").metadata[b"provenance"])
    assert about["commits"] == ["c0ffee0000"] and about["cases"] == 2


def test_markdown_is_a_table_whatever_is_in_its_cells(ranked):
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark").enable("table").render(table.markdown(ranked))
    assert html.count("<table>") == 1 and "<script>" not in html and "<code>" not in html
    assert html.count("<td") == len(ranked.columns) * len(ranked.frame)
    assert "c0ffee" in html


def test_latex_has_as_many_cells_as_columns_and_nothing_unescaped(record, hostile):
    rows = [record(status="error", reason=hostile, rtol=10.0**-n) for n in range(3, 5)]
    (platform,) = gather.platforms(rows)
    failures = listings.failures(platform, "rober")
    text = table.tex(failures)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 1 + len(failures.frame)
    for line in lines:
        assert len(re.findall(r"(?<!\\)&", line)) == len(failures.columns) - 1
        plain = re.sub(
            r"\\text\w+\{\}|\\char34\{\}|\{[\[*]\}|\\[&%$#_{}]|\$(\\\w+|10\^\{-\d\})\$",
            "",
            line.removesuffix(r"\\"),
        )
        assert not set(plain) & set("\\%$#_^~{}<>|")
    assert r"\toprule" in text and r"\bottomrule" in text and "% Measured" not in text
    assert all(line.startswith("%") for line in text.split("\n{")[0].splitlines())


def test_long_tables_may_break_over_pages(record):
    found = [record(f"f{n}/i/discrete") for n in range(latex.LONGEST_TABULAR + 1)]
    (platform,) = gather.platforms(found)
    text = table.tex(listings.ranking(platform, "rober", profiles.ranking(platform.data)))
    assert r"\begin{longtable}" in text and r"\endhead" in text and r"\end{longtable}" in text


def drawing(number):
    return (
        f'<svg xmlns="{svg.SVG}" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9">'
        '<defs><path id="mark"/><clipPath id="clip"/></defs>'
        f'<g id="tag-{number}"><path clip-path="url(#clip)" d="M 1.23456 2" style="fill: red"/>'
        '<g id="group_1"><use xlink:href="#mark"/></g></g></svg>'
    )


def test_inlined_drawings_share_no_id_and_lose_no_reference(hostile):
    tags = {"tag-0": Tag({"data-method": hostile, "data-family": "f"}, hostile)}
    styles = Styles()
    found = [svg.inlined(drawing(0), tags, prefix, "it", styles) for prefix in ("a-", "b-")]
    ids = [re.findall(r' id="([^"]*)"', text) for text in found]
    assert ids == [["a-0", "a-1"], ["b-0", "b-1"]] or ids == [["a-1", "a-0"], ["b-1", "b-0"]]
    for text, names in zip(found, ids, strict=True):
        root = ElementTree.fromstring(text)
        curve = root.find(".//*[@data-method]")
        assert curve.get("data-method") == hostile
        assert curve.find(f"{{{svg.SVG}}}title").text == hostile
        mark, clip = names
        assert root.find(f".//*[@id='{mark}']").tag.endswith("path")
        assert f"url(#{clip})" in text and f'"#{mark}"' in text
        assert "1.23 2" in text and "width" not in root.attrib and "group_1" not in text
    assert styles.css() == ".k0{fill:red}", "said once for both"


def test_all_drawings_of_a_report_are_there_in_both_kinds(made):
    stems = {path.with_suffix("") for path in (made.out / "figures").rglob("*.*")}
    assert len(stems) > 10
    for stem in stems:
        root = ElementTree.fromstring((stem.parent / f"{stem.name}.svg").read_text())
        assert root.tag == f"{{{svg.SVG}}}svg"
        assert (stem.parent / f"{stem.name}.pdf").read_bytes().startswith(b"%PDF")
