"""The markup around a figure: the line below it, its player; and the box to run a chapter."""

import json
import re
import struct
from dataclasses import dataclass
from html import escape
from pathlib import Path

from kflow.figures import parameters, records
from kflow.reproduce import citation, compare

PUBLISHED = Path(__file__).resolve().parents[1] / "records"
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
    record, origin, slug = figure.record, figure.origin, figure.record["slug"]
    cite = _copied(citation.bibtex(record, origin), "BibTeX") + _copied(
        json.dumps(citation.csl(record, origin), indent=2, ensure_ascii=False), "CSL-JSON"
    )
    images = "".join(
        f'<a href="{base}{slug}.{kind}" download aria-label="{kind.upper()} of {slug}">'
        f"{kind.upper()}</a>"
        for kind in ("svg", "pdf", "png")
    )
    parts = [
        _panel(slug, "Cite", cite),
        _panel(slug, "Data", _data(record, base)),
        images,
        _panel(slug, "Reproduce", _reproduce(record)),
        _panel(slug, "Record", _record(record, origin, base)),
        _panel(slug, VERDICTS[figure.verdict], verdict_table(figure), f" kf-{figure.verdict}"),
    ]
    group = f'role="group" aria-label="Cite, download or reproduce figure {slug}"'
    return f'<div class="kf-line" {group}>{"".join(parts)}</div>'


def _panel(slug, name, body, kind=""):
    return (
        f'<details class="kf-panel{kind}" name="kf-{slug}"><summary>{name}</summary>'
        f"<div>{body}</div></details>"
    )


def _copied(text, name):
    return (
        f'<div class="kf-copied"><span>{name}</span>'
        f'<button type="button" class="kf-copy" aria-label="Copy {name}">Copy</button>'
        f'<pre tabindex="0">{escape(text)}</pre></div>'
    )


def _data(record, base):
    name = record["data"]["file"]
    if not name:
        return "<p>This figure is a drawing: it plots no data.</p>"
    columns = "".join(
        f"<dt><code>{escape(key)}</code></dt><dd>{_plain(text)}</dd>"
        for key, text in record["data"]["columns"].items()
    )
    digest = record["files"][name]
    return (
        f'<p><a href="{base}{name}" download>{name}</a>, every plotted number</p>'
        f"<dl>{columns}</dl><p>SHA-256 <code>{digest}</code></p>"
    )


def _plain(text):
    """Short formulas as they are typed, in italics: a figure's own page loads no MathJax."""
    return re.sub(r"\$([^$]+)\$", r"<em>\1</em>", escape(text))


def _reproduce(record):
    return (
        "<p>In a clone of the repository, with the package installed, this makes the figure again "
        "and compares its numbers with the published ones:</p>"
        + _copied(f"python -m kflow verify {record['slug']}", "Command")
    )


def _record(record, origin, base):
    settings = "".join(
        f"<dt><code>{escape(key)}</code></dt><dd>{escape(str(value))}</dd>"
        for key, value in record["parameters"].items()
    )
    commit, machine = origin["commit"], origin["hardware"]
    state = "with uncommitted changes" if commit["dirty"] else "as committed"
    made = f"<code>{commit['id'][:12]}</code>, {state}" if commit["id"] else "unknown"
    seeds = ", ".join(map(str, record["seeds"])) or "none"
    return (
        f'<p><a href="{base}index.html">Page of this figure</a> · '
        f'<a href="{base}record.json">record.json</a> · '
        f'<a href="{base}provenance.json">provenance.json</a></p>'
        f"<p>{escape(record['claim'])}</p><dl>{settings}"
        f"<dt>seeds</dt><dd>{seeds}</dd>"
        f"<dt>numbers</dt><dd>{record['dtype']} on {record['device']}</dd>"
        f"<dt>source</dt><dd>{made}</dd>"
        f"<dt>machine</dt><dd>{escape(machine['cpu'])}, {machine['threads']} threads</dd>"
        f"{_checked(record['slug'])}"
        f"<dt>chapter so far</dt><dd>{origin['seconds']:.0f} s</dd></dl>"
    )


def _checked(slug):
    """Where else the numbers of the published record were made again and agreed."""
    path = PUBLISHED / slug / "provenance.json"
    places = records.read_json(path).get("checked_on", []) if path.is_file() else []
    return f"<dt>also agreed on</dt><dd>{escape('; '.join(places))}</dd>" if places else ""


def verdict_table(figure):
    """The comparison of a figure with its published record, and with the paper's values."""
    slug = figure.record["slug"]
    command = f"<code>python -m kflow accept {slug}</code>"
    if figure.verdict == "none":
        return f"<p>No record of this figure is published yet; {command} publishes one.</p>"
    if not figure.rows:
        return "<p>This figure states no number; its settings are those of its record.</p>"
    columns = ("quantity", "published", "regenerated", "allowed", "verdict")
    head = "".join(f'<th scope="col">{name}</th>' for name in columns)
    body = "".join(
        f'<tr class="kf-{row.verdict}"><th scope="row">{escape(row.quantity)}</th>'
        f"<td>{_short(row.published)}</td><td>{_short(row.regenerated)}</td>"
        f"<td>{escape(row.allowed)}</td><td>{row.verdict}</td></tr>"
        for row in figure.rows
    )
    paper = "".join(
        f"<p>{escape(name)}: {_short(q.value)} here, {_short(q.paper)} in the source"
        f"{' (' + escape(q.place) + ')' if q.place else ''}.</p>"
        for name, q in records.quantities(figure.record).items()
        if q.paper is not None
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="kf-scroll" tabindex="0">{table}</div>{paper}'


def _short(value):
    return f"{value:.6g}" if isinstance(value, int | float) else escape(str(value or ""))


def player(figure, base):
    """Play, pause and a slider over the frames of an animation; figures.js brings it to life."""
    slug, n = figure.record["slug"], figure.record["frames"]
    return (
        f'<div class="kf-player" data-frames="{base}{slug}/{slug}" data-n="{n}" hidden>'
        f'<button type="button" aria-label="Play {slug}">Play</button>'
        f'<input type="range" min="0" max="{n - 1}" value="{n - 1}" aria-label="Frame of {slug}">'
        "</div>"
    )


def run_box(chapter, schema, paper):
    """The parameters of a chapter as a form, and the command that the form stands for."""
    rows = "".join(_field(chapter, parameter) for parameter in schema.values())
    form = (
        '<div class="kf-scroll" tabindex="0"><table><thead><tr><th scope="col">parameter</th>'
        '<th scope="col">value</th><th scope="col">allowed</th><th scope="col">meaning</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
    command = f"python -m kflow run {chapter}"
    commands = _copied(command, "kflow") + _copied(
        f"papermill notebooks/{chapter}.ipynb out.ipynb", "papermill"
    )
    if paper:
        commands += _copied(f"{command} --paper", "The paper's scale")
    return (
        f'<details class="kf-run" data-chapter="{chapter}"><summary>Run it yourself</summary>'
        "<p>Change a value and the commands follow; they refuse an unknown name and a value "
        "outside its range, and say what a run will cost before it begins.</p>"
        f"<form>{form}</form>{commands}</details>"
    )


def _field(chapter, p):
    name, default = f"kf-{chapter}-{p.name}", escape(str(p.default))
    common = f'id="{name}" name="{p.name}" data-default="{default}"'
    options = p.choices or (("True", "False") if p.kind == "bool" else ())
    if options:
        chosen = str(p.default)
        items = "".join(
            f"<option{' selected' if o == chosen else ''}>{escape(o)}</option>" for o in options
        )
        field = f"<select {common}>{items}</select>"
    else:
        step = "1" if p.kind == "int" else "any"
        limits = f' min="{p.low:.17g}"' if p.low > -float("inf") else ""
        limits += f' max="{p.high:.17g}"' if p.high < float("inf") else ""
        field = f'<input type="number" {common} value="{default}" step="{step}"{limits}>'
    return (
        f'<tr><th scope="row"><label for="{name}"><code>{p.name}</code></label></th>'
        f"<td>{field}</td><td>{escape(p.allowed)}</td><td>{escape(p.meaning)}</td></tr>"
    )
