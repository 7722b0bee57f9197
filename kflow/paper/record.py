"""The committed records of the runs at the talk's scale: where they are, and what a run costs."""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from kflow.figures.provenance import duration
from kflow.figures.records import read_json
from kflow.paper.experiments import EXPERIMENTS, Experiment
from kflow.paper.seeds import rule_of

RECORDS = Path("book/records/paper")
DECLARED = "KFLOW_RECORDS"  # the variable that names the only records a notebook may read

ARITHMETIC = {  # as records call it, in the words of a figure's page
    "bf16 products, three halves": "float32, moved by products of bfloat16",
    "float32 or float64": "float32",  # before it was told apart; none of them was in float64
}
NOT_ARRAYS = (
    ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


class OtherSettings(ValueError):
    """A record, or the state of a run, that was made with other settings than those asked for."""


@dataclass(frozen=True)
class Reading:
    """What was read at a layer: test errors by N_I, and mean squared distances of test images."""

    errors: Mapping[int, float]  # the largest N_I first
    within: float  # a class
    between: float  # class means


@dataclass(frozen=True)
class Run:
    """The record of one run; `settings.layers` is how deep it got, `s` the unit of length.

    `at` has what was read, by layer in increasing order, and `arrays` the pictures and the rho of
    each layer.
    """

    name: str
    settings: Experiment
    s: float
    draws_by: str
    seconds_moving: float
    seconds_observing: float
    arithmetic: str
    hardware: str
    commit: str
    at: Mapping[int, Reading]
    arrays: Mapping[str, np.ndarray]

    @property
    def layers(self) -> list[int]:
        """The layers at which something was read, in increasing order."""
        return list(self.at)

    def errors(self, n: int, first: int = 0, last: int | None = None) -> list[float]:
        """The errors with n labelled points at the layers from first to last."""
        last = self.layers[-1] if last is None else last
        return [reading.errors[n] for k, reading in self.at.items() if first <= k <= last]


def read_run(name: str, start: Path | None = None) -> Run | None:
    """The committed record of a run, or None where there is none; see `read_record`."""
    found = read_record(name, start)
    return found and run_of(name, *found)


def run_of(name: str, numbers: Mapping, arrays: Mapping[str, np.ndarray]) -> Run:
    """A record of a run, checked; ValueError names what it lacks, or what is no error rate."""
    try:
        by_layer = sorted((int(k), found) for k, found in numbers["by_layer"].items())
        return Run(
            name,
            _settings(numbers["settings"]),
            float(numbers["settings"]["s"]),
            rule_of(numbers),
            float(numbers["seconds_moving"]),
            float(numbers["seconds_observing"]),
            _arithmetic(numbers),
            str(numbers["hardware"]),
            str(numbers["commit"]),
            {k: _reading(found) for k, found in by_layer},
            arrays,
        )
    except (KeyError, TypeError, ValueError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"the record {name}.json cannot be read: {lacks}; make it again, make paper ONLY={name}"
        ) from None


def _arithmetic(numbers: Mapping) -> str:
    said = str(numbers["arithmetic"])
    return ARITHMETIC.get(said, said)


def _settings(saved: Mapping) -> Experiment:
    """The experiment of a record; what a record older than a setting lacks has its default."""
    known = {field.name for field in fields(Experiment)}
    tables = tuple((first, last, every) for first, last, every in saved["tables"])
    return Experiment(**{k: v for k, v in saved.items() if k in known} | {"tables": tables})


def _reading(found: Mapping) -> Reading:
    sizes = sorted((int(k[6:]) for k in found if k.startswith("error_")), reverse=True)
    errors = {n: float(found[f"error_{n}"]) for n in sizes}
    for n, error in errors.items():
        if not 0 <= error <= 1:
            raise ValueError(f"error_{n} = {error} is no share of the test images")
    return Reading(errors, float(found["within"]), float(found["between"]))


def read_record(name: str, start: Path | None = None) -> tuple[dict, dict] | None:
    """The committed record called name, (numbers, arrays), or None where there is none.

    It is looked for in book/records/paper of the folder `start` (default: here) and its parents.
    Raises OtherSettings where it was made with other settings than those of `EXPERIMENTS`, and
    ValueError where the notebook that is executed does not declare it, or where it is damaged.
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
                refuse_other_settings(path, numbers.get("settings") or {}, EXPERIMENTS[name])
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
    made = [run for name in EXPERIMENTS if _declared(name) and (run := read_run(name, start))]
    if not made:
        return "hours"

    def rate(run: Run) -> float:
        """Seconds of a layer, with what it took to read errors."""
        return (run.seconds_moving + run.seconds_observing) / run.settings.layers

    fastest = min(made, key=rate)
    return f"about {duration(rate(fastest) * layers)} on {fastest.hardware}"


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
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type] # no ** in the stub
        beside[path].write_text(json.dumps(record, indent=1) + "\n")
        for final, written in beside.items():
            os.replace(written, final)
    except OSError as error:
        for written in beside.values():
            if written.parent.is_dir():
                written.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot be written, {error.strerror}", str(path)) from error
