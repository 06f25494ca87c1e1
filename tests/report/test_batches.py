"""Batches: gradients per second by size and device, and never a problem of their own."""

import pytest

from report import batches, gather
from report.looks import Looks
from suite import tables


@pytest.fixture
def found(record):
    """A problem alone and in batches of 10 and 100, on two devices; the largest fails on one."""
    rows = [record(gradient_seconds=0.01), record(problem="pollu"), record("other/i/discrete")]
    for device, seconds in (("cpu", 0.05), ("gpu", 0.02)):
        for size in (10, 100):
            rows.append(
                record(
                    problem=f"rober:batch={size}",
                    batch=size,
                    device=device,
                    gradient_seconds=seconds,
                )
            )
    rows[-1] |= {"status": "out-of-memory", "reason": "too large", "gradient_seconds": None}
    return gather.platforms(rows)


def test_a_batch_is_no_problem_of_its_own(found):
    assert [platform.name for platform in found] == ["box", "box, gpu"]
    cpu, gpu = found
    assert cpu.problems == ["rober", "pollu"] and gpu.problems == []
    assert (cpu.size, gpu.size) == (5, 2) and cpu.ranked and not gpu.ranked


def test_names_lose_their_batch_wherever_it_stands():
    assert batches.single("rober:batch=7") == "rober"
    assert batches.single("rober:scaled:batch=100:final") == "rober:scaled:final"
    assert batches.single("rober:n=2") == "rober:n=2"


def test_rates_are_members_over_seconds_and_the_single_problem_is_a_batch_of_one(found):
    rows = batches.rows(found).set_index(["platform", "batch"])
    assert rows["rate"].dropna().to_dict() == {
        ("box", 1): pytest.approx(100.0),
        ("box", 10): pytest.approx(200.0),
        ("box", 100): pytest.approx(2000.0),
        ("box, gpu", 10): pytest.approx(500.0),
    }
    assert set(rows["method"]) == {"newcomer/euler/discrete"}, "others were not tried in batches"


def test_a_batch_of_one_of_its_own_goes_before_the_single_problem(record):
    single = record(gradient_seconds=0.01)
    batched = [record(problem=f"rober:batch={n}", batch=n, gradient_seconds=0.02) for n in (1, 10)]
    rows = batches.rows(gather.platforms([single, *batched]))
    assert rows["rate"].tolist() == [pytest.approx(50.0), pytest.approx(500.0)]


def test_the_table_shows_every_size_and_the_failures_their_reason(found):
    ((problem, (figure, rates, failures)),) = batches.shown(found, looks(found))
    assert problem == "rober" and figure.name == "batches/rober-rates"
    head = [column.title for column in rates.columns]
    cpu, gpu = sorted((dict(zip(head, line, strict=True)) for line in rates.lines()), key=by_place)
    assert (cpu["batch 1"], cpu["batch 100"], cpu["times batch 1"]) == ("100", "2,000", "20")
    assert (gpu["batch 1"], gpu["batch 10"], gpu["batch 100"]) == ("–", "500", "–")
    assert gpu[""] == " ✓M" and gpu["times batch 1"] == "–"
    assert "out-of-memory" in rates.note and "timeout" not in rates.note
    (line,) = failures.lines()
    assert line[1] == "box, gpu" and line[3:] == ["out-of-memory", "100", "too large"]


def by_place(line):
    return line["on"]


def looks(found):
    return Looks(tables.frame(found[0].data.to_dict("records")))


def test_without_batches_there_is_nothing_to_show(record):
    found = gather.platforms([record()])
    assert batches.shown(found, looks(found)) == []
