"""Write notebooks/NAME.ipynb from its source NAME.md: no outputs, and the same bytes always.

`python book/pairs.py` writes what differs; with `--check` it only says what would, and exits 1.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def differing(folder=NOTEBOOKS, write=False):
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
