"""The README says what the committed records say, and its commands exist."""

import re

from suite import readme
from suite.machine import ROOT


def test_its_tables_are_those_of_the_committed_records():
    text = readme.README.read_text()
    assert len(readme.BLOCK.findall(text)) >= 2
    assert readme.filled(text) == text


def test_its_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    used = set(re.findall(r"make ([a-z]+)", readme.README.read_text()))
    assert {"bench", "test"} <= used <= set(targets)
