"""The committed records of what was tried: book/records/stress/PART.json."""

import json
from pathlib import Path

from kflow.figures import provenance
from tests.stress.tally import Tally

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "book/records/stress"


def write(part: str, tally: Tally, seconds: float, **more) -> Path:
    """Write what came of a part, with its seed, versions and machine."""
    told = {
        "part": part,
        "seed": tally.seed,
        "tried": tally.total,
        "counts": {name: dict(sorted(kinds.items())) for name, kinds in tally.counts.items()},
        "found": list(tally.found.values()),
    }
    return save(part, told | more, seconds)


def save(part: str, told: dict, seconds: float) -> Path:
    """Write facts as the record of a part, with the time they took, versions and machine."""
    told |= {
        "seconds": round(seconds),
        "commit": provenance.commit()["id"],
        "versions": provenance.versions(),
        "cpu": provenance.hardware()["cpu"],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{part}.json"
    path.write_text(json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    return path
