"""The page in a real browser, from the disk and without a network: sorting, filtering, hovering."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# The window cannot be as narrow as a telephone, a frame in it can.
FRAMES = """<!doctype html><pre id="result"></pre><script>
const told = {};
addEventListener("message", (event) => {
  told[event.data[0]] = event.data[1];
  document.getElementById("result").textContent = JSON.stringify(told);
});
</script>"""
TELL = "parent.postMessage(['NAME', (() => {SCRIPT})()], '*')"


def chromium(folder, *words):
    """What chromium prints: (standard output, what pages wrote to their consoles)."""
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"),
            *(f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=4000", *words),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = re.findall(r"CONSOLE[:(]\d+\)?\] (.*)", done.stderr)
    return done.stdout, console


@dataclass(frozen=True)
class Visit:
    """A look at the page: `script` is run at its end, and returns what is to be known."""

    script: str
    width: int = 1400
    fragment: str = ""


def look(made, folder, visits):
    """What each of the visits returns, by name; and the console of all."""
    frames = []
    for name, visit in visits.items():
        script = TELL.replace("NAME", name).replace("SCRIPT", visit.script)
        html = made.html.replace("</body>", f"<script>{script}</script></body>")
        (folder / f"{name}.html").write_text(html)
        address = f"{name}.html{visit.fragment}"
        frames.append(f'<iframe src="{address}" width="{visit.width}" height="900"></iframe>')
    (folder / "frames.html").write_text(FRAMES + "".join(frames))
    shown, console = chromium(folder, "--dump-dom", (folder / "frames.html").as_uri())
    return json.loads(unescape(re.search(r'<pre id="result">(.*?)</pre>', shown, re.S)[1])), console


RANKING = 'document.querySelector(\'[id^="table-box"][id$="rober-ranking"] table\')'
STATE = f"""
const table = {RANKING};
const rows = [...table.tBodies[0].rows].filter((row) => row.checkVisibility());
const curves = [...document.querySelectorAll(".curve[data-method]")].filter(
  (curve) => getComputedStyle(curve).display !== "none");
return {{
  methods: rows.map((row) => row.cells[0].textContent),
  frameworks: [...new Set(curves.map((curve) => curve.dataset.method.split("/")[0]))].sort(),
  shown: document.getElementById("shown").textContent,
  sorted: [...table.tHead.rows[0].cells].map((head) => head.getAttribute("aria-sort")),
  hash: location.hash,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  fetched: performance.getEntriesByType("resource").map((entry) => entry.name),
  tip: document.getElementById("tip").hidden ? "" : document.getElementById("tip").textContent,
}};
"""
HEAD = "[...{table}.tHead.rows[0].cells].find((head) => head.textContent === '{title}')"


def click(title):
    head = HEAD.format(table=RANKING, title=title)
    return f"{head}.firstElementChild.click();"


CHOOSE = "form.elements.framework.value = 'scipy'; form.dispatchEvent(new Event('input'));"
POINT = (
    "document.querySelector('{}').dispatchEvent(new MouseEvent('mouseover', {{bubbles: true}}));"
)
VISITS = {
    "wide": Visit(STATE),
    "narrow": Visit(STATE, width=400),
    "up": Visit(click("ms at 1e-04") + STATE),
    "down": Visit(click("ms at 1e-04") * 2 + STATE),
    "tight-up": Visit(click("ms at 1e-08") + STATE),
    "tight-down": Visit(click("ms at 1e-08") * 2 + STATE),
    "filtered": Visit(CHOOSE + STATE),
    "addressed": Visit(STATE, fragment="#text=EULER&sort=-method"),
    "curve": Visit(POINT.format(".curve[data-method] path") + STATE),
    "failure": Visit(POINT.format("td .s-diverged") + STATE),
}


@pytest.fixture(scope="module")
def looked(made, tmp_path_factory):
    """All visits at once: starting a browser takes longer than they do."""
    return look(made, tmp_path_factory.mktemp("visits"), VISITS)


@pytest.fixture(scope="module")
def states(looked):
    """What the visits found, by name."""
    return looked[0]


def test_the_console_is_clean(looked):
    states, console = looked
    assert console == [] and states.keys() == VISITS.keys()


@pytest.mark.parametrize("name", ["wide", "narrow"])
def test_the_page_opens_and_fits(states, name):
    state = states[name]
    assert state["overflow"] == 0, "only tables scroll sideways, in themselves"
    assert state["fetched"] == []
    assert state["shown"] == "4 methods shown"
    assert state["frameworks"] == ["newcomer", "scipy"]


def test_the_console_is_heard(made, tmp_path):
    plant = "console.error('planted'); new Image().src = 'http://example.org/x'; return 0;"
    _, console = look(made, tmp_path, {"planted": Visit(plant)})
    assert any("planted" in line for line in console)
    assert any("Content Security Policy" in line for line in console)


def test_a_click_sorts_and_another_turns_it_around(states):
    up, down = states["up"], states["down"]
    assert up["methods"] == [
        "newcomer/euler/discrete",
        "newcomer/euler/backsolve",
        "scipy/bdf/discrete",
    ]
    assert down["methods"] == up["methods"][::-1]
    assert up["sorted"][2] == "ascending" and down["sorted"][2] == "descending"
    assert down["hash"] == "#sort=-ms+at+1e-04"


@pytest.mark.parametrize("name", ["tight-up", "tight-down"])
def test_what_has_no_figure_stays_last(states, name):
    """scipy/bdf/discrete fails at the tightest tolerance, and does not reach its error."""
    assert states[name]["methods"][-1] == "scipy/bdf/discrete"


def test_the_filter_hides_rows_and_curves_alike(states):
    state = states["filtered"]
    assert state["methods"] == ["scipy/bdf/discrete"] and state["frameworks"] == ["scipy"]
    assert state["hash"] == "#framework=scipy" and state["shown"] == "2 methods shown"


def test_the_address_brings_a_view_back(states):
    state = states["addressed"]
    assert state["methods"] == ["newcomer/euler/discrete", "newcomer/euler/backsolve"]
    assert state["frameworks"] == ["newcomer"]


def test_pointing_at_a_curve_or_a_failure_tells_what_it_is(states, hostile):
    curve, failure = states["curve"], states["failure"]
    assert curve["tip"].split("\n")[0] in curve["methods"] and "\n" in curve["tip"]
    assert failure["tip"].startswith("scipy/bdf/discrete, rober, rtol 1e-08: diverged. ")
    assert failure["tip"].endswith(hostile)


def test_a_screenshot_shows_colours(made, tmp_path):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "shot.png"
    chromium(tmp_path, "--window-size=1400,2500", f"--screenshot={path}", made.page.as_uri())
    with image.open(path) as shot:
        assert shot.width == 1400
        colours = {colour for _, colour in shot.convert("RGB").getcolors(2**24)}
    assert {(0x00, 0x9E, 0x73), (0x56, 0xB4, 0xE9)} <= colours, "the failure map's"
