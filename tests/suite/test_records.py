"""Records survive kills, keep non-finite numbers, and are found again by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems import UnknownNameError
from suite import records
from suite.cases import Case

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text().filter(lambda text: text not in ("nan", "inf", "-inf")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory, record):
    path = tmp_path_factory.mktemp("records") / "run.jsonl"
    with path.open("a") as file:
        records.write_line(file, record)
        records.write_line(file, record)
    assert records.read(path) == [record, record]


def test_not_a_number_is_kept_apart_from_no_number(tmp_path):
    path = tmp_path / "run.jsonl"
    with path.open("a") as file:
        records.write_line(file, {"gradient_p": [float("nan"), float("inf")], "loss": None})
    (found,) = records.read(path)
    assert found["gradient_p"][0] != found["gradient_p"][0]
    assert found["gradient_p"][1] == float("inf")
    assert found["loss"] is None


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path):
    key = "0123abcd"
    with records.open_run("quick", key, 3, False, tmp_path) as file:
        file.append({"n": 1})
        path = file.path
    with path.open("a") as raw:
        raw.write('{"n": 2, "half')
    assert records.read(path) == [{"n": 1}]
    with records.open_run("quick", key, 3, False, tmp_path) as file:
        assert file.done == [{"n": 1}]
        file.append({"n": 2})
    assert records.read(path) == [{"n": 1}, {"n": 2}]


def test_a_damaged_line_elsewhere_is_named(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"n": 1}\nnonsense\n{"n": 2}\n')
    with pytest.raises(ValueError, match="line 2"):
        records.read(path)


def test_a_finished_or_fresh_run_starts_a_new_file(tmp_path):
    for expected, (total, fresh) in enumerate([(1, False), (1, False), (9, True)], start=1):
        with records.open_run("quick", "0123abcd", total, fresh, tmp_path) as file:
            file.append({"n": 1})
        assert len(records.runs(tmp_path)) == expected


def test_a_run_being_written_is_not_shared(tmp_path):
    with (
        records.open_run("quick", "0123abcd", 9, False, tmp_path) as first,
        records.open_run("quick", "0123abcd", 9, False, tmp_path) as second,
    ):
        assert first.path != second.path


def test_requests_differ_by_cases_and_settings():
    case = Case("rober", "a/b/c", 1e-4, 1e-9)
    keys = {
        records.request_key([case], "x"),
        records.request_key([case], "y"),
        records.request_key([case, case], "x"),
    }
    assert len(keys) == 3


def test_runs_are_found_by_part_of_their_name_or_answered_with_the_nearest(tmp_path):
    for name in ("2026-01-01-quick-aaaaaaaa", "2026-01-02-quick-bbbbbbbb"):
        (tmp_path / f"{name}.jsonl").touch()
    assert records.find_run("2026-01-02", tmp_path).stem.endswith("bbbbbbbb")
    assert records.find_run("aaaaaaaa", tmp_path).stem.startswith("2026-01-01")
    with pytest.raises(UnknownNameError, match="quick-bbbbbbbb"):
        records.find_run("2026-01-02-quick-bbbbbbbc", tmp_path)
