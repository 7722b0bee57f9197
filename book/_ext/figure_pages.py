"""A permanent page per figure at /figures/SLUG/, the gallery, figures/index.json for machines."""

import json
import shutil
from html import escape
from pathlib import Path

import figure_parts
from bs4 import BeautifulSoup
from docutils import nodes
from markupsafe import Markup
from PIL import Image

from kflow.figures import records
from kflow.reproduce import citation

ROOT = Path(__file__).resolve().parents[2]
SMALL = 600, 600  # pixels that an image of the gallery fits in, twice those that it takes


def note(env, slug, anchor):
    """Remember in which chapter a figure is shown; the first place counts."""
    places = env.__dict__.setdefault("kflow_places", {})
    places.setdefault(slug, (env.docname, anchor))


def gallery_mark():
    """Where the gallery will stand."""
    return nodes.container(classes=["kf-gallery-here"])


def fill_gallery(app, doctree, docname):
    """Put all figures, in the book's order, where the page asks for them."""
    for mark in doctree.findall(nodes.container):
        if "kf-gallery-here" in mark["classes"]:
            figures = [(figure, _title(app.env, figure.record["slug"])) for figure in _all(app)]
            mark += nodes.raw("", figure_parts.html("gallery", figures), format="html")


def _all(app):
    """Every staged figure, sorted by its number in the book, then by slug."""
    stage = Path(app.srcdir)
    slugs = sorted(path.name for path in (stage / "_figures").glob("*"))
    found = [figure_parts.read(stage, slug) for slug in slugs]
    return sorted(found, key=lambda f: _number(app.env, f.record["slug"]) or (10**6,))


def _number(env, slug):
    docname, anchor = getattr(env, "kflow_places", {}).get(slug, ("", ""))
    return env.toc_fignumbers.get(docname, {}).get("figure", {}).get(anchor, ())


def _title(env, slug):
    number = ".".join(map(str, _number(env, slug)))
    return f"Figure {number}" if number else "Figure"


def pages(app):
    """Write each figure's page and copy its files; write the index."""
    if app.builder.name != "html":
        return
    index = []
    for figure in _all(app):
        slug = figure.record["slug"]
        target = Path(app.outdir) / "figures" / slug
        shutil.copytree(figure.folder, target, dirs_exist_ok=True)
        for _, name, _ in figure.images:
            with Image.open(target / name) as image:
                image.thumbnail(SMALL)
                image.save(target / name.replace(".png", "-small.webp"), quality=80)
        docname, anchor = getattr(app.env, "kflow_places", {}).get(slug, ("index", ""))
        place = f"{docname}.html#{anchor}"
        index.append(_entry(app.env, figure, place))
        body = _page(app.env, figure, f"../../{place}", _caption(app, docname, anchor))
        maths = app.env.get_domain("math").data["has_equations"]
        maths[f"figures/{slug}/index"] = maths.get(docname, False)
        title = f"{_title(app.env, slug)}. {figure.record['title']}"
        context = {"title": escape(title), "body": body, "meta": {}}
        yield f"figures/{slug}/index", context, "page.html"
    if not index:
        return
    (Path(app.outdir) / "figures").mkdir(exist_ok=True)
    records.write_json(Path(app.outdir) / "figures" / "index.json", {"figures": index})
    moved = '<p>The figures are in <a href="../figures.html">the gallery</a>.</p>'
    yield "figures/index", {"title": "Figures", "body": f"<h1>Figures</h1>{moved}"}, "page.html"


def _entry(env, figure, place):
    record = figure.record
    keys = ("slug", "title", "claim", "caption", "alt", "notebook", "parameters", "seeds")
    return {key: record[key] for key in keys} | {
        "number": _title(env, record["slug"]),
        "chapter": place,
        "page": f"figures/{record['slug']}/",
        "quantities": record["quantities"],
        "files": sorted(record["files"]),
        "verdict": figure.verdict,
    }


def _caption(app, docname, anchor):
    """The caption as the chapter shows it, as HTML; its links stay behind."""
    for figure in _resolved(app, docname).findall(nodes.figure):
        if anchor in figure["ids"]:
            caption = next(figure.findall(nodes.caption)).deepcopy()
            for link in list(caption.findall(nodes.reference)):
                link.replace_self(link.children)
            paragraph = nodes.paragraph("", "", *caption.children)
            return app.builder.render_partial(paragraph)["fragment"]
    return ""


def _resolved(app, docname):
    kept = app.env.__dict__.setdefault("kflow_resolved", {})
    if docname not in kept:
        kept[docname] = app.env.get_and_resolve_doctree(docname, app.builder)
    return kept[docname]


def _page(env, figure, place, caption):
    record, slug = figure.record, figure.record["slug"]
    told = citation.facts(record, figure.origin)
    linked = {
        "@context": "https://schema.org",
        "@type": "ImageObject",
        "name": record["title"],
        "identifier": slug,
        "caption": " ".join(BeautifulSoup(caption, "html.parser").get_text().split()),
        "description": record["claim"],
        "contentUrl": f"{told['url']}{slug}.svg",
        "encodingFormat": "image/svg+xml",
        "license": figure.licence,
        "isPartOf": {"@type": "Book", "name": "Kernel Flows"},
    }
    if told["author"]:
        linked["author"] = {"@type": "Organization", "name": told["author"]}
    if told["date"]:
        linked["dateCreated"] = told["date"]
    if record["data"]["file"]:
        linked["associatedMedia"] = {
            "@type": "DataDownload",
            "contentUrl": f"{told['url']}{record['data']['file']}",
            "sha256": record["files"][record["data"]["file"]],
        }
    script = json.dumps(linked, ensure_ascii=False).replace("</", "<\\/")
    parts = (caption, figure_parts.line(figure, ""), script)
    return figure_parts.html("page", figure, _title(env, slug), place, *map(Markup, parts))


def setup(app):
    """Register with Sphinx."""
    app.connect("doctree-resolved", fill_gallery)
    app.connect("html-collect-pages", pages)
