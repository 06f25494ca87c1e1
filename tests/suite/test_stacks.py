"""The lock files under stacks/ are whole: exact versions, and all that measuring needs."""

import pytest

from suite import _sides

NEEDED = {"numpy", "scipy", "pandas", "asv", "memray", "pebble", "psutil", "filelock"}


@pytest.mark.parametrize("name", _sides.stacks())
def test_a_lock_file_pins_what_measuring_needs(name):
    pinned = {package.lower() for package in _sides.pins(_sides.stacks()[name])}
    assert pinned >= NEEDED


def test_there_are_enough_to_compare():
    assert len(_sides.stacks()) >= 8
