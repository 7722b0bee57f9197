"""Which executions of the notebooks there are, and what each depends on.

An execution is addressed by what it depends on: the notebook's code cells, its parameters, the
modules of `kflow` that it imports, the paper-scale records that it declares, the pinned versions.
While none of these changes, nothing is executed again; prose is taken from the current source.
"""

import hashlib
import json
import os
import platform
from dataclasses import dataclass, field, replace
from pathlib import Path

import kflow
from kflow.paper.record import RECORDS
from kflow.reproduce import dependencies
from kflow.reproduce.notebooks import code, read, tags, take_prose

__all__ = ["Execution", "chapters", "latest", "plan", "project", "stale"]
FORMAT = "2"  # raise it when the meaning of an execution's folder changes
PACKAGE = Path(kflow.__file__).parent


@dataclass(frozen=True)
class Execution:
    """Where the execution of one notebook at given parameters is, or will be."""

    name: str
    source: Path
    folder: Path
    key: str
    parameters: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)  # what the key is made of: name -> SHA-256
    records: tuple[str, ...] = ()  # of the talk's scale, that the notebook declares

    @property
    def notebook(self) -> Path:
        """The executed notebook."""
        return self.folder / f"{self.name}.ipynb"

    @property
    def output(self) -> Path:
        """What KFLOW_OUTPUT was: published figures are in `output / "figures" / SLUG`."""
        return self.folder / "output"

    @property
    def done(self) -> bool:
        """Whether it has been made, and is whole."""
        return self.notebook.is_file() and _facts(self.folder / "execution.json") is not None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self._facts["seconds"]

    @property
    def processor_seconds(self) -> float:
        """How long processors worked for it; zero on Windows, which does not count that."""
        return self._facts["processor_seconds"]

    @property
    def _facts(self) -> dict:
        return json.loads((self.folder / "execution.json").read_text())


def project(start=None) -> Path:
    """Find the checkout of the book: the folder that holds `notebooks/` and `_toc.yml`."""
    places = [Path(start or Path.cwd()).resolve(), Path(__file__).resolve().parent]
    for place in places:
        for folder in (place, *place.parents):
            if (folder / "_toc.yml").is_file() and (folder / "notebooks").is_dir():
                return folder
    raise FileNotFoundError(
        f"no checkout of the book (a folder with _toc.yml and notebooks/) at or above {places[0]}: "
        "change into a clone of the repository"
    )


def chapters(root=None) -> list[str]:
    """Names of the notebooks, in alphabetical order."""
    return sorted(path.stem for path in (Path(root or project()) / "notebooks").glob("*.ipynb"))


def plan(name, parameters=None, root=None) -> Execution:
    """Address the execution of notebook `name` (a chapter, or the path of an .ipynb file)."""
    root = Path(root or project())
    source = _find(name, root)
    parameters = dict(sorted((parameters or {}).items()))
    cells = code(read(source))
    records = dependencies.records(cell["source"] for cell in cells)
    inputs = _inputs(cells, records, parameters, root)
    key = _sha256(json.dumps(inputs, sort_keys=True).encode())
    folder = root / "_build" / "executions" / source.stem / key[:16]
    return Execution(source.stem, source, folder, key, parameters, inputs, records)


def latest(name, root=None) -> Execution | None:
    """Find the execution of a chapter at its default parameters; the newest, where all are stale.

    Its prose is that of the source, if the code cells are.
    """
    planned = plan(name, root=root)
    made = [p for p, facts in _made(planned).items() if not facts["parameters"]]
    if not made:
        return None
    newest = planned.folder if planned.done else max(made, key=os.path.getmtime).parent
    found = replace(planned, folder=newest)
    take_prose(found.source, found.notebook)
    return found


def stale(root=None) -> dict[str, str]:
    """Chapters that would be executed again at their default parameters, and why."""
    plans = [plan(name, root=root) for name in chapters(root)]
    return {planned.name: reason(planned) for planned in plans if not planned.done}


def _find(name, root):
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path.resolve()
    path = root / "notebooks" / f"{path.stem}.ipynb"
    if not path.is_file():
        known = ", ".join(chapters(root)) or "none"
        raise FileNotFoundError(f"no notebook {name!r} in {path.parent}; there are: {known}")
    return path


def _inputs(cells, records, parameters, root):
    cells = [[cell["source"], tags(cell)] for cell in cells]
    modules = dependencies.files((source for source, _ in cells), PACKAGE)
    inputs = {_place(path): _sha256(path.read_bytes()) for path in modules}
    for name in records:
        for path in sorted((root / RECORDS).glob(f"{name}.*")):
            inputs[(RECORDS / path.name).as_posix()] = _sha256(path.read_bytes())
    inputs["code"] = _sha256(json.dumps(cells).encode())
    inputs["parameters"] = _sha256(json.dumps(parameters, sort_keys=True).encode())
    pins = root / "constraints.txt"
    inputs["constraints.txt"] = _sha256(pins.read_bytes() if pins.is_file() else b"")
    inputs["python"] = ".".join(platform.python_version_tuple()[:2])
    inputs["format"] = FORMAT
    return inputs


def _place(path):
    return path.relative_to(PACKAGE.parent).as_posix()


def _made(planned):
    """The executions of a notebook that are whole: path of the facts -> facts."""
    paths = planned.folder.parent.glob("*/execution.json")
    found = {
        path: _facts(path) for path in paths if (path.parent / planned.notebook.name).is_file()
    }
    return {path: facts for path, facts in found.items() if facts is not None}


def _facts(path):
    """What is noted of an execution; None where that is missing or damaged: it is made again."""
    try:
        facts = json.loads(path.read_text())
        return facts if {"parameters", "inputs", "seconds"} <= facts.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def reason(planned):
    made = _made(planned)
    if not made:
        return "never executed"
    old = made[max(made, key=os.path.getmtime)]["inputs"]
    names = old.keys() | planned.inputs.keys()
    changed = sorted(n for n in names if old.get(n) != planned.inputs.get(n))
    more = f" and {len(changed) - 3} more" if len(changed) > 4 else ""
    return "changed: " + ", ".join(changed[:3] if more else changed) + more
