"""Write notebooks/NAME.ipynb from its source NAME.md: no outputs, and the same bytes always.

`python book/pairs.py` writes what differs; with `--check` it only says what would, and exits 1.
Where `[project.urls]` states a repository, a notebook opened alone (as Colab does) begins by
installing kflow from there.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
from kflow_site import addresses  # noqa: E402

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
REPOSITORY = addresses()[1]
INSTALL = """\
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("kflow") is None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "{requirement}"]
    subprocess.run(command, check=True)"""


def install_cell(repository):
    """The first cell of a notebook that may have been opened alone; the site does not show it."""
    cell = nbformat.v4.new_code_cell(INSTALL.format(requirement=f"kflow @ git+{repository}"))
    cell.update(id="install-kflow", metadata={"tags": ["remove-cell"]})
    return cell


def differing(folder=NOTEBOOKS, write=False, repository=REPOSITORY):
    """Names of the .ipynb files that are not what their source makes; `write` mends them."""
    sources = sorted(folder.glob("*.md"))
    orphans = {p.stem for p in folder.glob("*.ipynb")} - {p.stem for p in sources}
    if orphans:
        raise FileNotFoundError(f"notebooks without a source .md: {', '.join(sorted(orphans))}")
    if not sources:
        return []
    with tempfile.TemporaryDirectory() as scratch:
        copies = [Path(shutil.copy(path, scratch)) for path in sources]
        made = [copy.with_suffix(".ipynb") for copy in copies]
        _run("jupytext", "--quiet", "--to", "ipynb", *copies)
        for path in made if repository else ():
            notebook = nbformat.read(path, as_version=4)
            notebook.cells.insert(0, install_cell(repository))
            nbformat.write(notebook, path)
        _run("nbstripout", *made)
        found = []
        for new in made:
            old = folder / new.name
            if not old.is_file() or old.read_bytes() != new.read_bytes():
                found.append(new.name)
                if write:
                    shutil.copy(new, old)
    return found


def _run(tool, *arguments):
    command = [sys.executable, "-m", tool, *map(str, arguments)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    check = "--check" in sys.argv[1:]
    names = differing(write=not check)
    for name in names:
        print(f"notebooks/{name} {'differs from its source' if check else 'written'}")
    sys.exit(1 if check and names else 0)
