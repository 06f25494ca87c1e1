"""Unknown names are answered with the nearest known ones."""

from collections.abc import Iterable
from difflib import get_close_matches


class UnknownNameError(LookupError):
    """A name that nothing is known by; the message lists the nearest known names."""


def nearest(kind: str, asked: str, known: Iterable[str]) -> UnknownNameError:
    """The error for an unknown `asked`, with up to three of the `known` names most like it."""
    names = sorted(known)
    close = get_close_matches(asked, names, n=3, cutoff=0.3) or names[:8]
    return UnknownNameError(f"unknown {kind} {asked!r}; nearest known: {', '.join(close)}")
