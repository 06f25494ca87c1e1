"""Matplotlib's SVG made fit for the page: named curves with hover text, ids that do not clash."""

import re
from dataclasses import dataclass
from xml.etree import ElementTree

SVG = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
# Not part of the drawing, and of no use to a reader.
DROPPED = (f"{{{SVG}}}metadata",)
REFERRING = ("clip-path", LINK)
GEOMETRY = {"d", "x", "y", "transform"}
FONT = re.compile(r"; font-family: [^;]*|font-family: [^;]*; ?")
DIGITS = re.compile(r"-?\d+\.\d{3,}")


ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")


@dataclass(frozen=True)
class Tag:
    """What an artist's group in the SVG is to carry: attributes and hover text."""

    attributes: dict[str, str]
    tip: str


def tagged(text: str, tags: dict[str, Tag]) -> str:
    """A whole SVG file, the groups with the ids of `tags` being named."""
    root = _parsed(text)
    _tag(root, tags)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


class Styles:
    """Styles that the drawings of a page share, each given once as a class."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def name(self, style: str) -> str:
        """The class for a style."""
        return self.names.setdefault(style, f"k{len(self.names)}")

    def css(self) -> str:
        """The rules, for the page."""
        return "\n".join(f".{name}{{{style}}}" for style, name in self.names.items())


def inlined(text: str, tags: dict[str, Tag], prefix: str, label: str, styles: Styles) -> str:
    """The same as an element of a page: as wide as there is room, all ids beginning with `prefix`.

    `label` is read out to those who do not see the drawing. Of the attributes only `data-method`
    is kept; the page knows the rest by it.
    """
    root = _parsed(text)
    _tag(root, {name: Tag(_method_only(tag), tag.tip) for name, tag in tags.items()})
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": label}
    for defs in root.findall(f"{{{SVG}}}defs"):
        for style in defs.findall(f"{{{SVG}}}style"):
            defs.remove(style)
    _rename(root, prefix)
    _shrink(root, styles)
    return ElementTree.tostring(root, encoding="unicode")


def _method_only(tag: Tag) -> dict[str, str]:
    return {name: value for name, value in tag.attributes.items() if name == "data-method"}


def _parsed(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text)
    for name in DROPPED:
        for child in root.findall(name):
            root.remove(child)
    return root


def _tag(root: ElementTree.Element, tags: dict[str, Tag]) -> None:
    for element in root.iter():
        tag = tags.get(element.get("id", ""))
        if tag is not None:
            element.attrib |= tag.attributes | {"class": "curve"}
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = tag.tip
            element.insert(0, title)


def _rename(root: ElementTree.Element, prefix: str) -> None:
    """Short ids that no other drawing has, on what is referred to; none on anything else."""
    used: dict[str, str] = {}
    for element in root.iter():
        for name, value in element.attrib.items():
            found = re.fullmatch(r"url\(#(.*)\)|#(.*)", value) if name in REFERRING else None
            if found is not None:
                new = used.setdefault(found[1] or found[2], f"{prefix}{len(used)}")
                element.set(name, f"url(#{new})" if found[1] else f"#{new}")
    for element in root.iter():
        new_id = used.get(element.attrib.pop("id", ""))
        if new_id is not None:
            element.set("id", new_id)


def _shrink(root: ElementTree.Element, styles: Styles) -> None:
    """Leave out what a page need not carry: blanks, digits below a hundredth of a point, groups
    of nothing, the font, which the page sets, and styles said before."""
    for element in root.iter():
        _share_style(element)
    for element in list(root.iter()):
        element[:] = [inner for child in element for inner in _unwrapped(child)]
        for name in GEOMETRY & element.attrib.keys():
            element.set(name, _rounded(element.attrib[name]))
        if element.get("transform", "").startswith("rotate(-0 "):
            element.attrib.pop("transform")
        if "style" in element.attrib:
            style = FONT.sub("", element.attrib.pop("style")).replace(": ", ":").replace("; ", ";")
            known = element.get("class")
            element.set("class", f"{known} {styles.name(style)}" if known else styles.name(style))
        if not (element.text or "").strip():
            element.text = None
        element.tail = None


def _unwrapped(element: ElementTree.Element) -> list[ElementTree.Element]:
    """What is in a group that says nothing itself, groups in it too; else the element."""
    if element.tag != f"{{{SVG}}}g" or element.attrib:
        return [element]
    return [inner for child in element for inner in _unwrapped(child)]


def _share_style(element: ElementTree.Element) -> None:
    """What all children are styled by is said once, as they inherit it."""
    styles = {child.get("style") for child in element}
    if len(element) > 1 and len(styles) == 1 and "style" not in element.attrib:
        style = styles.pop()
        if style is not None:
            element.set("style", style)
            for child in element:
                child.attrib.pop("style")


def _rounded(text: str) -> str:
    return " ".join(DIGITS.sub(lambda found: f"{float(found[0]):.2f}", text).split())
