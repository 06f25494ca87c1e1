"""The README says what the committed records say, and its commands exist."""

import re

import numpy as np
import pytest

from problems import get_problem
from suite import readme, references
from suite.machine import ROOT


def test_its_tables_are_those_of_the_committed_records():
    text = readme.README.read_text()
    assert len(readme.BLOCK.findall(text)) >= 2
    assert readme.filled(text) == text


def test_its_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    used = set(re.findall(r"^make ([a-z]+)", readme.README.read_text(), re.MULTILINE))
    assert {"bench", "test"} <= used <= set(targets)


def test_its_library_example_runs_and_is_right():
    pytest.importorskip("jax")
    (code,) = re.findall(r"```python\n(import jax\n.*?)```", readme.README.read_text(), re.DOTALL)
    names: dict = {}
    exec(code, names)
    reference = references.load(get_problem("rober"))
    assert float(names["value"]) == pytest.approx(reference.loss, rel=1e-6)
    assert np.asarray(names["slope"]) == pytest.approx(reference.gradient_p, rel=1e-5)
