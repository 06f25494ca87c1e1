"""The examples of CONTRIBUTING.md run as they stand: a problem and a method, one file each."""

import os
import re
import subprocess
import sys
from pathlib import Path

from suite import records

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = re.compile(r"<!-- tested: (\S+) -->\n```python\n(.*?)```", re.DOTALL)


def test_the_examples_run_and_are_right(tmp_path):
    for name, code in EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text()):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    environment = {
        **os.environ,
        "STIFFGRAD_PROBLEMS": str(tmp_path / "problems"),
        "STIFFGRAD_ADAPTERS": str(tmp_path / "adapters"),
        "STIFFGRAD_RECORDS": str(tmp_path / "records"),
        "STIFFGRAD_REFERENCES": str(tmp_path / "references"),
    }
    done = subprocess.run(
        [str(Path(sys.executable).parent / "stiffgrad"), "run"]
        + ["--problem", "vanderpol", "--method", "midpoint/*", "--method", "scipy/bdf/forward"]
        + ["--rtol", "1e-4", "--json", str(tmp_path / "out.jsonl")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {row["method"]: row for row in records.read(tmp_path / "out.jsonl")}
    assert len(found) == 2
    for row in found.values():
        assert row["status"] == "ok", row["reason"]
