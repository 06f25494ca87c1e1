"""One record a case and platform: newest version, then latest; names fit for files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report import ReportError, gather
from report.provenance import describe, sentence
from suite import tables


def only(*found):
    (chosen,) = gather.chosen(found)
    return chosen


def test_the_latest_record_of_a_case_is_chosen(record):
    old, new = record(date="2026-01-01", loss=1.0), record(date="2026-02-01", loss=2.0)
    assert only(new, old)["loss"] == only(old, new)["loss"] == 2.0


def test_a_newer_version_beats_a_later_date(record):
    new = record(date="2026-01-01", versions={"newcomer": "0.10"})
    old = record(date="2026-02-01", versions={"newcomer": "0.9"})
    assert only(new, old)["versions"] == only(old, new)["versions"] == {"newcomer": "0.10"}


def test_not_installed_gives_way_to_any_measurement(record):
    absent = record(date="2026-02-01", status="not-installed", versions={})
    assert only(record(), absent)["status"] == only(absent, record())["status"] == "ok"
    assert only(absent)["status"] == "not-installed"


def test_machines_and_devices_are_never_mixed(record):
    other = record()["machine"] | {"name": "another"}
    found = gather.platforms([record(), record(rtol=1e-6), record(machine=other)])
    found += gather.platforms([record(device="gpu")])
    assert [platform.name for platform in found] == ["box", "another", "box, gpu"]
    assert [platform.size for platform in found] == [2, 1, 1]


@given(st.lists(st.text(max_size=120), max_size=8, unique=True))
def test_slugs_are_distinct_and_plain(names):
    slugs = gather.distinct_slugs(names)
    assert list(slugs) == names
    assert len({slug.lower() for slug in slugs.values()}) == len(names)
    for slug in slugs.values():
        assert slug and slug.isascii() and not set(slug) & set("/\\ <>:\"'&?#%") and slug != ".."


def test_no_records_is_an_error_that_says_what_to_do(tmp_path, write_records):
    empty = write_records([], tmp_path / "run.jsonl")
    with pytest.raises(ReportError, match="stiffgrad run"):
        gather.read([str(empty)])


def test_provenance_says_all_that_it_should(record):
    bad = record(rtol=1e-6, status="diverged", gradient_seconds_count=None, clean=None)
    about = describe(tables.frame([record(date="2026-01-09"), bad]))
    assert about["cases"] == 2 and about["failed"] == 1 and about["clean"] is False
    assert about["dates"] == ["2026-01-02", "2026-01-09"] and about["repeats"] == [7]
    text = sentence(about)
    for part in ("c0ffee", "box", "1 thread", "Python 3.11", "newcomer 1.0", "1e-04, 1e-06"):
        assert part in text
    for part in ("Reference: rober", "7 timed", "1 not ok", "not all of them clean", "a CPU"):
        assert part in text
