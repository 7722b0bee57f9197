"""What a run will cost, from what the same notebook has cost before."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kflow.figures.parameters import Schema
from kflow.reproduce import plans

SIZES = re.compile(r"n|n_.*|.*layers.*|rounds|samples|draws|steps|games|repeats")


class Cost(NamedTuple):
    """Seconds and megabytes, None where nothing is known; `scaled` are the sizes that differ."""

    seconds: float | None
    megabytes: float | None
    scaled: list[str]

    def sentence(self) -> str:
        """The estimate and what it rests on."""
        if self.seconds is None:
            return "cost: unknown, this notebook has not been executed here before"
        rest = f"in proportion to {', '.join(self.scaled)}" if self.scaled else "as the last run"
        memory = f" and {self.megabytes:.0f} MB" if self.megabytes else ""
        return f"cost: about {duration(self.seconds)}{memory} ({rest})"


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def estimate(name: str, schema: Schema, values: Mapping, root: Path) -> Cost:
    """Time in proportion to every size that is changed, memory in proportion to numbers of points.

    Sizes are the whole numbers called n, n_..., layers, rounds and so on. What is scaled is the
    last execution at the defaults, or else the published records of the chapter.
    """
    seconds, megabytes = _before(name, root)
    time = memory = 1.0
    scaled = []
    for key, parameter in schema.items():
        if parameter.kind == "int" and SIZES.fullmatch(key) and values[key] != parameter.default:
            factor = values[key] / max(parameter.default, 1)
            time *= factor
            memory *= max(factor, 1.0) if key.startswith("n") else 1.0
            scaled.append(key)
    return Cost(seconds and seconds * time, megabytes and megabytes * memory, scaled)


def _before(name: str, root: Path) -> tuple[float | None, float | None]:
    last = plans.latest(name, root)
    folders = [root / "book/records"] if last is None else [last.output / "figures"]
    seconds, megabytes = (last.seconds if last else None), None
    for path in folders[0].glob("*/provenance.json"):
        record = json.loads((path.parent / "record.json").read_text())
        if record["notebook"] == name:
            origin = json.loads(path.read_text())
            megabytes = max(megabytes or 0, origin["peak_memory_mb"])
            seconds = last.seconds if last else max(seconds or 0, origin["seconds"])
    return seconds, megabytes
