"""One execution of each notebook, which the book, the tests and `verify` all read.

An execution is addressed by what it depends on: the notebook's code cells, its parameters, all of
`kflow`, the pinned versions, and the committed paper-scale records that its code names in quotes.
While none of these changes, nothing is executed again; prose is taken from the current source.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

FORMAT = "1"  # raise it when the meaning of an execution's folder changes
KEPT = 6  # executions of one notebook that are kept, the latest ones
NOT_IN_A_RESULT = {  # kflow's files that no notebook imports
    "__main__.py",
    "execution.py",
    "compare.py",
    "citation.py",
    "verify.py",
    "cost.py",
    "paper_check.py",
}


class ExecutionFailed(RuntimeError):
    """A notebook stopped at an error: `name`, `cell` (1 = first cell), `partial` (what it had)."""

    def __init__(self, name, cell, partial, error):
        self.name, self.cell, self.partial = name, cell, partial
        super().__init__(f"{name}: cell {cell} failed: {error}\nwhat it had done is in {partial}")


@dataclass(frozen=True)
class Execution:
    """Where the execution of one notebook at given parameters is, or will be."""

    name: str
    source: Path
    folder: Path
    key: str
    parameters: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)  # what the key is made of: name -> SHA-256

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
        """Whether it has been made."""
        return (self.folder / "execution.json").is_file()

    @property
    def seconds(self) -> float:
        """How long it took."""
        return json.loads((self.folder / "execution.json").read_text())["seconds"]


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
    inputs = _inputs(source, parameters, root)
    key = _sha256(json.dumps(inputs, sort_keys=True).encode())
    folder = root / "_build" / "executions" / source.stem / key[:16]
    return Execution(source.stem, source, folder, key, parameters, inputs)


def execute(name, parameters=None, *, root=None, force=False, progress=True) -> Execution:
    """Execute notebook `name` unless that has been done, and return where the results are.

    The kernel sees KFLOW_OUTPUT = `execution.output`. A run that fails raises `ExecutionFailed` and
    leaves what it had in `_build/executions/failed/NAME.ipynb`; the former results stay.
    """
    from filelock import FileLock

    planned = plan(name, parameters, root)
    planned.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{planned.folder.parent}.lock"):
        if force or not planned.done:
            _run(planned, progress)
        _take_prose(planned)
        os.utime(planned.folder)
        _prune(planned.folder.parent)
    return planned


def latest(name, root=None) -> Execution | None:
    """Find the newest execution of a chapter at its default parameters, stale or not.

    Its prose is that of the source, if the code cells are.
    """
    planned = plan(name, root=root)
    facts = planned.folder.parent.glob("*/execution.json")
    made = [p for p in facts if not json.loads(p.read_text())["parameters"]]
    if not made:
        return None
    found = replace(planned, folder=max(made, key=os.path.getmtime).parent)
    _take_prose(found)
    return found


def stale(root=None) -> dict[str, str]:
    """Chapters that would be executed again at their default parameters, and why."""
    plans = [plan(name, root=root) for name in chapters(root)]
    return {planned.name: _reason(planned) for planned in plans if not planned.done}


# what an execution depends on -------------------------------------------------------------------


def _find(name, root):
    path = Path(name)
    if path.suffix == ".ipynb" and path.is_file():
        return path.resolve()
    path = root / "notebooks" / f"{path.stem}.ipynb"
    if not path.is_file():
        known = ", ".join(chapters(root)) or "none"
        raise FileNotFoundError(f"no notebook {name!r} in {path.parent}; there are: {known}")
    return path


def _inputs(source, parameters, root):
    import kflow

    package = Path(kflow.__file__).parent
    files = [p for p in package.rglob("*") if p.is_file() and p.name not in NOT_IN_A_RESULT]
    files = [p for p in files if p.suffix == ".py" or "_data" in p.parts]
    code = [[cell["source"], _tags(cell)] for cell in _code(_read(source))]
    text = "\n".join(cell for cell, _ in code)
    paper = (root / "book/records/paper").glob("*")
    files += [p for p in paper if p.suffix in (".json", ".npz") and f'"{p.stem}"' in text]
    names = {p: p.relative_to(package.parent if package in p.parents else root) for p in files}
    inputs = {names[p].as_posix(): _sha256(p.read_bytes()) for p in sorted(files)}
    inputs["code"] = _sha256(json.dumps(code).encode())
    inputs["parameters"] = _sha256(json.dumps(parameters, sort_keys=True).encode())
    pins = root / "constraints.txt"
    inputs["constraints.txt"] = _sha256(pins.read_bytes() if pins.is_file() else b"")
    inputs["python"] = ".".join(platform.python_version_tuple()[:2])
    inputs["format"] = FORMAT
    return inputs


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _read(path):
    import nbformat

    return nbformat.read(path, as_version=4)


def _tags(cell):
    return cell["metadata"].get("tags", [])


def _code(notebook):
    return [c for c in notebook["cells"] if c["cell_type"] == "code"]


def _reason(planned):
    made = sorted(planned.folder.parent.glob("*/execution.json"), key=os.path.getmtime)
    if not made:
        return "never executed"
    old = json.loads(made[-1].read_text())["inputs"]
    names = old.keys() | planned.inputs.keys()
    changed = sorted(n for n in names if old.get(n) != planned.inputs.get(n))
    return "changed: " + ", ".join(changed)


# one run ----------------------------------------------------------------------------------------


def _run(planned, progress):
    import papermill

    executions = planned.folder.parent.parent
    cells = len(_code(_read(planned.source)))
    say = print if progress else lambda *_, **__: None
    say(f"{planned.name}: executing {cells} code cells ({_reason(planned)})", flush=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=executions, prefix=".running-") as scratch:
        running = Path(scratch) / planned.folder.name
        (running / "output").mkdir(parents=True)
        notebook = running / f"{planned.name}.ipynb"
        try:
            with _environment(running / "output"):
                papermill.execute_notebook(
                    str(planned.source),
                    str(notebook),
                    planned.parameters,
                    kernel_name="python3",
                    cwd=str(executions.parent.parent),
                    progress_bar=progress and sys.stderr.isatty(),
                    extra_arguments=["--log-level=ERROR"],
                )
        except papermill.PapermillExecutionError as error:
            partial = executions / "failed" / notebook.name
            partial.parent.mkdir(exist_ok=True)
            os.replace(notebook, partial)
            cell = error.cell_index + 1
            message = f"{error.ename}: {error.evalue}"
            raise ExecutionFailed(planned.name, cell, partial, message) from error
        seconds = round(time.monotonic() - start, 1)
        _scrub(notebook)
        facts = {
            "name": planned.name,
            "key": planned.key,
            "parameters": planned.parameters,
            "seconds": seconds,
            "inputs": planned.inputs,
        }
        (running / "execution.json").write_text(json.dumps(facts, indent=1) + "\n")
        shutil.rmtree(planned.folder, ignore_errors=True)
        os.replace(running, planned.folder)
    say(f"{planned.name}: done in {seconds:.0f} s", flush=True)


@contextmanager
def _environment(output):
    """Give the kernel all cores, and the place for its results."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    values = {
        "KFLOW_OUTPUT": str(output),
        "OMP_NUM_THREADS": str(cores),
        "PYTHONHASHSEED": "0",
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this Python
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _scrub(path):
    """Take out of a notebook what differs between two equal runs: times, ids, addresses."""
    import nbformat

    notebook = _read(path)
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in _tags(cell):
            cell.id = f"injected-{number}"
            cell.metadata.tags.append("hide-input")
    text = nbformat.writes(notebook)
    path.write_text(re.sub(r" at 0x[0-9a-f]{6,}>", ">", text) + "\n")


def _take_prose(planned):
    """Bring the prose, the tags and the order of cells up to the source; keep the outputs."""
    import nbformat

    notebook, executed = _read(planned.source), _read(planned.notebook)
    made = _code(executed)
    if [c.source for c in made] != [c.source for c in _code(notebook)]:
        return  # parameters were injected, or the source has changed while it ran
    for cell, done in zip(_code(notebook), made, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    notebook.metadata.language_info = executed.metadata.language_info
    text = nbformat.writes(notebook) + "\n"
    if text != planned.notebook.read_text():
        planned.notebook.write_text(text)


def _prune(folder):
    made = sorted((p for p in folder.iterdir() if p.is_dir()), key=os.path.getmtime)
    for old in made[:-KEPT]:
        shutil.rmtree(old)


def main(arguments=None) -> int:
    """List the stale chapters; with names (or "all"), execute them."""
    names = list(sys.argv[1:] if arguments is None else arguments)
    if not names:
        reasons = stale()
        for name in chapters():
            print(f"{name:20} {reasons.get(name, 'up to date')}")
        return 0
    failures = 0
    for name in chapters() if names == ["all"] else names:
        try:
            execute(name)
        except ExecutionFailed as error:
            failures += 1
            print(error, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
