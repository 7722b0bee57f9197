"""What a run will cost, from what the same notebook has cost before."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from kflow.figures.parameters import Schema
from kflow.figures.provenance import duration
from kflow.figures.shares import Shares
from kflow.reproduce import plans


class Cost(NamedTuple):
    """Seconds and megabytes, None where nothing is known; `scaled` are the sizes that differ."""

    seconds: float | None
    megabytes: float | None
    scaled: list[str]

    def sentence(self) -> str:
        """The estimate and what it rests on."""
        if self.seconds is None:
            return "cost: unknown, this notebook has not been executed here before"
        rest = (
            f"from the last run, by the shares of {', '.join(self.scaled)}"
            if self.scaled
            else "as the last run"
        )
        memory = f" and {self.megabytes:.0f} MB" if self.megabytes else ""
        return f"cost: about {duration(self.seconds)}{memory} ({rest})"


def estimate(name: str, schema: Schema, values: Mapping, root: Path) -> Cost:
    """Time and memory by the shares that the parameters declare; what is fixed stays.

    A share s of a parameter that is changed by a factor f counts as 1 - s + s f; those of one part
    of the run are multiplied, and what the parts change is added. What is scaled is the last
    execution at the defaults, or else the published records of the chapter.
    """
    seconds, megabytes = _before(name, root)
    time: dict[str, float] = {}
    memory: dict[str, float] = {}
    scaled = []
    for key, p in schema.items():
        if p.default and p.shares != Shares():
            factor = p.shares.factor(float(values[key]), float(p.default))
            part = p.shares.part or key
            time[part] = time.get(part, 1.0) * (1 + p.shares.time * (factor - 1))
            memory[part] = memory.get(part, 1.0) * (1 + p.shares.memory * (factor - 1))
            scaled += [key] * (factor != 1)
    changes = [1 + sum(part - 1 for part in parts.values()) for parts in (time, memory)]
    return Cost(seconds and seconds * changes[0], megabytes and megabytes * changes[1], scaled)


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
