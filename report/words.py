"""The page's prose: parts of the README, so that it is written once."""

import re
from importlib import metadata

from markupsafe import Markup

from suite.machine import ROOT


def section(title: str) -> Markup:
    """The README's section of this title as HTML; raises KeyError where there is none."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", readme(), re.DOTALL | re.M)
    if found is None:
        raise KeyError(f"README has no section {title!r}")
    return render(found[1])


def readme() -> str:
    """The README of the working tree, or that which was installed with the package."""
    path = ROOT / "README.md"
    if path.exists():
        return path.read_text()
    return metadata.metadata("stiffgrad")["Description"]


def render(text: str) -> Markup:
    """Markdown as HTML; HTML in it is shown, not obeyed, and links stay as they are written."""
    from markdown_it import MarkdownIt

    return Markup(MarkdownIt("commonmark", {"html": False}).disable("link").render(text))
