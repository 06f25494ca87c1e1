"""A study whose name is not its file's."""

from studies import Study

STUDY = Study("other", "", "", (), lambda quick: None, lambda frame: None)
