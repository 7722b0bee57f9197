"""Regenerate the published figures and say which numbers agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kflow import checks
from kflow.figures import records
from kflow.figures.parameters import nearest
from kflow.reproduce import execution, plans
from kflow.reproduce.compare import PASSED, Row, accept, compare
from kflow.reproduce.notebooks import ExecutionFailed


@dataclass(frozen=True)
class Report:
    """Rows of the figures that were made again; names of the paper-scale records that were not."""

    rows: list[Row]
    paper: list[str]
    elsewhere: tuple[str, ...] = ()  # other machines and versions that published records come from

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return all(row.verdict in PASSED for row in self.rows)

    def to_json(self) -> dict:
        """The verdict for machines."""
        return {
            "passed": self.passed,
            "rows": [row.to_json() for row in self.rows],
            "not_re_run": self.paper,
            "published_elsewhere": list(self.elsewhere),
        }

    def table(self) -> str:
        """One line per number and, last, the verdict."""
        with checks.extra("notebooks"):
            import pandas as pd

        lines = [
            {
                "figure": row.slug,
                "quantity": row.quantity,
                "published": short(row.published),
                "regenerated": short(row.regenerated),
                "difference": short(row.difference),
                "allowed": row.allowed,
                "verdict": row.verdict,
            }
            for row in self.rows
        ]
        text = [pd.DataFrame(lines).to_string(index=False)] if lines else []
        text += [f"published on another machine: {place}" for place in self.elsewhere]
        text += [f"paper scale, {name}: not re-run here" for name in self.paper]
        wrong = [row for row in self.rows if row.verdict not in PASSED]
        figures = len({row.slug for row in self.rows})
        text.append(f"{len(self.rows)} rows of {figures} figures: {len(wrong)} differ")
        text += [f"differs: {row.slug}/{row.quantity}" for row in wrong]
        return "\n".join(text)


def short(value: object) -> str:
    """A value in few characters; nothing for None."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def published(root: Path) -> dict[str, Path]:
    """The folders of the published records by slug."""
    return {path.parent.name: path.parent for path in (root / "book/records").glob("*/record.json")}


def made(root: Path) -> dict[str, str]:
    """The chapter of every figure that a latest execution has made, by slug."""
    found: dict[str, str] = {}
    for name in plans.chapters(root):
        if last := plans.latest(name, root):
            found |= {path.name: name for path in (last.output / "figures").glob("*")}
    return found


def chapters_of(slugs: Sequence[str], root: Path) -> list[str]:
    """The notebooks that make these figures (all without names); an unknown name is refused.

    The name of a chapter stands for all its figures.
    """
    if not slugs:
        return plans.chapters(root)
    owners = made(root) | {chapter: chapter for chapter in plans.chapters(root)}
    known = published(root)
    for slug, folder in known.items():
        owners.setdefault(slug, owner(folder))
    for slug in slugs:
        if slug not in owners:
            raise ValueError(f"unknown figure {slug!r}: {nearest(slug, owners)}")
        if not owners[slug]:
            raise ValueError(f"{known[slug] / 'record.json'} is damaged: name the chapter instead")
    return sorted({owners[slug] for slug in slugs})


def verify(slugs: Sequence[str], root: Path, jobs: int = 1, progress: bool = True) -> Report:
    """Compare figures (all without slugs) with their records.

    Stale chapters are executed first, `jobs` of them at once.
    """
    rows, known, places = [], published(root), set()
    made = execution.execute_all(chapters_of(slugs, root), root=root, jobs=jobs, progress=progress)
    for chapter, done in made.items():
        owned = [s for s, folder in known.items() if owner(folder) == chapter]
        if isinstance(done, ExecutionFailed):
            rows.append(Row(chapter, "execution", "file", None, None, cause(done), "differs"))
            continue
        figures = {path.name: path for path in (done.output / "figures").glob("*")}
        for slug in sorted({*owned, *figures}):
            if slugs and not {slug, chapter} & set(slugs):
                continue
            if slug not in known:
                cure = f"no published record: python -m kflow accept {slug}"
                rows.append(Row(slug, "record", "file", None, None, cure, "differs"))
            elif slug not in figures:
                gone = f"chapter {chapter} makes it no more"
                rows.append(Row(slug, "record", "file", None, None, gone, "differs"))
            else:
                rows += compare(known[slug], figures[slug])
                places |= {place(known[slug])} - {place(figures[slug])}
    scale = [] if slugs else sorted(p.stem for p in (root / "book/records/paper").glob("*.json"))
    return Report(rows, scale, tuple(sorted(places - {""})))


def place(folder: Path) -> str:
    """Processor, instructions and torch that made a figure; "" where they can't be read."""
    try:
        origin = records.read_json(folder / "provenance.json")
        hardware, torch = origin["hardware"], origin["versions"]["torch"]
    except (records.RecordError, KeyError):
        return ""
    instructions = f" ({hardware['instructions']})" if "instructions" in hardware else ""
    return f"{hardware['cpu']}{instructions}, torch {torch}"


def sign(report: Report, root: Path) -> list[str]:
    """Note in the provenance of each figure that agrees where that was; return the slugs."""
    known, wrong = published(root), {row.slug for row in report.rows if row.verdict not in PASSED}
    signed = sorted({row.slug for row in report.rows} - wrong)
    for slug in signed:
        last = plans.latest(owner(known[slug]), root)
        assert last is not None  # it has just been compared
        origin = records.read_json(known[slug] / "provenance.json")
        here = {*origin.get("checked_on", ()), place(last.output / "figures" / slug)}
        origin["checked_on"] = sorted(here - {place(known[slug])})
        records.write_json(known[slug] / "provenance.json", origin)
    return signed


def cause(error: ExecutionFailed) -> str:
    """The cell and the error of a failed execution, on one line."""
    return " ".join(str(error).split())


def owner(folder: Path) -> str:
    """The chapter of a published record; "" where its record can't be read."""
    try:
        return records.read_json(folder / "record.json")["notebook"]
    except (records.RecordError, KeyError):
        return ""


def publish(slugs: Sequence[str], root: Path, progress: bool = True) -> list[str]:
    """Accept the records of these figures (all without slugs); return the slugs.

    Each is added to book/records/slugs.txt, the list of the addresses that must never vanish.
    """
    accepted = []
    for chapter in chapters_of(slugs, root):
        done = execution.execute(chapter, root=root, progress=progress)
        for folder in sorted((done.output / "figures").glob("*")):
            if not slugs or {folder.name, chapter} & set(slugs):
                accept(folder, root / "book/records" / folder.name)
                accepted.append(folder.name)
    released = root / "book/records/slugs.txt"
    before = released.read_text().split() if released.exists() else []
    released.write_text("\n".join(sorted({*before, *accepted})) + "\n")
    return accepted


def find(slug: str, root: Path) -> Path:
    """The folder of a figure's record: the published one, else the latest that was made."""
    known = published(root)
    if slug in known:
        return known[slug]
    chapter = chapters_of([slug], root)[0]
    if slug == chapter:
        owned = ", ".join(sorted(s for s, place in known.items() if owner(place) == slug))
        raise ValueError(f"{slug} is a chapter; cite one of its figures: {owned or 'none yet'}")
    made = plans.latest(chapter, root)
    if made is None:
        raise FileNotFoundError(f"figure {slug} has no record, and {chapter} was not executed")
    return made.output / "figures" / slug
