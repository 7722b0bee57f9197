"""What an execution depends on: the modules that a notebook imports, and the records it declares.

Imports are followed through the package, those inside functions too. A package that is imported
brings along the files in its folder that are not Python.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)  # lines of IPython


def files(cells: Iterable[str], package: Path) -> set[Path]:
    """The files of `package` (a folder) that code imports, directly or by what it imports."""
    found: set[Path] = set()
    waiting = {path for cell in cells for path in _imported(_parsed(cell), package)}
    while waiting:
        path = waiting.pop()
        found.add(path)
        if path.suffix == ".py":
            waiting |= _imports_of(path, path.stat().st_mtime_ns, package) - found
    return found


def records(cells: Iterable[str]) -> tuple[str, ...]:
    """The records at the talk's scale that a notebook declares: begin("NAME", records=[...]).

    Raises ValueError where they are not written out as a list of strings.
    """
    for cell in cells:
        for node in ast.walk(_parsed(cell)):
            if isinstance(node, ast.Call) and _name(node.func) == "begin":
                for keyword in node.keywords:
                    if keyword.arg == "records":
                        return _strings(keyword.value)
    return ()


def _strings(node: ast.expr) -> tuple[str, ...]:
    try:
        names = ast.literal_eval(node)
    except ValueError:
        names = None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"records={ast.unparse(node)} must be written as a list of names, records=['mnist'], "
            "because what a chapter depends on is read without running it"
        )
    return tuple(names)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _parsed(cell: str) -> ast.Module:
    """A cell without its magics; empty where it is not Python, as its execution will say."""
    try:
        return ast.parse(MAGIC.sub(r"\1pass", cell))
    except SyntaxError:
        return ast.Module([], [])


@cache
def _imports_of(path: Path, changed: int, package: Path) -> frozenset[Path]:
    """What a module imports; `changed`, the time of its last change, keeps the cache true."""
    return frozenset(_imported(ast.parse(path.read_text("utf-8")), package))


def _imported(tree: ast.Module, package: Path) -> Iterator[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == package.name:
                yield from _resolved(name, package)


def _resolved(name: str, package: Path) -> Iterator[Path]:
    """The files that importing a dotted name executes; its last part may be a name in a module."""
    place = package.parent
    for part in name.split("."):
        place = place / part
        if (place / "__init__.py").is_file():
            yield place / "__init__.py"
            yield from _data(place)
        elif place.with_suffix(".py").is_file():
            yield place.with_suffix(".py")
            return


def _data(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").exists():
            yield from _data(path)
