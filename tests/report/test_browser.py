"""The page in a real browser, from the disk and without a network: sorting, filtering, hovering."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

# The window cannot be as narrow as a telephone, a frame in it can.
FRAME = """<!doctype html><body style="margin:0"><pre id="result"></pre>
<iframe src="PAGE" width="WIDTH" height="900" style="border:0"></iframe>
<script>addEventListener("message", (e) => document.getElementById("result").textContent = e.data)
</script>"""


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


def visit(made, folder, script, width=1400, fragment=""):
    """What `script`, run at the end of the page, returns; and the console."""
    ending = f"<script>parent.postMessage(JSON.stringify((() => {{{script}}})()), '*')</script>"
    page = folder / "page.html"
    page.write_text(made.html.replace("</body>", f"{ending}</body>"))
    frame = FRAME.replace("PAGE", f"page.html{fragment}").replace("WIDTH", str(width))
    (folder / "frame.html").write_text(frame)
    shown, console = chromium(folder, "--dump-dom", (folder / "frame.html").as_uri())
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


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_opens_clean_and_fits(made, tmp_path, width):
    state, console = visit(made, tmp_path, STATE, width)
    assert console == []
    assert state["overflow"] == 0, "only tables scroll sideways, in themselves"
    assert state["fetched"] == []
    assert state["shown"] == "4 methods shown"
    assert state["frameworks"] == ["newcomer", "scipy"]


def test_the_console_is_heard(made, tmp_path):
    _, console = visit(made, tmp_path, "console.error('planted'); return 0;")
    assert any("planted" in line for line in console)
    _, console = visit(made, tmp_path, "new Image().src = 'http://example.org/x'; return 0;")
    assert any("Content Security Policy" in line for line in console)


def test_a_click_sorts_and_another_turns_it_around(made, tmp_path):
    up, _ = visit(made, tmp_path, click("ms at 1e-04") + STATE)
    down, _ = visit(made, tmp_path, click("ms at 1e-04") * 2 + STATE)
    assert up["methods"] == [
        "newcomer/euler/discrete",
        "newcomer/euler/backsolve",
        "scipy/bdf/discrete",
    ]
    assert down["methods"] == up["methods"][::-1]
    assert up["sorted"][2] == "ascending" and down["sorted"][2] == "descending"
    assert down["hash"] == "#sort=-ms+at+1e-04"


def test_what_has_no_figure_stays_last(made, tmp_path):
    """scipy/bdf/discrete fails at the tightest tolerance, and does not reach its error."""
    for clicks in (1, 2):
        state, _ = visit(made, tmp_path, click("ms at 1e-08") * clicks + STATE)
        assert state["methods"][-1] == "scipy/bdf/discrete"


def test_the_filter_hides_rows_and_curves_alike(made, tmp_path):
    choose = "form.elements.framework.value = 'scipy'; form.dispatchEvent(new Event('input'));"
    state, console = visit(made, tmp_path, choose + STATE)
    assert state["methods"] == ["scipy/bdf/discrete"] and state["frameworks"] == ["scipy"]
    assert state["hash"] == "#framework=scipy" and state["shown"] == "2 methods shown"
    assert console == []


def test_the_address_brings_a_view_back(made, tmp_path):
    fragment = "#text=EULER&sort=-method"
    state, _ = visit(made, tmp_path, STATE, fragment=fragment)
    assert state["methods"] == ["newcomer/euler/discrete", "newcomer/euler/backsolve"]
    assert state["frameworks"] == ["newcomer"]


def test_pointing_at_a_curve_or_a_failure_tells_what_it_is(made, tmp_path, hostile):
    event = "new MouseEvent('mouseover', {{bubbles: true}})"
    hover = f"document.querySelector('{{}}').dispatchEvent({event});"
    curve, _ = visit(made, tmp_path, hover.format(".curve[data-method] path") + STATE)
    assert curve["tip"].split("\n")[0] in curve["methods"] and "\n" in curve["tip"]
    failure, console = visit(made, tmp_path, hover.format("td .s-diverged") + STATE)
    assert failure["tip"].startswith("scipy/bdf/discrete, rober, rtol 1e-08: diverged. ")
    assert failure["tip"].endswith(hostile) and console == []


def test_a_screenshot_shows_colours(made, tmp_path):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "shot.png"
    chromium(tmp_path, "--window-size=1400,2500", f"--screenshot={path}", made.page.as_uri())
    with image.open(path) as shot:
        assert shot.width == 1400
        colours = {colour for _, colour in shot.convert("RGB").getcolors(2**24)}
    assert {(0x00, 0x9E, 0x73), (0x56, 0xB4, 0xE9)} <= colours, "the failure map's"
