"""The committed records of the runs at the talk's scale: where they are, and what a run costs."""

import json
import os
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from kflow.figures.records import read_json
from kflow.paper.experiments import EXPERIMENTS, Experiment

RECORDS = Path("book/records/paper")
DECLARED = "KFLOW_RECORDS"  # the variable that names the only records a notebook may read

NOT_ARRAYS = (
    ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


class OtherSettings(ValueError):
    """A record, or the state of a run, that was made with other settings than those asked for."""


def read_record(name: str, start: Path | None = None) -> tuple[dict, dict] | None:
    """The committed record called name, (numbers, arrays), or None where there is none.

    It is looked for in book/records/paper of the folder `start` (default: here) and its parents.
    Raises OtherSettings where it was made with other settings than those of `EXPERIMENTS`, and
    ValueError where the notebook that is executed does not declare it.
    """
    if not _declared(name):
        raise ValueError(
            f"this notebook reads the record {name!r} and does not declare it, so it would not be "
            f'executed again when that changes: figures.begin(..., records=[..., "{name}"])'
        )
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        path = folder / RECORDS / f"{name}.json"
        if path.is_file():
            numbers = read_json(path)
            if name in EXPERIMENTS:
                refuse_other_settings(path, numbers["settings"], EXPERIMENTS[name])
            return numbers, _arrays(path.with_suffix(".npz"))
    return None


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in an NPZ, none where there is no file; ValueError where it is damaged."""
    if not path.is_file():
        return {}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            return dict(found)
    except NOT_ARRAYS as error:
        raise ValueError(f"{path} is damaged: {error}; take it from the repository") from error


def _declared(name: str) -> bool:
    allowed = os.environ.get(DECLARED)
    return allowed is None or name in allowed.split(",")


def refuse_other_settings(path: Path, saved: dict, experiment: Experiment):
    """Raise OtherSettings, naming what differs; a run may have been stopped at fewer layers."""
    asked = asdict(experiment)
    default = asdict(Experiment("", 0, ()))
    names = [name for name in asked if name not in ("layers", "tables")]
    found = {name: saved.get(name, default[name]) for name in names}
    said = [f"{n} was {found[n]!r}, is now {asked[n]!r}" for n in names if found[n] != asked[n]]
    if said:
        raise OtherSettings(
            f"the record {path.name} is of another run: {'; '.join(said)}. Make it again, "
            f"make paper ONLY={path.stem}, or put it aside"
        )


def cost(layers: int, start: Path | None = None) -> str:
    """What so many layers at the talk's size take, from the fastest run that was made, in words."""
    made = [
        record[0]
        for name in EXPERIMENTS
        if _declared(name) and (record := read_record(name, start))
    ]
    if not made:
        return "hours"
    rates = [numbers["seconds_moving"] / numbers["settings"]["layers"] for numbers in made]
    rate = min(rates)
    hardware = made[rates.index(rate)]["hardware"]
    return f"about {rate * layers / 3600:.1f} hours on {hardware}"


def write(path: Path, record: dict, arrays: dict[str, np.ndarray] | None = None):
    """Write a record, and its arrays as NPZ, beside the last ones, and rename them.

    So no half of one is ever read. Raises OSError where that fails; the last ones are then intact.
    """
    beside = {path: path.with_suffix(".writing")}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrays is not None:
            beside[path.with_suffix(".npz")] = path.with_suffix(".npz.writing")
            with open(path.with_suffix(".npz.writing"), "wb") as file:
                np.savez_compressed(file, **arrays)
        beside[path].write_text(json.dumps(record, indent=1) + "\n")
        for final, written in beside.items():
            os.replace(written, final)
    except OSError as error:
        for written in beside.values():
            if written.parent.is_dir():
                written.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot be written, {error.strerror}", str(path)) from error
