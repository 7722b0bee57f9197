"""Print the whole book into one PDF: the pages of the site, joined in order, through Chromium.

Numbers of figures and equations are those of the site, and links between pages stay within the PDF.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

import builder
from bs4 import BeautifulSoup

PRINTED = builder.ROOT / "_build" / "print"
PDF = builder.ROOT / "_build" / "kernel-flows.pdf"
ON_SCREEN_ONLY = {"play", "figures", "api", "changelog"}
DROPPED = (
    "script, noscript, button, dialog, .headerlink, .only-dark, .kf-line, .kf-run, .onlyprint, "
    "details.above-input, .kf-enlarge"
)  # what a page of paper can't do, and the code that a reader of the site opens on demand


def join(site, names):
    """One page of all: ids carry the name of their page, links follow them."""
    whole = BeautifulSoup((site / "index.html").read_text(), "html.parser")
    body = whole.new_tag("body")
    article = whole.new_tag("article", attrs={"class": "bd-article kf-book"})
    for name in names:
        page = BeautifulSoup((site / f"{name}.html").read_text(), "html.parser")
        part = page.select_one("article.bd-article")
        for element in part.select(DROPPED):
            element.decompose()
        for element in part.select("details"):
            element["open"] = ""
        for element in part.select("[id]"):
            element["id"] = f"{name}--{element['id']}"
        for link in part.select("a[href]"):
            _lead(link, name, names)
        part.name = "section"
        part["class"] = "kf-chapter"
        part["id"] = name
        article.append(part)
    whole.body.replace_with(body)
    body.append(article)
    for script in whole.head.select("script[src*='kflow.js'], script[src*='togglebutton']"):
        script.decompose()
    return str(whole)


def _lead(link, name, names):
    """Lead a link to its place in the PDF, to the published book, or nowhere."""
    address, anchor = urldefrag(link["href"])
    if urlsplit(address).scheme:
        return
    page = Path(address).stem if address else name
    if page in names and "/" not in address:
        link["href"] = f"#{page}--{anchor}" if anchor else f"#{page}"
    elif home := _homepage():
        link["href"] = f"{home}/{address}{'#' if anchor else ''}{anchor}"
    else:
        link.unwrap()


def _homepage():
    project = tomllib.loads((builder.ROOT / "pyproject.toml").read_text())["project"]
    return project.get("urls", {}).get("Homepage", "").rstrip("/")


def main():
    """Bring the site up to date, join its pages, print them."""
    builder.build(preview="--preview" in sys.argv[1:])
    names = [name for name in builder.pages_of_toc() if name not in ON_SCREEN_ONLY]
    shutil.rmtree(PRINTED, ignore_errors=True)
    shutil.copytree(builder.SITE, PRINTED)
    (PRINTED / "print.html").write_text(join(builder.SITE, names))
    subprocess.run(["node", builder.ROOT / "book" / "pdf.mjs", PRINTED, PDF], check=True)
    print(f"the book is printed: {PDF.relative_to(builder.ROOT)}")


if __name__ == "__main__":
    main()
