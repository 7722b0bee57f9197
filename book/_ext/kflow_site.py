"""What the site needs beyond its theme: addresses stated once, buttons that work, sound markup.

Each function mends one thing and says which; the browser tests look at the results.
"""

import re
import shutil
import tomllib
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
CODE_OR_MATHS = re.compile(r"(``.+?``|`[^`]+`|\$[^$]+\$)", re.DOTALL)
SPECIAL = re.compile(r"([\\*|_])")


def addresses():
    """Read the book's and the repository's address from [project.urls]; "" where not set."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("urls", {})
    return urls.get("Homepage", "").rstrip("/"), urls.get("Repository", "").rstrip("/")


def use_addresses(app, config):
    """Make canonical links, cards and the sitemap from the one stated address, or none of them."""
    book, _ = addresses()
    config.html_baseurl = f"{book}/" if book else ""
    config.ogp_site_url = config.html_baseurl
    if book:
        config.sitemap_url_scheme = "{link}"
        config.ogp_image = "_static/card.png"


def add_buttons(app, pagename, templatename, context, doctree):
    """Offer a chapter's notebook; and to run or edit it where a repository is stated."""
    _, repository = addresses()
    pathto, buttons = context["pathto"], context["header_buttons"]
    chapter = (ROOT / "notebooks" / f"{pagename}.ipynb").is_file()
    if chapter:
        files = [("ipynb", "Jupyter notebook"), ("md", "MyST source")]
        at = [(pathto(f"notebooks/{pagename}.{end}", 1), f".{end}", say) for end, say in files]
        buttons.append(_menu("Download this chapter", "fas fa-download", at))
    owner = repository.removeprefix("https://github.com/")
    if chapter and owner != repository:
        path = quote(f"notebooks/{pagename}.ipynb")
        binder = f"https://mybinder.org/v2/gh/{owner}/main?labpath={path}"
        colab = f"https://colab.research.google.com/github/{owner}/blob/main/{path}"
        launch = [(binder, "Binder", "Run on Binder"), (colab, "Colab", "Run on Colab")]
        buttons.append(_menu("Run this chapter", "fas fa-rocket", launch))
    source = f"notebooks/{pagename}.md" if chapter else _page_source(pagename)
    if repository and source:
        edit = f"{repository}/edit/main/{source}"
        links = [(repository, "Repository", "The repository"), (edit, "Edit", "Edit this page")]
        buttons.append(_menu("Source", "fas fa-code-branch", links))


def _menu(title, icon, links):
    items = [
        {"type": "link", "url": url, "text": text, "tooltip": tip, "label": f"link-{text}"}
        for url, text, tip in links
    ]
    label = title.lower().replace(" ", "-")
    return {"type": "group", "tooltip": title, "icon": icon, "buttons": items, "label": label}


def _page_source(pagename):
    for path in (f"{pagename}.md", f"book/{pagename}.md"):
        if (ROOT / path).is_file():
            return path
    return None


def clean_scripts(app, pagename, templatename, context, doctree):
    """Leave thebe out (its script would come from elsewhere), and scripts written twice."""
    seen, kept = set(), []
    for script in context["script_files"]:
        text = str(getattr(script, "attributes", {}).get("body", "")) or ""
        name = str(getattr(script, "filename", script) or "")
        if "thebe" in name or "THEBE" in text or (name, text) in seen:
            continue
        seen.add((name, text))
        kept.append(script)
    context["script_files"] = kept


def docstring_markup(app, what, name, obj, options, lines):
    """Read our docstrings, which are Markdown: $maths$ and `code`, and otherwise plain text."""
    if lines and lines[0].startswith("Alias for field number"):  # Python's own words, of no use
        lines.clear()
    parts = CODE_OR_MATHS.split("\n".join(lines))
    for i, part in enumerate(parts):
        if part.startswith("$"):
            parts[i] = rf"\ :math:`{part[1:-1]}`\ "
        elif part.startswith("`"):
            parts[i] = rf"\ ``{part.strip('`')}``\ "
        else:
            parts[i] = SPECIAL.sub(r"\\\1", part)
    lines[:] = "".join(parts).split("\n")


BESIDE = 'role="complementary" aria-label="The book"'
# What the theme writes, and what it should have written.
MEND = (
    # icons drawn by 1.5 MB of script: the style sheet draws the same ones
    (r'\s*<script src="[^"]*fontawesome[^"]*all\.min\.js[^"]*"></script>', ""),
    (r'\s*<link rel="preload"[^>]*(?:brands|regular)-400\.woff2" />', ""),
    (r"\s*<link [^>]*sphinx-thebe\.css[^>]*/>", ""),
    (r'\s*<script type="text/x-thebe-config">[^<]*</script>', ""),
    (r"\s*<script>kernelName = [^<]*</script>", ""),
    # the page's width is said twice
    (r'\s*<meta name="viewport" content="width=device-width, initial-scale=1" ?/>', ""),
    # a name that differs from what is read on the element
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1"),
    # a role that has been withdrawn
    (r'role="doc-biblioentry"', 'role="listitem"'),
    # the corner of a table of numbers is no header of anything
    (r"<th></th>", "<td></td>"),
    # content outside of any landmark
    (r'<div class="bd-sidebar-primary', f"<div {BESIDE}" r' class="bd-sidebar-primary'),
)
NO_ADDRESS = (r'\s*<meta property="og:(?:url|image)[^>]*/>', r'\s*<link rel="canonical"[^>]*/>')
UNUSED = ("vendor/fontawesome/*/js", "sphinx-thebe.*", "vendor/fontawesome/*/webfonts/*.ttf")


def finish(app, exception):
    """Mend the markup of every page that was written, and leave out the files that none uses."""
    if exception or app.builder.format != "html":
        return
    book, _ = addresses()
    rules = [*MEND, *(() if book else ((pattern, "") for pattern in NO_ADDRESS))]
    rules = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text()
        for pattern, replacement in rules:
            text = pattern.sub(replacement, text)
        if path.name == "404.html" and book:  # it is shown at any depth of address
            text = text.replace("<head>", f'<head>\n    <base href="{book}/">', 1)
        path.write_text(_ids_once(text))
    for pattern in UNUSED:
        for path in Path(app.outdir, "_static").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _ids_once(text):
    """Keep an id at its first element only: proofs share theirs, and so do the fields of search."""
    seen = set()

    def keep(match):
        again = match[1] in seen
        seen.add(match[1])
        return "" if again else match[0]

    return re.sub(r'(?<=[\w"])\s+id="([^"]*)"(?=[^<]*>)', keep, text)


def not_found(app):
    """Write the page that a server shows for an address that does not exist."""
    yield "404", {"title": "Page not found", "body": NOT_FOUND, "pagename": "404"}, "page.html"


NOT_FOUND = """<h1>Page not found</h1>
<p>There is nothing at this address. The book begins at <a href="index.html">its cover</a>;
the <a href="search.html">search</a> finds words, theorems and figures;
<a href="genindex.html">the index</a> lists every name.</p>"""


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", use_addresses, priority=100)
    app.connect("html-page-context", add_buttons, priority=600)
    app.connect("html-page-context", clean_scripts, priority=900)
    app.connect("autodoc-process-docstring", docstring_markup)
    app.connect("html-collect-pages", not_found)
    app.connect("build-finished", finish, priority=900)
    if addresses()[0]:
        app.setup_extension("sphinx_sitemap")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
