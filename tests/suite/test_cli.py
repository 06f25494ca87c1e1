"""The command line as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite import records

STIFFGRAD = str(Path(sys.executable).parent / "stiffgrad")


def stiffgrad(*words, **more):
    return subprocess.run(
        [STIFFGRAD, *words], capture_output=True, text=True, timeout=300, check=False, **more
    )


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("run", "--problem", "robber"), "rober"),
        (("run", "--problem", "rober:scalled"), "scaled"),
        (("run", "--problem", "rober:t1=-1"), "t1=10"),
        (("run", "--method", "scipy/bdf/foward"), "scipy/bdf/forward"),
        (("run", "--tier", "quik"), "quick"),
        (("run", "--rtol", "1e-4,x"), "1e-4,1e-6"),
        (("run", "--rtol", "2"), "1e-4,1e-6"),
        (("run", "--atol", "-1"), "positive"),
        (("run", "--timeout", "0"), "positive"),
        (("run", "--device", "tpu"), "cpu, gpu"),
        (("list", "--problem", "polu"), "pollu"),
        (("list", "--method", "difrax/*"), "diffrax"),
        (("show", "no-such-run"), "nearest known"),
        (("reference", "robber"), "rober"),
    ],
)
def test_what_cannot_be_is_one_line_with_a_way_out_and_exit_code_2(words, hint):
    done = stiffgrad(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("stiffgrad: ") and hint in line


def test_listing_and_help_import_no_framework():
    code = (
        "import sys; from suite.listing import describe; import suite.cli; describe([], []);"
        "heavy = {'jax', 'torch', 'diffrax', 'torchdiffeq', 'scipy', 'pandas', 'memray'};"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_list_as_json_says_what_is_available_and_why():
    found = json.loads(stiffgrad("list", "--json").stdout)
    assert {"rober", "pollu", "linear", "relaxation"} <= {row["name"] for row in found["problems"]}
    method = found["methods"][0]
    assert {"name", "available", "reason", "family", "devices", "gradients"} <= set(method)


def test_list_shows_a_problem_with_its_stiffness():
    done = stiffgrad("list", "--problem", "rober")
    assert done.returncode == 0
    for word in ("k2", "stiffness=X", "eigenvalue", "Robertson"):
        assert word in done.stdout


def test_run_records_and_shows_and_compares(tmp_path):
    environment = {**os.environ, "STIFFGRAD_RECORDS": str(tmp_path / "records")}
    out = tmp_path / "out.jsonl"
    words = ("--problem", "linear:1e3", "--method", "scipy/*/forward", "--rtol", "1e-4")
    done = stiffgrad("run", *words, "--json", str(out), env=environment)
    assert done.returncode == 0, done.stderr
    found = records.read(out)
    assert [row["status"] for row in found] == ["ok"] * 3
    assert "scipy/bdf/forward" in done.stdout and "≤" in done.stdout
    shown = stiffgrad("show", "--sort", "error", env=environment)
    assert "scipy/bdf/forward" in shown.stdout
    assert stiffgrad("show", "--sort", "eror", env=environment).returncode == 2
    run = found[0]["run"]
    compared = stiffgrad("compare", run, run, env=environment)
    assert compared.returncode == 0 and "scipy/bdf/forward" in compared.stdout


def test_without_any_run_show_says_how_to_make_one(tmp_path):
    environment = {**os.environ, "STIFFGRAD_RECORDS": str(tmp_path)}
    done = stiffgrad("show", env=environment)
    assert done.returncode == 2 and "stiffgrad run" in done.stderr


def test_a_run_that_cannot_write_its_records_says_so_with_exit_code_3(tmp_path):
    words = ("--problem", "linear:1e3", "--method", "scipy/bdf/forward", "--rtol", "1e-4")
    environment = {**os.environ, "STIFFGRAD_RECORDS": str(tmp_path)}
    nowhere = tmp_path / "no" / "such" / "folder" / "x"
    done = stiffgrad("run", *words, "--json", str(nowhere), env=environment)
    assert done.returncode == 3
    assert "cannot be written" in done.stderr
