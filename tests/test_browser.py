"""Every page in a real browser, light and dark, wide and narrow; planted faults are caught."""

import json
import os
import shutil
import subprocess

import pytest

from tests.site import ROOT, built, missing_for_browsers, module, pages

SETTINGS = ("light-1280", "dark-1280", "light-390", "dark-390")
TOC = [f"{name}.html" for name in module("builder").pages_of_toc()]
MORE = ["404.html", "genindex.html", "search.html"]
lacking = missing_for_browsers()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(lacking), reason=f"not run: the browser tests need {lacking}"),
]


def visit(site, report, names, settings):
    """Start visiting pages; the report is there when the process has ended."""
    command = [shutil.which("node"), ROOT / "tests/browser/pages.mjs", site, report, *names]
    return subprocess.Popen([*command, "--settings", ",".join(settings)])


def read(process, report):
    """Wait for a visit; problems by page and setting."""
    assert process.wait(timeout=1800) == 0
    found = json.loads(report.read_text())
    return {(visit["page"], visit["setting"]): visit["problems"] for visit in found}


@pytest.fixture(scope="session")
def problems(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    site = built()
    figures = [name for name in pages(site) if name.startswith("figures/")][:2]
    names = [*TOC, *MORE, *figures]
    started = []
    for width in ("1280", "390"):
        report = folder / f"{width}.json"
        settings = [s for s in SETTINGS if s.endswith(width)]
        started.append((visit(site, report, names, settings), report))
    found = {}
    for process, report in started:
        found |= read(process, report)
    return found


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", [*TOC, *MORE])
def test_a_page_has_no_fault_in_the_browser(name, setting, problems):
    assert problems[name, setting] == []


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_pages_of_figures_have_no_fault_in_the_browser(setting, problems):
    visited = {page: found for (page, at), found in problems.items() if at == setting}
    figures = {page: found for page, found in visited.items() if page.startswith("figures/")}
    assert figures and not any(figures.values())


@pytest.mark.parametrize("name", ["cover", "play"])
def test_what_moves_works_by_mouse_touch_and_keys(name):
    result = subprocess.run(
        [shutil.which("node"), "--test", ROOT / f"tests/browser/{name}.test.mjs"],
        env={**os.environ, "SITE": str(built())},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


PAGE = """<!doctype html><html lang="en"><head><title>A page</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"></head>
<body><a href="#main-content">Skip to the content</a>
<main id="main-content"><h1>A page</h1>{}</main>
<script>addEventListener('keydown', event => {{
  if (event.ctrlKey && event.key === 'k') {{ event.preventDefault(); search.focus() }} }})</script>
<search><input type="search" id="search" aria-label="Search"></search></body></html>"""
HEAD = '<head><meta charset="utf-8">'
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
FAULTS = {
    "nothing": ("<p>All is well.</p>", None),
    "error": ("<script>throw new Error('planted')</script>", "console: Error: planted"),
    "elsewhere": (
        "<img alt='x' src='http://192.0.2.1/x.png'>",
        "external request: http://192.0.2.1",
    ),
    "lost": ("<img alt='x' src='lost.png'>", "404"),
    "wide": ("<div style='width: 3000px'>wide</div>", "overflow: 30"),
    "no-alt": (f"<img src='{PIXEL}'>", "no alt text"),
    "raw": (r"<p>see \(x^2\) here</p>", "raw maths"),
    "untypeset": ("<span class='math'>x^2</span>", "maths not typeset"),
    "wrong-maths": ("<mjx-merror data-mjx-error='Undefined'></mjx-merror>", "maths error"),
    "pale": ("<p style='color: #ccc; background: #fff'>pale</p>", "axe color-contrast"),
    "no-name": ("<button></button>", "axe button-name"),
    "no-caption": ("<figure>a picture</figure>", "figure without caption"),
    "left-over": ("<div class='system-message'>oops</div>", "left over by the build"),
    "heavy": ("<script src='heavy.js'></script>", "size: "),
}


@pytest.fixture(scope="session")
def caught(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    for name, (body, _) in FAULTS.items():
        (folder / f"{name}.html").write_text(PAGE.format(body))
    (folder / "heavy.js").write_text("//" + "x" * 1_600_000)
    (folder / "no-skip.html").write_text(PAGE.format("").replace("#main-content", "#other"))
    (folder / "no-search.html").write_text(PAGE.format("").replace("=== 'k'", "=== 'none'"))
    smuggled = "<article><script>document.title = 'changed'</script></article>"
    module("pairs")  # which finds the folder of the extensions
    page = module("kflow_policy").with_policy(PAGE.format(smuggled).replace("<head>", HEAD))
    (folder / "smuggled.html").write_text(page)
    changed = ["no-skip.html", "no-search.html", "smuggled.html"]
    names = [*(f"{name}.html" for name in FAULTS), *changed]
    return read(visit(folder, folder / "report.json", names, SETTINGS[:1]), folder / "report.json")


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(name, caught):
    found, expected = caught[f"{name}.html", "light-1280"], FAULTS[name][1]
    assert found == [] if expected is None else any(expected in text for text in found), found


def test_a_script_that_is_smuggled_into_a_page_is_not_run(caught):
    (found,) = caught["smuggled.html", "light-1280"]
    assert "inline script violates the following Content Security Policy" in found


@pytest.mark.parametrize("name", ["no-skip", "no-search"])
def test_a_page_that_a_keyboard_cannot_use_is_caught(name, caught):
    assert any(text.startswith("keyboard: ") for text in caught[f"{name}.html", "light-1280"])


DIM = """<p>readable in the light alone</p>
<style>@media (prefers-color-scheme: dark) {{ p {{ color: #333; background: #000 }} }}</style>
<script>const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => {{ document.documentElement.dataset.theme = dark.matches ? 'dark' : 'light' }}
dark.onchange = follow; follow()</script>"""


def test_a_fault_of_the_dark_alone_is_caught(tmp_path):
    (tmp_path / "dim.html").write_text(PAGE.format(DIM.format()))
    report = tmp_path / "report.json"
    found = read(visit(tmp_path, report, ["dim.html"], SETTINGS[:2]), report)
    assert found["dim.html", "light-1280"] == []
    assert any("axe color-contrast" in text for text in found["dim.html", "dark-1280"]), found
