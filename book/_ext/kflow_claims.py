"""The claims of the source against our numbers: {kflow-claims} PART, generated from the records."""

import tomllib
from pathlib import Path
from statistics import fmean, stdev

import figure_parts
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from kflow import paper
from kflow.paper import report

RECORDS = Path(__file__).resolve().parents[1] / "records"
CLAIMS = RECORDS / "claims.toml"
HEAD = ("claim", "the source says", "ours", "verdicts", "would be refuted by")
OUTSIDE = "an average outside of the talk's range"
OURS = {
    "differs": "**differs**",
    "none": "no record yet",
    "agrees": "agrees",
    "silent": "no number to compare",
}


class Claims(SphinxDirective):
    """A table of claims: `questions`, `theory`, `roll`, `images`, `tables` or `abstract`."""

    required_arguments = 1

    def run(self):
        """Build the table; it is made again when a record or the list of claims changes."""
        part = self.arguments[0]
        told = tomllib.loads(CLAIMS.read_text())
        self.env.note_dependency(str(CLAIMS))
        stage = Path(self.env.srcdir)
        if part == "tables":
            rows = [(table_row(stage, t, r), OUTSIDE) for t in told["table"] for r in talk_rows(t)]
        else:
            claims = [claim for claim in told["claim"] if claim["part"] == part]
            rows = [(claim_row(stage, c), c.get("refuted", "–")) for c in claims]
        lines = ["````{list-table}", ":header-rows: 1", ":class: kf-claims"]
        lines += [":widths: 22 15 28 19 16", ""]
        lines += [f"{'* ' if cell is HEAD[0] else '  '}- {cell}" for cell in HEAD]
        for (claim, talk, ours, how, record, source), refuted in rows:
            lines += [f"* - {claim}", f"  - {talk}", f"  - {ours}", "", f"    {how}"]
            lines += [f"  - *our record*: {record}", "", f"    *the source*: {source}"]
            lines += [f"  - {refuted}"]
        box = nodes.container(classes=["kf-scroll"])
        self.state.nested_parse(StringList([*lines, "````"], "claims"), 0, box)
        return [box]


def staged(stage, slugs):
    """The figures among `slugs` that the chapters of this copy have made."""
    return [figure_parts.read(stage, s) for s in slugs if (stage / "_figures" / s).is_dir()]


def claim_row(stage, claim):
    """One claim: the cells of its row."""
    name = f"**{claim['id']}** " if "id" in claim else ""
    cells = [name + claim["text"], claim["talk"]]
    shown = staged(stage, claim.get("figures", []))
    large = paper_run(claim["experiment"]) if "experiment" in claim else None
    if not shown and not large:
        if "missing" in claim:
            return [*cells, "–", claim["missing"], "–", "–"]
        return [*cells, "not run", why_not(claim), "–", "not run"]
    by_slug = {figure.record["slug"]: figure for figure in shown}
    ours = ", ".join(f"{{numref}}`{slug}`" for slug in by_slug)
    verdict = claim.get("missing", "shown; the source gives no number to compare")
    slug, _, quantity = claim.get("number", "").partition("/")
    if slug in by_slug and quantity in by_slug[slug].numbers:
        value = by_slug[slug].numbers[quantity]
        rule = by_slug[slug].record["quantities"].get(quantity, {})
        ours = f"{{numref}}`{slug}`: {in_unit(claim, value)}, {claim['judged']}"
        if "low" in rule:
            low, high = in_unit(claim, rule["low"]), in_unit(claim, rule["high"])
            ours += f"; the check of our record accepts {low} to {high}"
        if others := [s for s in by_slug if s != slug]:
            ours += "; also " + ", ".join(f"{{numref}}`{s}`" for s in others)
        verdict = judge(claim, value, by_slug[slug].numbers)
    if "experiment" in claim:
        judged = verdict if "number" in claim and slug in by_slug else ""
        verdict = "; ".join([judged] * bool(judged) + [scale_verdict(claim, large)])
        reached = [f"{large.settings.layers} layers at the talk's size"] if large else []
        ours = "; ".join([ours] * bool(ours) + reached)
    leading = slug if slug in by_slug else next(iter(by_slug), "-paper-")
    how = paper_settings(large) if large and "-paper-" in leading else settings(by_slug[leading])
    return [*cells, ours, how, records_verdict(shown), verdict]


def why_not(claim):
    """Why nothing is shown: a run at the talk's size that costs too much, or no figure."""
    if "experiment" in claim:
        return f"a run of {claim['layers']} layers takes {paper.cost(claim['layers'], RECORDS)}"
    return f"no figure {', '.join(claim.get('figures', []))} in this copy of the book"


def in_unit(claim, value):
    """A number in the unit of its claim, to three digits."""
    return f"{100 * value:.3g} %" if claim.get("unit") == "%" else f"{value:.3g}"


def judge(claim, value, numbers):
    """Whether our number bears the claim out, by the rule that the claim states."""
    agrees = f"agrees in part: {claim['partly']}" if "partly" in claim else "agrees"
    if "smaller_than" in claim:
        other = numbers[claim["smaller_than"]]
        return f"{agrees if value < other else '**differs**'}; below {in_unit(claim, other)}"
    if "larger_than" in claim:
        other = numbers[claim["larger_than"]]
        return f"{agrees if value > other else '**differs**'}; above {in_unit(claim, other)}"
    low, high = claim["expect"] if "expect" in claim else talk_range(*claim["range_of"])
    inside = agrees if low <= value <= high else "**differs**"
    return (
        f"{inside}: {f'from {in_unit(claim, low)} to' if low else 'at most'} {in_unit(claim, high)}"
    )


def talk_range(table, n):
    """The least and the largest error of the talk's table with n labelled points."""
    return report.talk(table).loc[n, ["min", "max"]]


def scale_verdict(claim, large):
    """A claim about depth: run at the talk's size or not, and what a run costs."""
    if large and large.settings.layers >= claim["layers"]:
        return "shown at the talk's size"
    took = paper.cost(claim["layers"], RECORDS)
    if not large:
        return f"not run: {claim['layers']} layers would take {took}"
    return f"run to {large.settings.layers} of {claim['layers']} layers; all would take {took}"


def paper_run(experiment):
    """The record of a run at the talk's size; None without one."""
    return paper.read_run(experiment, RECORDS)


def talk_rows(table):
    """The talk's table: N_I, and its average, least and largest value and standard deviation."""
    return report.talk(table["name"]).reset_index().values.tolist()


def table_row(stage, table, row):
    """One row of a table of errors: the talk's four numbers, ours, and the verdict."""
    n, *talk = int(row[0]), *row[1:]
    cells = [f"**table {table['name']}**, $N_I$ = {n}", numbers(talk)]
    run = paper_run(table["experiment"])
    if run is None:
        return [*cells, *book_cells(stage, table, n)]
    ranges = [table["layers"], *([table["deepest"]] if "deepest" in table else [])]
    ranges += [[first, last] for first, last, _ in reversed(run.settings.tables)]
    reached = [
        (at, found)
        for at in ranges
        if len(found := run.errors(n, *at)) > 1 and at[1] <= run.settings.layers
    ]
    if not reached:
        return [*cells, *book_cells(stage, table, n)]
    (first, last), found = reached[0]
    mean = fmean(found)
    if n in table.get("no_verdict", []):
        verdict = f"no verdict: {table['because']}"
    elif talk[1] <= mean <= talk[2]:
        verdict = "agrees: within the talk's range"
    else:
        verdict = f"**differs**, {'below' if mean < talk[1] else 'above'} the talk's range"
    verdict += f"; {(mean - talk[0]) / talk[3]:+.1f} of its standard deviations"
    if [first, last] != table["layers"]:
        verdict = f"not run to layer {table['layers'][1]}; at layers {first} to {last}: {verdict}"
    how = f"{run.name}: {paper_settings(run)}; {len(found)} layers from {first} to {last}"
    ours = numbers([mean, min(found), max(found), stdev(found)])
    return [*cells, ours, how, "not re-run here", verdict]


def numbers(four):
    """Average, least, largest, standard deviation of a row, in percent."""
    mean, low, high, spread = (100 * value for value in four)
    return f"{mean:.4g} % ({low:.4g} to {high:.4g}, standard deviation {spread:.2g})"


def book_cells(stage, table, n):
    """Our small run, where there is none at the talk's size: shown, and not compared."""
    figures = staged(stage, [table["book"]])
    name = f"last_{n}"
    at_size = paper.cost(table["layers"][1], RECORDS)
    if not figures or name not in figures[0].numbers:
        return ["not run", f"a run at this size: {at_size}", "–", "not run"]
    ours = f"{100 * figures[0].numbers[name]:.3g} % at a small scale, {{numref}}`{table['book']}`"
    how = f"{settings(figures[0])}; at the talk's size: {at_size}"
    return [ours, how, records_verdict(figures), "not run at this size"]


def records_verdict(figures):
    """The worst verdict of some figures against their records."""
    found = {figure.verdict for figure in figures}
    return next((OURS[v] for v in OURS if v in found), "not re-run here")


def settings(figure):
    """Scale, seeds and machine of a figure of a chapter."""
    record, machine = figure.record, figure.origin["hardware"]
    scale = ", ".join(
        f"{k} {v}" for k, v in record["parameters"].items() if isinstance(v, int) and k != "seed"
    )
    seeds = ", ".join(map(str, record["seeds"])) or "none"
    return f"book scale: {scale or 'fixed'}; seeds {seeds}; {machine['cpu']}"


def paper_settings(run):
    """Scale, seed and machine of a run at the talk's size."""
    of = run.settings
    return f"60000 points, {of.n_fine} a game, {of.layers} layers; seed {of.seed}; {run.hardware}"


def setup(app):
    """Register with Sphinx."""
    app.add_directive("kflow-claims", Claims)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
