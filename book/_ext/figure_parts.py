"""What is told of a figure: its numbers, its verdict, its line; and the box to run a chapter."""

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from kflow.figures import parameters, records
from kflow.reproduce import citation, compare

PUBLISHED = Path(__file__).resolve().parents[1] / "records"
LICENCE = "https://creativecommons.org/licenses/by/4.0/"
VERDICTS = {
    "agrees": "agrees with its record",
    "differs": "differs from its record",
    "silent": "no number to compare",
    "none": "no record yet",
}


@dataclass(frozen=True)
class Figure:
    """A figure that was regenerated for this build, and how it compares with its record."""

    folder: Path
    record: dict
    origin: dict
    rows: list
    verdict: str

    @property
    def numbers(self):
        """Values by name; times are in the provenance."""
        named = self.record["quantities"] | self.origin["timings"]
        return {name: fields["value"] for name, fields in named.items()}

    @property
    def quantities(self):
        """The quantities that are compared, by name."""
        return records.quantities(self.record)

    @property
    def checked_on(self):
        """Where else the numbers of the published record were made again and agreed."""
        path = PUBLISHED / self.record["slug"] / "provenance.json"
        return records.read_json(path).get("checked_on", []) if path.is_file() else []

    @property
    def licence(self):
        """The address of its licence: the book's, or that of the images which it shows."""
        return self.record.get("images", {"url": LICENCE})["url"]

    @property
    def images(self):
        """The image of each style: its theme, name, and size in pixels of a page."""
        names = {"light": f"{self.record['slug']}.png", "dark": f"{self.record['slug']}-dark.png"}
        return [(theme, name, size(self.folder / name)) for theme, name in names.items()]


def read(stage, slug):
    """A staged figure; RecordError names the nearest slug where there is none."""
    folder = stage / "_figures" / slug
    if not folder.is_dir():
        known = [path.name for path in (stage / "_figures").glob("*")]
        raise records.RecordError(
            f"no chapter has published figure {slug!r}: {parameters.nearest(slug, known)}"
        )
    record = records.load(folder)
    origin = records.read_json(folder / "provenance.json")
    if not (PUBLISHED / slug / "record.json").is_file():
        return Figure(folder, record, origin, [], "none")
    rows = compare.compare(PUBLISHED / slug, folder)
    verdict = "differs" if not compare.passed(rows) else "silent"
    if verdict == "silent" and any(row.verdict == "agrees" for row in rows):
        verdict = "agrees"
    return Figure(folder, record, origin, rows, verdict)


def size(path):
    """Width and height of an SVG or PNG in pixels of a page, which leaves room for it by them."""
    head = path.read_bytes()[:2000]
    if path.suffix == ".png":
        return struct.unpack(">II", head[16:24])
    points = re.search(rb'<svg[^>]* width="([\d.]+)pt" height="([\d.]+)pt"', head).groups()
    return tuple(round(float(length) * 4 / 3) for length in points)


def line(figure, base):
    """Cite, data, images, reproduce, record, verdict: each opens what it says.

    `base` is the address of the figure's own folder, relative to the page.
    """
    csl = json.dumps(citation.csl(figure.record, figure.origin), indent=2, ensure_ascii=False)
    return html("line", figure, base, citation.bibtex(figure.record, figure.origin), csl)


def run_box(chapter, schema, paper):
    """The parameters of a chapter as a form, and the command that the form stands for."""
    return html("run_box", chapter, [(p, _limits(p)) for p in schema.values()], paper)


def html(name, *told):
    """A macro of figures.html with what it is told, as plain text for Sphinx."""
    return str(getattr(MACROS, name)(*told))


def _limits(parameter):
    ends = {"min": parameter.low, "max": parameter.high}
    return {name: f"{end:.17g}" for name, end in ends.items() if math.isfinite(end)}


def _formulas(text):
    """Short formulas as they are typed, in italics: a figure's own page loads no MathJax."""
    return Markup(re.sub(r"\$([^$]+)\$", r"<em>\1</em>", str(escape(text))))


def _short(value):
    return f"{value:.6g}" if isinstance(value, int | float) else str(value or "")


def _joined_lines(name):
    """A template of this folder, its lines joined without the space around them."""
    return "".join(map(str.strip, (Path(__file__).parent / name).read_text("utf-8").splitlines()))


def _macros():
    """The macros of figures.html; what they are given is escaped, unless it is Markup."""
    templates = Environment(
        loader=FunctionLoader(_joined_lines), autoescape=True, undefined=StrictUndefined
    )
    templates.filters |= {"formulas": _formulas, "short": _short}
    templates.globals["verdicts"] = VERDICTS
    return templates.get_template("figures.html").module


MACROS = _macros()
