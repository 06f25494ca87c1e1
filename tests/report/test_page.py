"""The page: whole, alone, and safe whatever the records say."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from report import words
from report.build import Sources, build
from report.looks import COLOURS, Looks
from suite import tables
from suite.statuses import STATUSES


class Elements(HTMLParser):
    """Every element's name and attributes, and the text outside scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.found, self.text, self.inside = [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else self.inside

    def handle_endtag(self, tag):
        self.inside = None if tag == self.inside else self.inside

    def handle_data(self, data):
        if self.inside is None:
            self.text.append(data)


@pytest.fixture(scope="module")
def elements(made):
    return Elements(made.html)


def test_the_page_fetches_nothing(made, elements):
    assert len(made.html.encode()) < 5e6
    for tag, attrs in elements.found:
        assert tag not in ("iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster"):
            value = attrs.get(name) or ""
            assert not re.match(r"\w+:|//", value) or value.startswith("data:"), value
    assert not re.search(r"@import|url\((?!#)", made.html)
    assert "default-src 'none'" in made.html


def test_nothing_from_a_record_becomes_markup(made, elements, hostile):
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert "<script>alert" not in made.html
    text = "".join(elements.text)
    assert text.count(hostile) > 3, "it is shown as it is"
    assert not any(name.startswith("on") for _, attrs in elements.found for name in attrs)


def test_every_id_is_its_own_and_every_link_leads_somewhere(made, elements):
    ids = [attrs["id"] for _, attrs in elements.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for tag, attrs in elements.found if tag == "a"]
    assert any(link.endswith(".tex") for link in links)
    for link in links:
        if link.startswith("#"):
            assert link[1:] in ids
        else:
            assert (made.out / unquote(link)).is_file(), link


def test_a_framework_and_a_problem_that_nobody_knows_are_everywhere(made, elements):
    methods = [attrs.get("data-method") for _, attrs in elements.found]
    assert methods.count("newcomer/euler/discrete") > 20
    assert "novelty:n=2" in made.html
    assert "<option>newcomer</option>" in made.html
    assert (made.out / "figures/box/novelty-n=2-work-precision.svg").is_file()
    assert "none" in made.html.split('id="availability"')[1].split("</section>")[0]


def test_machines_have_sections_and_rankings_of_their_own(made, hostile):
    sections = re.findall(r"<h2>(.*?)</h2>", made.html)
    assert sections[1] == "box" and "&lt;script&gt;" in sections[2]
    assert "Platforms side by side" in sections and "calibration kernels" in made.html
    rankings = list((made.out / "tables").glob("*/rober-ranking.csv"))
    assert len(rankings) == 2


def test_every_table_says_where_it_comes_from(elements, made):
    tables_shown = made.html.count('<figure class="table"')
    assert tables_shown > 10
    for part in made.html.split('<figure class="table"')[1:]:
        figure = part.split("</figure>")[0]
        for word in ("Measured 2026-01-02", "c0ffee", "1 thread", "rtol", "timed repeats"):
            assert word in figure


def test_studies_history_and_prose_are_there(made):
    assert "1 confirmed" in made.html and "A study &lt;script&gt;" in made.html
    assert "commits: 2, stacks: 2, machines: 1" in made.html
    assert "scipy over versions, box" in made.html and "What a release of scipy" in made.html
    assert "Over commits, box" in made.html
    for name in ("versions-scipy", "versions-scipy-changes", "commits"):
        assert (made.out / f"tables/box/{name}.csv").is_file()
    assert "high-water mark" in made.html.lower() and "<h2>Corrections</h2>" in made.html
    with pytest.raises(KeyError, match="no section"):
        words.section("Nonsense")


def test_families_keep_their_colours_whatever_else_is_on_record(record):
    few = Looks(tables.frame([record()]))
    more = Looks(tables.frame([record(), record(family="brand new", strategy="odd")]))
    assert few.colours.items() <= more.colours.items()
    assert len(set(more.colours.values())) == len(more.colours) <= len(COLOURS)


def test_families_can_be_told_apart_without_colours(record):
    looks = Looks(tables.frame([record()]))
    assert len(set(looks.fillings.values())) == len(looks.families) > 4
    key = looks.family_keys(["reverse, discrete"])
    assert [line.get_label() for line in key] == ["reverse, discrete"]


def test_every_status_has_a_colour_of_its_own(made):
    styles = re.findall(r"^\.s-([a-z-]+)\{background:(#\w+)", made.html, re.M)
    assert [name for name, _ in styles] == list(STATUSES)
    assert len({colour for _, colour in styles}) == len(STATUSES)


def test_a_platform_where_nothing_could_be_tried_says_why(record, tmp_path, write_records):
    absent = {"status": "not-available", "reason": "no GPU is seen", "gradient_error": None}
    bad = record(status="error", gradient_error=None, reversibility_error=None)
    found = [bad, record(device="gpu", **absent)]
    run = write_records(found, tmp_path / "run.jsonl")
    page = build(tmp_path / "out", Sources([str(run)], tmp_path / "asv", tmp_path / "studies"))
    html = page.read_text()
    assert "<h2>box, gpu</h2>\n<p>Nothing could be measured: no GPU is seen.</p>" in html
    assert [path.name for path in (tmp_path / "out" / "tables").iterdir()] == ["box"]
