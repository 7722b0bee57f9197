"""What was tried to break kflow, from the committed records: {kflow-reliability} PART."""

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

RECORDS = Path(__file__).resolve().parents[1] / "records/stress"
COUNTED = ("inputs", "files", "faults", "endurance")
KINDS = {  # how a record calls what came of a case, and what a row counts
    "checked": "right by an independent formula",
    "right": "as documented",
    "refused": "refused with a message of kflow's",
    "done": "over before it",
}


class Reliability(SphinxDirective):
    """A table: one of TABLES, or the counts of a part by what was tried."""

    required_arguments = 1

    def run(self):
        """Build the table; it is made again when a record changes."""
        part = self.arguments[0]
        for path in sorted(RECORDS.glob("*.json")):
            self.env.note_dependency(str(path))
        head, rows = TABLES[part]() if part in TABLES else counts(part)
        if not rows:
            rows = [["not made yet", *[""] * (len(head) - 1)]]
        lines = ["````{list-table}", ":header-rows: 1", ""]
        for row in [head, *rows]:
            lines += [f"{'* ' if k == 0 else '  '}- {cell}" for k, cell in enumerate(row)]
        names = ["kf-tests"] if part in ("mended", "held") else []  # of tests, which are long
        box = nodes.container(classes=["kf-scroll", *names])
        self.state.nested_parse(StringList([*lines, "````"], "reliability"), 0, box)
        return [box]


def read(part):
    """The record of a part; None where it was not made."""
    path = RECORDS / f"{part}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def summary():
    """One row for each part: how often, with which seed, what it found, where."""
    rows = []
    for part in COUNTED:
        told = read(part)
        if told:
            cost = f"{told['seconds'] / 60:.0f} minutes on {told['cpu']}"
            rows.append([part, told["tried"], told["seed"], len(told["found"]), cost])
            rows += [
                [f"{part}, before the last cures", run["tried"], run["seed"], run["found"], "–"]
                for run in told.get("earlier", [])
            ]
    return ["part", "cases", "seed", "kinds of faults", "time"], rows


def counts(part):
    """How often each thing of a part was tried, and what came of it."""
    told = read(part)
    kinds = [k for k in KINDS if told and any(k in found for found in told["counts"].values())]
    head = ["what", "cases", *(KINDS[k] for k in kinds), "faults"]
    if not told:
        return head, []
    rows = [
        [plain(name), sum(found.values()), *(found.get(k, 0) for k in kinds), found.get("found", 0)]
        for name, found in sorted(told["counts"].items())
    ]
    return head, rows


def mended():
    """The faults that were found before the counts above, each with its cure and its test."""
    return ["what was found", "what holds now", "a test that fails without it"], _handled("found")


def held():
    """The faults that were handled from the start."""
    return ["what may happen", "what holds", "a test that fails without it"], _handled("held")


def _handled(name):
    faults = [f for f in (read("handled") or {"faults": []})["faults"] if name in f]
    return [[plain(f[name]), plain(f["cure"]), plain(f["test"])] for f in faults]


def mutation():
    """How many mutants of each module a test killed, and how many are accepted with a reason."""
    told = read("mutation")
    head = ["module", "mutants", "killed", "share", "accepted"]
    if not told:
        return head, []
    rows = [
        [
            f"`{name}`",
            m["mutants"],
            m["killed"],
            f"{m['killed'] / max(1, m['mutants']):.1%}",
            sum(bool(survivor["reason"]) for survivor in m["survivors"]),
        ]
        for name, m in told["modules"].items()
    ]
    return head, rows


def plain(text):
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|$" else c for c in str(text))


TABLES = {"summary": summary, "mended": mended, "held": held, "mutation": mutation}


def setup(app):
    """Register with Sphinx."""
    app.add_directive("kflow-reliability", Reliability)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
