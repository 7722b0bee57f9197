"""Show a published figure by its slug, a number of its record, a setting; and a box to run it.

    ```{kflow-figure} flow-error-by-depth
    ```
    {number}`flow-error-by-depth/error_last|.1%`     a number of the figure's record, formatted
    {setting}`0.1`                                   a chosen value, not a result

figure_pages.py makes the pages of the figures, figure_parts.py the line below each figure.
"""

from pathlib import Path

import figure_pages
import figure_parts
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from kflow.figures import parameters, records

LOG = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
LARGEST_SVG = 150_000  # bytes: above it the PNG is shown, the SVG stays a download


class SizedImage(nodes.image):
    """An image whose tag states its `size`, so that the page does not shift when it comes."""


def visit_sized_image(translator, node):
    """Write the tag with its width and height."""
    translator.visit_image(node)
    width, height = node["size"]
    sized = f'<img width="{width}" height="{height}" '
    translator.body[-1] = translator.body[-1].replace("<img ", sized, 1)


def depart_sized_image(translator, node):
    """Leave it as any image."""
    translator.depart_image(node)


class Figure(SphinxDirective):
    """A figure: number, label, caption, both images, and the line of what can be done with it."""

    required_arguments = 1

    def run(self):
        """Build the figure node from the record that the chapter has published."""
        slug = self.arguments[0]
        try:
            figure = figure_parts.read(Path(self.env.srcdir), slug)
        except records.RecordError as error:
            return [self.state.document.reporter.warning(str(error), line=self.lineno)]
        self.env.note_dependency(str(figure.folder / "record.json"))
        shown = nodes.figure(classes=["kf-figure"])
        self.set_source_info(shown)
        images = nodes.container(classes=["kf-images"])
        ending = "png" if _svg_size(figure) > LARGEST_SVG else "svg"
        for theme, mark in (("light", ""), ("dark", "-dark")):
            name = f"{slug}{mark}.{ending}"
            image = SizedImage(
                uri=f"/_figures/{slug}/{name}",
                alt=figure.record["alt"],
                classes=[f"only-{theme}"],
                size=figure_parts.size(figure.folder / name),
            )
            images += image
            if theme == "dark":  # hidden in the light, and then not loaded
                image["loading"] = "lazy"
        if figure.record["frames"]:
            player = figure_parts.html("player", figure, "figures/")
            images += nodes.raw("", player, format="html")
        shown += images
        caption = nodes.caption("", "", nodes.strong("", figure.record["title"] + ". "))
        caption += self._inline(figure.record["caption"])
        shown += caption
        line = nodes.raw("", figure_parts.line(figure, f"figures/{slug}/"), format="html")
        shown += nodes.legend("", line)
        if _is_chapter(self.env.docname):  # elsewhere it is shown again, without a number
            shown["names"].append(nodes.fully_normalize_name(slug))
            self.state.document.note_explicit_target(shown, shown)
            figure_pages.note(self.env, slug, shown["ids"][0])
        return [shown]

    def _inline(self, markdown):
        parsed = nodes.container()
        self.state.nested_parse(StringList(markdown.splitlines(), "caption"), 0, parsed)
        paragraphs = list(parsed.findall(nodes.paragraph))
        return [child for paragraph in paragraphs for child in paragraph.children]


def _is_chapter(docname):
    return (ROOT / "notebooks" / f"{docname}.ipynb").is_file()


def _svg_size(figure):
    return (figure.folder / f"{figure.record['slug']}.svg").stat().st_size


class Gallery(SphinxDirective):
    """All figures of the book with small images and verdicts."""

    def run(self):
        """Leave a mark that is filled in when all chapters have been read."""
        return [figure_pages.gallery_mark()]


class Number(SphinxRole):
    """A quantity of a figure's record: {number}`SLUG/QUANTITY|FORMAT`."""

    def run(self):
        """Read the record; an unknown figure or quantity is a warning with the nearest name."""
        address, _, spec = self.text.partition("|")
        slug, _, name = address.partition("/")
        try:
            figure = figure_parts.read(Path(self.env.srcdir), slug)
            if name not in figure.numbers:
                close = parameters.nearest(name, figure.numbers)
                raise records.RecordError(f"figure {slug!r} has no quantity {name!r}: {close}")
            text = format(figure.numbers[name], spec or "g")
        except ValueError as error:
            return [], [self.inliner.reporter.warning(str(error), line=self.lineno)]
        self.env.note_dependency(str(figure.folder / "record.json"))
        return [_typeset(text)], []


def _typeset(text):
    mantissa, _, exponent = text.partition("e")
    number = nodes.inline("", mantissa.replace("-", "\N{MINUS SIGN}"), classes=["kf-number"])
    if int(exponent or 0):
        power = str(int(exponent)).replace("-", "\N{MINUS SIGN}")
        number += [nodes.Text(" \N{MULTIPLICATION SIGN} 10"), nodes.superscript("", power)]
    return number


class Setting(SphinxRole):
    """A value that was chosen: {setting}`0.1`."""

    def run(self):
        """Mark it as such, so that the test that looks for typed results leaves it alone."""
        return [nodes.inline("", self.text, classes=["kf-setting"])], []


def add_run_box(app, doctree):
    """End each chapter with the box that runs it at the reader's own parameters."""
    if not _is_chapter(app.env.docname):
        return
    schema = parameters.of_notebook(ROOT / "notebooks" / f"{app.env.docname}.ipynb")
    paper = (ROOT / "notebooks" / "params" / f"{app.env.docname}.paper.yml").is_file()
    box = figure_parts.run_box(app.env.docname, schema, paper)
    next(doctree.findall(nodes.section)).append(nodes.raw("", box, format="html"))


def setup(app):
    """Register with Sphinx."""
    app.add_node(SizedImage, html=(visit_sized_image, depart_sized_image))
    app.add_directive("kflow-figure", Figure)
    app.add_directive("kflow-gallery", Gallery)
    app.add_role("number", Number())
    app.add_role("setting", Setting())
    app.add_css_file("figures.css")
    app.add_js_file("figures.js", loading_method="defer")
    app.connect("doctree-read", add_run_box)
    figure_pages.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
