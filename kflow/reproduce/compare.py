"""Compare a regenerated figure with its published record: numbers, never pixels."""

from dataclasses import asdict, dataclass
from pathlib import Path

from kflow.figures import records
from kflow.figures.records import Quantity, RecordError

SETTINGS = ("notebook", "parameters", "seeds", "dtype")
PASSED = ("agrees", "not compared")


@dataclass(frozen=True)
class Row:
    """One compared number: `verdict` is "agrees", "not compared" or "differs"."""

    slug: str
    quantity: str
    kind: str
    published: object
    regenerated: object
    allowed: str
    verdict: str

    @property
    def difference(self) -> float | None:
        """Regenerated minus published."""
        before, after = self.published, self.regenerated
        if isinstance(before, int | float) and isinstance(after, int | float):
            return after - before
        return None

    def to_json(self) -> dict:
        """All fields and the difference."""
        return asdict(self) | {"difference": self.difference}


def allowed(q: Quantity) -> str:
    """The rule of a quantity, in words short enough for a table."""
    if q.kind == "close":
        return f"within {q.atol + q.rtol * abs(q.value):.2g}"
    if q.kind == "statistical":
        return f"{q.low:.4g} to {q.high:.4g}"
    return {"exact": "equal", "single-run": "one seed, not compared"}[q.kind]


def holds(q: Quantity, value: float, altered: bool = False) -> bool:
    """Whether a regenerated `value` fits the published quantity; an `altered` one must be equal."""
    if altered or q.kind == "exact":
        return value == q.value
    if q.kind == "close":
        return abs(value - q.value) <= q.atol + q.rtol * abs(q.value)
    if q.low is None or q.high is None:
        return q.kind == "single-run"
    return q.low <= value <= q.high


def compare(published: Path, regenerated: Path) -> list[Row]:
    """Rows for one figure, from its two folders; a damaged record is a row that differs.

    Where record.json is not the file that was accepted (its hash is in provenance.json), every
    value must equal the regenerated one: a number falsified within its tolerance is found.
    """
    slug = regenerated.name
    try:
        old, new = records.load(published), records.load(regenerated)
        before, after = records.quantities(old), records.quantities(new)
        digest = records.read_json(published / "provenance.json").get("record")
    except ValueError as error:
        return [Row(slug, "record", "file", None, None, str(error), "differs")]
    altered = digest != records.sha256(published / "record.json")
    rows = []
    if altered:
        note = "record.json was changed after it was accepted"
        rows.append(Row(slug, "record", "file", None, None, note, "differs"))
    for key in SETTINGS:
        if old[key] != new[key]:
            rows.append(Row(slug, key, "setting", old[key], new[key], "equal", "differs"))
    for name, q in before.items():
        if name not in after:
            rows.append(Row(slug, name, q.kind, q.value, None, allowed(q), "differs"))
            continue
        value = after[name].value
        passed = "not compared" if q.kind == "single-run" else "agrees"
        same_rule = _rule(q) == _rule(after[name])
        verdict = passed if same_rule and holds(q, value, altered) else "differs"
        rule = allowed(q) if same_rule else f"{allowed(q)}; now {allowed(after[name])}"
        rows.append(Row(slug, name, q.kind, q.value, value, rule, verdict))
    rows += [
        Row(slug, name, q.kind, None, q.value, "not in the record", "differs")
        for name, q in after.items()
        if name not in before
    ]
    return rows


def _rule(q: Quantity) -> tuple:
    return q.kind, q.rtol, q.atol, q.low, q.high, q.paper


def passed(rows: list[Row]) -> bool:
    """Whether nothing differs."""
    return all(row.verdict in PASSED for row in rows)


def accept(regenerated: Path, published: Path) -> None:
    """Publish a figure's record: its two files and its data, not its images."""
    record = records.load(regenerated)
    if record["derived_from"]:
        raise RecordError(
            f"figure {record['slug']!r} was made with other parameters ({record['changed']}): "
            "only a run at the notebook's defaults can be the published record"
        )
    published.mkdir(parents=True, exist_ok=True)
    checked_on = _checked_on(published, regenerated)
    for path in published.iterdir():
        path.unlink()
    names = ["record.json"] + [n for n in [record["data"]["file"]] if n]
    for name in names:
        (published / name).write_bytes((regenerated / name).read_bytes())
    origin = records.read_json(regenerated / "provenance.json")
    origin["record"] = records.sha256(published / "record.json")
    if checked_on:
        origin["checked_on"] = checked_on
    records.write_json(published / "provenance.json", origin)


def _checked_on(published: Path, regenerated: Path) -> list[str]:
    """Where the published numbers were checked before, if the new ones are the same."""
    if not (published / "record.json").exists():
        return []
    old, new = (records.read_json(folder / "record.json") for folder in (published, regenerated))
    if any(old[key] != new[key] for key in (*SETTINGS, "quantities")):
        return []
    return records.read_json(published / "provenance.json").get("checked_on", [])
