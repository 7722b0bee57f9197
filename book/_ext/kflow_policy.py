"""A Content-Security-Policy for every page: nothing from elsewhere, no script but the theme's.

The theme's scripts stand outside the article and are allowed by the hash of their text. One that a
caption, a docstring or a record smuggles into the article is never run: what an article needs is in
files. Styles are allowed there: the maths is set by them.
"""

import base64
import hashlib
import re
from pathlib import Path

ARTICLE = re.compile(r"<article\b.*</article>", re.DOTALL)
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
DATA = re.compile(r'type="(?:application/|text/x-)')  # which no browser runs
CHARSET = re.compile(r"<meta charset=[^>]*>")
RULES = {
    "default-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}


def with_policy(page: str) -> str:
    """The HTML of a page with its policy, before anything that could be run.

    What has no head, as a part of a page that the theme keeps beside its scripts, is left alone.
    """
    scripts = {f"'sha256-{_digest(text)}'" for text in inline(ARTICLE.sub("", page))}
    rules = RULES | {"script-src": " ".join(["'self'", *sorted(scripts)])}
    content = "; ".join(f"{name} {allowed}" for name, allowed in sorted(rules.items()))
    meta = f'<meta http-equiv="Content-Security-Policy" content="{content}">'
    found = CHARSET.search(page)
    return page if found is None else f"{page[: found.end()]}\n    {meta}{page[found.end() :]}"


def inline(page: str) -> list[str]:
    """The texts of the scripts that stand in a page and that a browser runs."""
    found = SCRIPT.findall(page)
    return [text for head, text in found if "src=" not in head and not DATA.search(head)]


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def add(app, exception):
    """Give every page that was written its policy, after all else is done to it."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        path.write_text(with_policy(path.read_text()))


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", add, priority=1000)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
