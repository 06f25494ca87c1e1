"""Over versions and commits: in which order, named how, and with what is not ok in sight."""

import json

import pytest

from report import overtime, releases

METHOD = "scipy/bdf/forward"
HERE, THERE = "c" * 40, "d" * 40
STACKS = {
    "existing-py3.11": "1.17",
    "scipy-1.9": "1.9",
    "scipy-1.14": "1.14",
    "scipy-1.14-odd": "1.14",
    "diffrax-0.5": "1.14",
    "diffrax-0.6": "1.15",
    "torchdiffeq-0.2": "1.17",
}


def write(folder, commit, environment, seconds, days=0):
    (folder / "box").mkdir(parents=True, exist_ok=True)
    titles = [f"smoke.Gradients.track_{name}" for name in ("gradient_seconds", "gradient_error")]
    names = {"param_names": ["problem", "method", "rtol"], "unit": "seconds"}
    (folder / "benchmarks.json").write_text(json.dumps(dict.fromkeys(titles, names)))
    params = [["'rober'"], [f"'{METHOD}'"], ["0.0001"]]
    found = {
        "commit_hash": commit,
        "date": 1767225600000 + 86400000 * days,
        "env_name": environment,
        "params": {"machine": "box"},
        "result_columns": ["result", "params", "version"],
        "results": {title: [[seconds], params, "1"] for title in titles},
    }
    (folder / "box" / f"{commit[:8]}-{environment}.json").write_text(json.dumps(found))


@pytest.fixture
def asv(tmp_path, record):
    """A folder of asv's and its records: 1.9 has an error, the present is twice as slow."""
    records = []
    for environment, version in STACKS.items():
        failed = environment == "scipy-1.9"
        seconds = 0.004 if environment == "existing-py3.11" else 0.002
        write(tmp_path, HERE, environment, float("nan") if failed else seconds)
        stack = None if environment.startswith("existing") else environment
        made = record(METHOD, commit=HERE, stack=stack, versions={"scipy": version})
        made |= {"gradient_seconds": seconds, "gradient_error": 1e-4}
        if failed:
            made |= {"status": "error", "reason": "no such name", "gradient_seconds": None}
        records.append(made)
    # a later commit, but of one environment only
    write(tmp_path, THERE, "existing-py3.11", 0.003, days=1)
    return tmp_path, records


@pytest.fixture
def track(asv):
    (found,) = releases.tracks(overtime.load(*asv))
    return found


def test_versions_are_in_order_the_present_last_and_none_twice_without_need(track):
    assert track.commit == HERE, "where there is most to compare"
    assert [release.label for release in track.releases] == [
        "1.9",
        "1.14",
        "1.14 (scipy-1.14-odd)",
        "1.17",
    ]
    assert track.releases[-1].environment == "existing-py3.11"
    assert [release.base for release in track.releases] == [None, 0, 1, 1]


def test_a_framework_without_stacks_of_its_own_is_taken_from_others(asv):
    found = overtime.load(*asv)
    others = found[~found["environment"].str.startswith("scipy")]
    (track,) = releases.tracks(others)
    assert [(release.environment, release.label) for release in track.releases] == [
        ("diffrax-0.5", "1.14"),
        ("diffrax-0.6", "1.15"),
        ("existing-py3.11", "1.17"),
    ]


def test_the_table_has_a_sign_where_there_is_no_figure(asv, track):
    table = releases.figures_table(track, asv[1])
    head = [column.title for column in table.columns]
    time, error = (dict(zip(head, line, strict=True)) for line in table.lines())
    assert (time["figure"], error["figure"]) == ("ms a gradient", "relative gradient error")
    assert (time["1.9"], time["1.14"], time["1.17"]) == ("E", "2", "4")
    assert time["last over first"] == "2"
    assert "E error" in table.note and "N non-finite" not in table.note
    assert table.frame["reason 1.9"].tolist() == ["no such name"] * 2
    assert table.about["commits"] == [HERE[:10]] and table.about["versions"] == {
        "scipy": ["1.14", "1.17", "1.9"]
    }


def test_what_a_release_changed_is_by_the_gates_rules(asv, track):
    table = releases.changes(track, asv[1])
    assert [line[:3] + line[5:] for line in table.lines()] == [
        ["1.14", "1.17", METHOD, "ms a gradient", "2", "4", "2", "regression"],
        ["1.9", "1.14", METHOD, "status", "error", "ok", "–", "improvement"],
    ]


def test_without_records_there_are_no_versions_and_provenance_says_so(asv):
    folder, _ = asv
    found = overtime.load(folder, [])
    assert releases.tracks(found) == [] and found["outcome"].isna().all()
    assert len(overtime.sources(found, [])) == 0


def test_a_gpu_is_another_platform(tmp_path):
    write(tmp_path, HERE, "scipy-1.9-gpu", 1.0)
    write(tmp_path, HERE, "existing-py3.11-gpu", 1.0)
    found = overtime.load(tmp_path, [])
    assert set(found["platform"]) == {"box, gpu"}
    assert (
        found["stack"].where(found["stack"].notna(), None).tolist()
        == [None] * 2 + ["scipy-1.9"] * 2
    )


def test_commits_are_compared_where_an_environment_has_several(asv):
    from report.looks import Looks

    found = overtime.load(*asv)
    figure, table = overtime.over_commits(found, asv[1], Looks(found))
    assert len(figure.panels) == 2, "time and error"
    assert [column.title for column in table.columns][5:] == [HERE[:8], THERE[:8], "last ratio"]
    assert [line[1] for line in table.lines()] == ["existing-py3.11"] * 2
    assert [line[-3:] for line in table.lines()] == [["4", "3", "0.75"], ["0.004", "0.003", "0.75"]]
