"""The figures of the built site: addresses that stay, markup for machines, panels that work."""

import importlib
import json
import os
import re
import shutil
import subprocess

import pytest

from tests.site import ROOT, built, missing_for_browsers, read_json

pytestmark = pytest.mark.site
LINKED = re.compile(r'<script type="application/ld\+json">(.*?)</script>', re.DOTALL)


@pytest.fixture(scope="module")
def index():
    return read_json(built() / "figures" / "index.json")["figures"]


def test_every_released_slug_resolves():
    for slug in (ROOT / "book/records/slugs.txt").read_text().split():
        assert (built() / "figures" / slug / "index.html").is_file(), slug


def test_every_figure_has_a_record_and_agrees_with_it(index):
    for figure in index:
        kinds = {rule["kind"] for rule in figure["quantities"].values()}
        expected = "agrees" if kinds - {"single-run"} else "silent"
        assert figure["verdict"] == expected, figure["slug"]


def test_every_figure_is_shown_in_a_chapter_with_a_number(index):
    for figure in index:
        page, _, anchor = figure["chapter"].partition("#")
        assert f'id="{anchor}"' in (built() / page).read_text(), figure["slug"]
        assert re.fullmatch(r"Figure [\d.]+", figure["number"]), figure["slug"]


def test_a_figure_page_is_read_by_search_engines(index):
    for figure in index:
        page = (built() / figure["page"] / "index.html").read_text()
        linked = json.loads(LINKED.search(page)[1])
        assert (linked["@type"], linked["identifier"]) == ("ImageObject", figure["slug"])
        for name in figure["files"]:
            assert (built() / figure["page"] / name).is_file(), name


def test_a_figure_that_shows_images_of_others_says_whose_they_are():
    page = (built() / "figures/digits-images-by-depth/index.html").read_text()
    assert "by-sa/3.0" in json.loads(LINKED.search(page)[1])["license"]
    assert re.search(r'Images: MNIST, [^<]*<a href="[^"]*by-sa/3.0/">CC BY-SA 3.0</a>', page)
    page = (built() / "figures/digits-error-by-depth/index.html").read_text()
    assert "licenses/by/4.0" in json.loads(LINKED.search(page)[1])["license"]


def test_every_figure_says_what_it_shows(index):
    for figure in index:
        assert len(figure["alt"]) > 20 and len(figure["caption"]) > 20, figure["slug"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("5.01e+00", "5.01"), ("-1.3e-02", "\u22121.3 \u00d7 10\u22122"), ("2e+10", "2 \u00d7 1010")],
)
def test_a_number_in_prose_has_the_power_of_ten_that_it_has(text, shown, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    typeset = importlib.import_module("kflow_figures")._typeset
    assert typeset(text).astext() == shown


def test_what_a_record_says_is_text_and_never_markup(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    parts = importlib.import_module("figure_parts")
    folder = ROOT / "book" / "records" / "rho-laws"
    record, origin = (read_json(folder / f"{name}.json") for name in ("record", "provenance"))
    hostile = "<b>&</b> $\\rho < 1$"
    record |= {"claim": hostile, "parameters": {"<i>": hostile}}
    record["data"]["columns"] = {"rho": hostile}
    shown = parts.line(parts.Figure(folder, record, origin, [], "none"), "")
    assert "<b>" not in shown and "<i>" not in shown
    assert shown.count("&lt;b&gt;&amp;&lt;/b&gt; $\\rho &lt; 1$") == 2
    assert "&lt;b&gt;&amp;&lt;/b&gt; <em>\\rho &lt; 1</em>" in shown


@pytest.mark.parametrize("rule", [{"smaller_than": "b"}, {"larger_than": "a"}, {"expect": [1, 2]}])
def test_a_claim_is_judged_by_its_rule_and_keeps_its_qualification(rule, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    judge = importlib.import_module("kflow_claims").judge
    numbers = {"a": 0.5, "b": 2.5}
    assert judge(rule, 1.5, numbers).startswith("agrees")
    assert judge(rule | {"partly": "here"}, 1.5, numbers).startswith("agrees in part: here")
    outside = 0.2 if "larger_than" in rule else 3.0
    assert judge(rule | {"partly": "here"}, outside, numbers).startswith("**differs**")


def test_no_claim_is_left_out():
    page = (built() / "claims.html").read_text()
    assert all(f"<strong>{row}</strong>" in page for row in ("S1", "S5", "F1", "F2", "M1", "C"))
    assert [page.count(f"<strong>table {name}<") for name in ("F-a", "F-b", "M")] == [4, 4, 4]


@pytest.mark.browser
@pytest.mark.skipif(bool(missing_for_browsers()), reason=f"needs {missing_for_browsers()}")
def test_panels_players_and_boxes_work():
    result = subprocess.run(
        [shutil.which("node"), "--test", ROOT / "tests/browser/figures.test.mjs"],
        env={**os.environ, "SITE": str(built())},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
