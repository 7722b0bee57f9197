"""The built site as files: links, anchors, names, nothing from elsewhere."""

import importlib
import re
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

import kflow
from kflow.paper.experiments import Experiment
from kflow.paper.record import Reading, Run
from tests.site import NAMES, ROOT, built, module, pages

pytestmark = pytest.mark.site
LOADS = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "srcset"}
OUTSIDE = {"icon", "stylesheet", "preload", "search", "index", "next", "prev", "manifest"}


class Page(HTMLParser):
    """Links, ids and what a page loads."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.loads, self.images, self.head = [], [], [], [], []
        self.policies, self.handlers = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if values.get("id"):
            self.ids.append(values["id"])
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        self.handlers += [name for name in values if name.startswith("on")]
        if tag == "meta" and values.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(values["content"])
        if tag == "meta":
            self.head.append(values.get("property") or values.get("name"))
        if tag == "link":
            self.head.append(values.get("rel"))
        if tag in LOADS and (tag != "link" or values.get("rel") in OUTSIDE):
            self.loads.append(values.get(LOADS[tag]) or "")


@pytest.fixture(scope="module")
def site():
    folder = built()
    return {name: Page((folder / name).read_text()) for name in pages(folder)}


def target(page, link):
    """The file and anchor that a link of a page leads to, relative to the site."""
    link, anchor = urldefrag(link)
    path = (built() / page).parent / unquote(link) if link else built() / page
    path = path / "index.html" if path.is_dir() else path
    return path.resolve(), unquote(anchor)


def test_every_page_of_the_toc_is_built_at_a_clean_address(site):
    for name in module("builder").pages_of_toc():
        assert f"{name}.html" in site
    assert not [name for name in site if "executed" in name or "_build" in name]


def test_every_internal_link_and_anchor_resolves(site):
    anchors = {(built() / name).resolve(): set(page.ids) for name, page in site.items()}
    dead = []
    for name, page in site.items():
        for link in page.links:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            path, anchor = target(name, link)
            if not path.is_file() or (anchor and path in anchors and anchor not in anchors[path]):
                dead.append(f"{name} -> {link}")
    assert not dead


def test_no_page_loads_anything_from_elsewhere(site):
    for name, page in site.items():
        assert not [u for u in page.loads if re.match(r"(https?:)?//", u)], name
    for path in (built() / "_static").rglob("kflow*.css"):
        assert "http" not in path.read_text()


def test_every_page_has_a_policy_that_allows_its_own_scripts_alone(site):
    for name, page in site.items():
        (policy,) = page.policies
        (scripts,) = [rule for rule in policy.split("; ") if rule.startswith("script-src ")]
        assert "unsafe" not in scripts and "*" not in policy and "http" not in policy, name
        assert scripts.count("sha256-") <= 16, name
        assert not page.handlers, f"{name} has handlers that its policy forbids: {page.handlers}"


def test_an_id_stands_once_on_a_page(site):
    for name, page in site.items():
        again = {i for i in page.ids if page.ids.count(i) > 1}
        assert not again, name


def test_every_image_has_an_alternative_text(site):
    for name, page in site.items():
        assert not [image for image in page.images if "alt" not in image], name


def test_no_role_is_left_as_text(site):
    # as in a table, whose cells a bar ends: there a role writes its bar with a backslash
    for name in site:
        left = re.findall(
            r"\{(?:number|setting|numref|eq|cite)[a-z:]*\}`.*", (built() / name).read_text()
        )
        assert not left, f"{name}: {left}"


def test_a_page_says_what_it_is_to_those_that_link_to_it(site):
    for name in module("builder").pages_of_toc():
        head = site[f"{name}.html"].head
        assert {"og:title", "og:description", "description", "icon"} <= set(head), name
        assert head.count("viewport") == 1


def test_without_a_stated_address_nothing_is_invented(site):
    if "urls" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]:
        return
    assert not (built() / "sitemap.xml").exists()
    for name, page in site.items():
        assert not {"canonical", "og:url"} & set(page.head), name
        assert not [u for u in page.links if "mybinder" in u or "colab" in u], name


def test_every_public_name_has_its_entry_in_the_reference(site):
    for name in kflow.__all__:
        module_name = getattr(kflow, name).__module__
        assert f"{module_name}.{name}" in site["api.html"].ids


@pytest.mark.parametrize("name", NAMES)
def test_a_chapter_offers_its_notebook_and_its_source(name, site):
    for ending in ("ipynb", "md"):
        assert f"notebooks/{name}.{ending}" in site[f"{name}.html"].links
        original = ROOT / "notebooks" / f"{name}.{ending}"
        assert (built() / "notebooks" / original.name).read_bytes() == original.read_bytes()


def test_maths_is_served_by_the_site_itself():
    mathjax = built() / "_static" / "mathjax"
    assert (mathjax / "tex-chtml-full.js").is_file()
    assert len(list((mathjax / "output/chtml/fonts/woff-v2").glob("*.woff"))) > 20


def test_a_page_is_small(site):
    for name in site:
        assert (built() / name).stat().st_size < 1_000_000, name


def test_the_pages_join_into_one_book_whose_links_stay_inside():
    names = [name for name in module("builder").pages_of_toc() if name != "play"]
    book = Page(module("pdf").join(built(), names))
    inside = {link[1:] for link in book.links if link.startswith("#")}
    assert inside and inside <= set(book.ids)
    assert len(book.ids) == len(set(book.ids))
    assert not [link for link in book.links if "localhost" in link or "127.0.0.1" in link]


def test_there_is_a_page_for_addresses_that_lead_nowhere(site):
    assert "404.html" in site and "index.html" in site["404.html"].links


def test_the_search_finds_theorems_and_figures():
    index = (built() / "searchindex.js").read_text()
    for page in ("interpolation", "figures"):
        assert f'"{page}"' in index
    assert "theorem" in index


def test_the_build_refuses_a_page_that_is_not_there(monkeypatch):
    builder = module("builder")
    monkeypatch.setattr(
        builder, "pages_of_toc", lambda: [*builder.page_sources(), *NAMES, "nowhere"]
    )
    with pytest.raises(builder.BuildFailed, match="nowhere"):
        builder.check()


def test_the_build_refuses_a_chapter_that_the_toc_forgets(monkeypatch):
    builder = module("builder")
    monkeypatch.setattr(builder, "pages_of_toc", lambda: [*builder.page_sources()])
    with pytest.raises(builder.BuildFailed, match=NAMES[0]):
        builder.check()


def test_the_build_refuses_another_jupyter_book(monkeypatch):
    builder = module("builder")
    monkeypatch.setattr(builder.importlib.metadata, "version", lambda name: "2.0.0")
    with pytest.raises(builder.BuildFailed, match="jupyter-book<2"):
        builder.check()


@pytest.fixture
def addressed(monkeypatch):
    """The extension of the site, as if the owner had stated the two addresses."""
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    extension = importlib.import_module("kflow_site")
    stated = ("https://book.invalid/kf", "https://github.com/owner/kf")
    monkeypatch.setattr(extension, "addresses", lambda: stated)
    return extension


def test_with_a_stated_repository_a_chapter_can_be_run_and_edited(addressed):
    context = {"header_buttons": [], "pathto": lambda name, resource: name}
    addressed.add_buttons(None, NAMES[0], "page.html", context, None)
    urls = [item["url"] for menu in context["header_buttons"] for item in menu["buttons"]]
    committed = f"notebooks/{NAMES[0]}.ipynb"
    assert f"https://mybinder.org/v2/gh/owner/kf/main?labpath={committed}" in urls
    assert f"https://colab.research.google.com/github/owner/kf/blob/main/{committed}" in urls
    assert f"https://github.com/owner/kf/edit/main/notebooks/{NAMES[0]}.md" in urls


def test_with_a_stated_address_pages_have_their_canonical_link(addressed):
    config = SimpleNamespace()
    addressed.use_addresses(None, config)
    assert config.html_baseurl == config.ogp_site_url == "https://book.invalid/kf/"
    assert (ROOT / "book" / config.ogp_image).is_file()


@pytest.mark.parametrize(
    ("layers", "told"),
    [(27_000, "not run to layer 50000; at layers 26990 to 27000: agrees"), (50_000, "agrees")],
)
def test_a_table_of_the_source_is_compared_as_deep_as_its_run_got(layers, told, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    import kflow_claims

    def run(of, last):
        settings = Experiment("mnist", last, ((last - 10, last, 10),))
        at = {k: Reading({10: error}, 1, 2) for k, error in ((last - 10, 0.1), (last, 0.2))}
        return Run(of, settings, 1, "", 1, 1, "", "", "", at, {})

    monkeypatch.setattr(kflow_claims, "paper_run", {"small": run("small", layers)}.get)
    monkeypatch.setattr(kflow_claims, "paper_settings", lambda run: "")
    table = {"name": "F-b", "experiment": "small", "layers": [49_990, 50_000]}
    table["deepest"] = [26_990, 27_000]
    talk = [10, 0.1, 0.09, 0.2, 0.01]
    assert kflow_claims.table_row(None, table, talk)[-1].startswith(told)
    table |= {"no_verdict": [10], "because": "of the stage"}
    assert "no verdict: of the stage; +5.0" in kflow_claims.table_row(None, table, talk)[-1]


def test_of_two_builds_at_once_the_second_waits(monkeypatch, tmp_path):
    builder, at_work, done = module("builder"), threading.Event(), threading.Event()
    monkeypatch.setattr(builder, "ROOT", tmp_path)

    def build(force, *_):
        if force:  # the first
            at_work.set()
            assert not done.wait(0.5)
        done.set()

    monkeypatch.setattr(builder, "_build", build)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(builder.build, force=True)
        assert at_work.wait(10)
        second = pool.submit(builder.build)
        first.result()
        second.result()


def test_the_licence_of_everything_from_others_is_told():
    text = (ROOT / "book/bibliography.md").read_text()
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    told = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    ours = [path.name for path in (ROOT / "book/_static").iterdir()]
    shipped = [path.name for path in (built() / "_static").iterdir()]
    for name in shipped:
        assert any(fnmatch(name, known) for known in (*ours, *told)), name
    for known in told:
        assert any(fnmatch(name, known) for name in shipped), known
