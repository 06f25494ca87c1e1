"""The page: one file that holds its styles, its script and its drawings."""

from pathlib import Path
from typing import Any

from report import figure, words
from report.figure import Figure
from report.looks import status_styles
from report.svg import Styles

HERE = Path(__file__).parent


def render(content: dict[str, Any]) -> str:
    """The page as HTML; every string of `content` is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    styles = Styles()
    drawings = {
        # their SVG is written by an XML library, which escapes what is in it
        shown.name: [Markup(drawn) for drawn in figure.inlined(shown, f"f{number}", styles)]
        for number, shown in enumerate(_figures(content["parts"]))
    }
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        **content,
        drawings=drawings,
        section=words.section,
        style=Markup("\n".join([(HERE / "page.css").read_text(), status_styles(), styles.css()])),
        script=Markup((HERE / "page.js").read_text()),
    )


def _figures(parts: list[Any]) -> list[Figure]:
    """Those to be shown, of all parts and of the parts in them."""
    return [
        found
        for part in parts
        for found in [*filter(lambda one: one.shown, part.figures), *_figures(part.parts)]
    ]
