"""One execution of each notebook, which the book, the tests and `verify` all read.

An execution is addressed by what it depends on: the notebook's code cells, its parameters, all of
`kflow`, the pinned versions, and the committed paper-scale records that its code names in quotes.
While none of these changes, nothing is executed again; prose is taken from the current source.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from kflow.reproduce.notebooks import ExecutionFailed, code, cores, read, run, tags, take_prose

FORMAT = "1"  # raise it when the meaning of an execution's folder changes
KEPT = 6  # executions of one notebook that are kept, the latest ones
NOT_IN_A_RESULT = {  # kflow's files that no notebook imports
    "__main__.py",
    "command_line.py",
    "execution.py",
    "notebooks.py",
    "compare.py",
    "citation.py",
    "verify.py",
    "cost.py",
}


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


def execute(name, parameters=None, *, root=None, force=False, progress=True, bar=True) -> Execution:
    """Execute notebook `name` unless that has been done, and return where the results are.

    The kernel sees KFLOW_OUTPUT = `execution.output`. A run that fails raises `ExecutionFailed` and
    leaves what it had in `_build/executions/failed/NAME.ipynb`; the former results stay. `progress`
    says when it begins and ends, `bar` shows its cells on a terminal.
    """
    from filelock import FileLock

    planned = plan(name, parameters, root)
    planned.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{planned.folder.parent}.lock"):
        if force or not planned.done:
            say = _say if progress else lambda _: None
            cells = len(code(read(planned.source)))
            say(f"{planned.name}: executing {cells} code cells ({_reason(planned)})")
            run(planned, progress and bar)
            say(f"{planned.name}: done in {planned.seconds:.0f} s")
        take_prose(planned.source, planned.notebook)
        os.utime(planned.folder)
        _prune(planned.folder.parent)
    return planned


def _say(line):
    # In one write, with its end: print's two may be those of two processes, by turns.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def execute_all(
    names: Sequence[str], *, root=None, jobs=1, progress=True
) -> dict[str, Execution | ExecutionFailed]:
    """Execute the chapters that are stale, `jobs` of them at once; one that fails stops no other.

    Each has as many threads as it would have alone, so that its numbers do not depend on `jobs`;
    idle threads sleep instead of spinning. Two jobs never execute the same chapter: it is locked.
    """
    outcome = partial(_outcome, root=Path(root or project()), progress=progress)
    waiting = set(names) & stale(root).keys() if jobs > 1 else ()
    if len(waiting) < 2:
        return {name: outcome(name) for name in names}
    jobs, spawn = min(jobs, len(waiting)), get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_let_idle_threads_sleep) as pool:
        return dict(zip(names, pool.map(partial(outcome, bar=False), names), strict=True))


def _let_idle_threads_sleep():
    os.environ["OMP_WAIT_POLICY"] = "passive"


def _outcome(name, **options):
    try:
        return execute(name, **options)
    except ExecutionFailed as error:
        return error


def jobs_of_make() -> int:
    """How many jobs the `make` above this process was allowed: 2 for `make -j2`, 1 without one."""
    for word in os.environ.get("MAKEFLAGS", "").split():
        if word == "--":  # variables follow
            break
        if word.startswith("-j"):
            return int(word[2:] or cores())
    return 1


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
    take_prose(found.source, found.notebook)
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
    cells = [[cell["source"], tags(cell)] for cell in code(read(source))]
    text = "\n".join(cell for cell, _ in cells)
    paper = (root / "book/records/paper").glob("*")
    files += [p for p in paper if p.suffix in (".json", ".npz") and f'"{p.stem}"' in text]
    names = {p: p.relative_to(package.parent if package in p.parents else root) for p in files}
    inputs = {names[p].as_posix(): _sha256(p.read_bytes()) for p in sorted(files)}
    inputs["code"] = _sha256(json.dumps(cells).encode())
    inputs["parameters"] = _sha256(json.dumps(parameters, sort_keys=True).encode())
    pins = root / "constraints.txt"
    inputs["constraints.txt"] = _sha256(pins.read_bytes() if pins.is_file() else b"")
    inputs["python"] = ".".join(platform.python_version_tuple()[:2])
    inputs["format"] = FORMAT
    return inputs


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _reason(planned):
    made = sorted(planned.folder.parent.glob("*/execution.json"), key=os.path.getmtime)
    if not made:
        return "never executed"
    old = json.loads(made[-1].read_text())["inputs"]
    names = old.keys() | planned.inputs.keys()
    changed = sorted(n for n in names if old.get(n) != planned.inputs.get(n))
    more = f" and {len(changed) - 3} more" if len(changed) > 4 else ""
    return "changed: " + ", ".join(changed[:3] if more else changed) + more


def _prune(folder):
    made = sorted((p for p in folder.iterdir() if p.is_dir()), key=os.path.getmtime)
    for old in made[:-KEPT]:
        shutil.rmtree(old)


def main(arguments=None) -> int:
    """List the stale chapters; with names (or "all"), execute them."""
    parser = argparse.ArgumentParser(
        prog="python -m kflow.reproduce.execution", description=main.__doc__
    )
    parser.add_argument("name", nargs="*", help="chapters, or all")
    parser.add_argument("-j", "--jobs", type=int, default=jobs_of_make(), help="so many at once")
    options = parser.parse_args(arguments)
    if not options.name:
        reasons = stale()
        for name in chapters():
            print(f"{name:20} {reasons.get(name, 'up to date')}")
        return 0
    names = chapters() if options.name == ["all"] else options.name
    made = execute_all(names, jobs=options.jobs)
    failed = [found for found in made.values() if isinstance(found, ExecutionFailed)]
    for error in failed:
        print(error, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
