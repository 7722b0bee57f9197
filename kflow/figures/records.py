"""Figure records on disk: quantities, hashes, reading and writing.

A figure is a folder named by its slug with `record.json` (compared between executions),
`provenance.json` (where and when it was made: never compared), its data and its images.
"""

import contextlib
import csv
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
KINDS = ("exact", "close", "statistical", "single-run", "timing")


class RecordError(ValueError):
    """A record that is missing, incomplete, or whose files are not those it names."""


@dataclass(frozen=True)
class Quantity:
    """A named number with the rule by which a regenerated value is compared with it.

    `exact`: equal; `close`: within atol + rtol |value|; `statistical`: between `low` and `high`, a
    prediction interval from many seeds; `single-run`: shown, never compared; `timing`: the same.
    `paper` is the talk's or the paper's value and `place` says where it stands there. The bounds
    are constants of the source, never results: they must be the same on every processor.
    """

    name: str
    value: float | int
    kind: str
    rtol: float = 0.0
    atol: float = 0.0
    low: float | None = None
    high: float | None = None
    paper: float | None = None
    place: str = ""
    unit: str = ""

    def __post_init__(self):
        """Refuse what could never be compared."""
        if self.kind not in KINDS:
            raise ValueError(f"quantity {self.name}: kind {self.kind!r} is none of {KINDS}")
        numbers = (self.value, self.rtol, self.atol, self.low, self.high, self.paper)
        if not all(math.isfinite(v) for v in numbers if v is not None):
            raise ValueError(f"quantity {self.name} holds a number that is not finite: {numbers}")
        for field in ("rtol", "atol", "low", "high"):
            bound = getattr(self, field)
            if bound is not None and float(f"{bound:.6g}") != bound:
                raise ValueError(
                    f"quantity {self.name}: {field} = {bound!r} looks like a result, whose last "
                    "digits change with the processor; write a constant of at most six digits"
                )
        if self.kind == "close" and not self.rtol + self.atol > 0:
            raise ValueError(f"quantity {self.name} is close: give rtol or atol above 0")
        if self.kind == "statistical":
            if self.low is None or self.high is None:
                raise ValueError(f"quantity {self.name} is statistical: give low and high")
            if not self.low <= self.value <= self.high:
                raise ValueError(
                    f"quantity {self.name} = {self.value:g} is outside its own interval "
                    f"[{self.low:g}, {self.high:g}]"
                )

    def to_json(self) -> dict:
        """The fields that are set, without the name."""
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "name"}
        unset = {f.name: f.default for f in fields(self)}
        return {key: value for key, value in told.items() if value != unset[key]}


def from_json(name: str, fields: dict) -> Quantity:
    """The quantity that `to_json` wrote; RecordError where it is none."""
    try:
        return Quantity(name=name, **fields)
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"quantity {name} of a record is none: {error}") from error


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def write_json(path: Path, content: dict) -> None:
    """Sorted keys, two spaces, no NaN, a last newline: the same content is the same bytes.

    It is written beside and renamed: where that fails, what was there before is intact.
    """
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    beside = Path(path).with_suffix(".writing")
    try:
        beside.write_text(text + "\n", "utf-8")
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot be written, {error.strerror}", str(path)) from error


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """An empty folder, which takes the place of `folder` once it is filled.

    Where that fails the former one stays as it is.
    """
    beside, former = (folder.with_name(f".{folder.name}.{end}") for end in ("writing", "former"))
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        if folder.exists():
            os.replace(folder, former)
        os.replace(beside, folder)
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, f"cannot be written, {error.strerror}", str(folder)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def read_json(path: Path) -> dict:
    """The dict in a JSON file; RecordError where it is missing or damaged."""
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path} is missing") from None
    except (ValueError, RecursionError, OSError) as error:
        raise RecordError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise RecordError(f"{path} holds a {type(found).__name__}, not names with values")
    return found


def write_data(folder: Path, slug: str, data: dict[str, np.ndarray]) -> Path | None:
    """The plotted numbers: CSV where all are 1-D of one length, else NPZ; None without data."""
    if not data:
        return None
    shapes = {array.shape for array in data.values()}
    if len(shapes) == 1 and len(next(iter(shapes))) == 1:
        path = folder / f"{slug}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(data)
            rows.writerows(zip(*(array.tolist() for array in data.values()), strict=True))
        return path
    path = folder / f"{slug}.npz"
    np.savez_compressed(path, **data)  # type: ignore[arg-type] # its members are dated 1980: same arrays, same bytes
    return path


def load(folder: Path) -> dict:
    """A folder's record, its data checked against the hash; RecordError names what is wrong."""
    folder = Path(folder)
    path = folder / "record.json"
    record = read_json(path)
    files, data = record.get("files", {}), record.get("data", {})
    if not isinstance(files, dict) or not isinstance(data, dict):
        raise RecordError(f"{path} names no files, or no data")
    for name, expected in files.items():
        if name in ("", ".", "..") or Path(name).name != name:
            raise RecordError(f"{path} names a file outside of its folder, {name!r}")
        path, needed = folder / name, name == data.get("file")
        if not path.is_file() and not needed:
            continue  # images are not committed
        if not path.is_file():
            raise RecordError(f"{path} is missing: the data of figure {record.get('slug')!r}")
        if sha256(path) != expected:
            raise RecordError(f"{path} is not the file that its record names (SHA-256 differs)")
    return record


def quantities(record: dict) -> dict[str, Quantity]:
    """A record's quantities by name; RecordError where it has none."""
    found = record.get("quantities")
    if not isinstance(found, dict):
        raise RecordError(f"the record of {record.get('slug')!r} holds no quantities by name")
    return {name: from_json(name, fields) for name, fields in found.items()}
