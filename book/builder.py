"""Build the book: execute what is stale, stage pages and notebooks, build the site strictly.

The stage, `_build/source`, holds every page at the address that readers see, so that the public
addresses are /flow.html and not a path of the build. `make book` calls this file.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import api
import nbformat
import pairs
import yaml
from filelock import FileLock

from kflow.reproduce import execution, plans
from kflow.reproduce.notebooks import ExecutionFailed

ROOT = Path(__file__).resolve().parents[1]
STAGE = ROOT / "_build" / "source"
SITE = ROOT / "_build" / "html"
NEXT = ROOT / "_build" / "next"  # where a site is built, so that the former one stays if that fails
FIGURE = "application/vnd.kflow.figure+json"
GENERATED = {"api", "figures"}  # pages made while staging
MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts/woff-v2")


class BuildFailed(Exception):
    """The book can't be built; the message says why."""


def pages_of_toc():
    """Names of all pages of `_toc.yml`, in order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [c for part in toc["parts"] for c in part["chapters"]]
    sections = [s for c in chapters for s in [c, *c.get("sections", [])]]
    return [toc["root"], *(s["file"] for s in sections)]


def check(strict=True):
    """Refuse another jupyter-book, a page without file, and a file without page."""
    version = importlib.metadata.version("jupyter-book")
    if not version.startswith("1."):
        raise BuildFailed(f"jupyter-book {version} is another program: install jupyter-book<2")
    pages = pages_of_toc()
    sources = set(page_sources()) | set(plans.chapters(ROOT))
    if not strict:
        return
    if missing := [p for p in pages if p not in sources | GENERATED]:
        raise BuildFailed(f"_toc.yml names pages that are not there: {', '.join(missing)}")
    if unlisted := sorted(sources - set(pages)):
        raise BuildFailed(f"pages that _toc.yml does not name: {', '.join(unlisted)}")


def page_sources():
    """Pages that are prose only: name -> file."""
    files = [ROOT / "index.md", *sorted((ROOT / "book").glob("*.md"))]
    return {path.stem: path for path in files} | {"changelog": ROOT / "CHANGELOG.md"}


def stage(executions):
    """Lay out the site's source from pages, static files and executed notebooks."""
    shutil.rmtree(STAGE, ignore_errors=True)
    STAGE.mkdir(parents=True)
    for name, path in page_sources().items():
        (STAGE / f"{name}.md").write_text(to_chapters(path.read_text()))
    (STAGE / "api.md").write_text(api.page())
    shutil.copy(ROOT / "book" / "references.bib", STAGE)
    shutil.copytree(ROOT / "book" / "_static", STAGE / "static")
    copy_mathjax(STAGE / "static" / "mathjax")
    downloads = STAGE / "extra" / "notebooks"
    downloads.mkdir(parents=True)
    (STAGE / "_figures").mkdir()
    for made in executions:
        nbformat.write(with_figures(made.notebook), STAGE / f"{made.name}.ipynb")
        for path in ROOT.glob(f"notebooks/{made.name}.*"):
            shutil.copy(path, downloads)
        for folder in sorted((made.output / "figures").glob("*")):
            if (STAGE / "_figures" / folder.name).exists():
                raise BuildFailed(f"two figures are called {folder.name!r}: rename one")
            shutil.copytree(folder, STAGE / "_figures" / folder.name)


def with_figures(path):
    """Read an executed notebook; put the figure directive where a figure was published."""
    notebook = nbformat.read(path, as_version=4)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        outputs = cell.get("outputs", [])
        published = [o for o in outputs if FIGURE in o.get("data", {})]
        if not published:
            continue
        cell.outputs = [o for o in outputs if o not in published]
        for output in published:
            slug = output["data"][FIGURE]["slug"]
            directive = nbformat.v4.new_markdown_cell(f"```{{kflow-figure}} {slug}\n```")
            directive.id = f"figure-{slug}"[:64]
            cells.append(directive)
    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = to_chapters(cell.source)
    notebook.cells = cells
    return notebook


def to_chapters(text):
    """Lead links to a chapter's source, such as (flow.md#label), to the executed notebook."""
    names = "|".join(plans.chapters(ROOT))
    return re.sub(rf"\]\(({names})\.md(?=[#)])", r"](\1.ipynb", text)


def copy_mathjax(target):
    """Copy MathJax out of its Python package: the site serves it itself."""
    package = importlib.metadata.distribution("sphinx-mathjax-offline")
    static = Path(package.locate_file("sphinx-mathjax-offline/static/mathjax"))
    for name in MATHJAX:
        source, copy = static / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)


def fingerprint(executions):
    """Digest of everything that the site is made of."""
    digest = hashlib.sha256("".join(made.key for made in executions).encode())
    folders = ("book", "notebooks", "kflow")
    files = [p for folder in folders for p in sorted((ROOT / folder).rglob("*")) if p.is_file()]
    names = ("index.md", "CHANGELOG.md", "_config.yml", "_toc.yml", "pyproject.toml")
    files += [ROOT / name for name in (*names, "constraints.txt")]
    for path in files:
        if "__pycache__" not in path.parts:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def sphinx(strict):
    """Run jupyter-book over the stage; strictly, a warning is an error."""
    tool = Path(sys.executable).parent / "jupyter-book"
    command = [tool, "build", str(STAGE), "--all", "-n", "-q", "--config", ROOT / "_config.yml"]
    command += ["--toc", ROOT / "_toc.yml", "--path-output", NEXT]
    command += ["-W", "--keep-going"] if strict else []
    done = subprocess.run(command, cwd=STAGE, env={**os.environ, "PYTHONHASHSEED": "0"})
    if done.returncode:
        raise BuildFailed(f"jupyter-book stopped with exit code {done.returncode} (see above)")


def get_executions(jobs):
    """Execute the chapters that are stale, `jobs` of them at once."""
    made = execution.execute_all(plans.chapters(ROOT), root=ROOT, jobs=jobs).values()
    if failed := [str(each) for each in made if isinstance(each, ExecutionFailed)]:
        raise BuildFailed("\n".join(failed))
    return list(made)


def get_preview(name):
    """What there is of a chapter: its latest execution, or the bare notebook."""
    bare = replace(plans.plan(name, root=ROOT), folder=ROOT / "notebooks")
    return plans.latest(name, ROOT) or bare


def build(force=False, preview=False, jobs=1):
    """Bring the site up to date; return whether it had to be built.

    A preview takes the latest execution of each chapter, however old, and executes nothing: an
    author sees a change of prose or style at once.
    """
    (ROOT / "_build").mkdir(exist_ok=True)
    with FileLock(ROOT / "_build" / "build.lock"):
        return _build(force, preview, jobs)


def _build(force, preview, jobs):
    for name in pairs.differing(write=True):
        print(f"notebooks/{name} written from its source: commit it")
    check(strict=not preview)
    names = plans.chapters(ROOT)
    executions = [get_preview(name) for name in names] if preview else get_executions(jobs)
    wanted, stamp = fingerprint(executions), ROOT / "_build" / "site.json"
    made = json.loads(stamp.read_text())["fingerprint"] if stamp.is_file() else None
    if made == wanted and (SITE / "index.html").is_file() and not force:
        print(f"the site is up to date: {SITE.relative_to(ROOT)}/index.html")
        return False
    shutil.rmtree(NEXT, ignore_errors=True)
    stage(executions)
    sphinx(strict=not preview)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(SITE, ignore_errors=True)
    os.replace(NEXT / "_build" / "html", SITE)
    if not preview:
        stamp.write_text(json.dumps({"fingerprint": wanted}))
    print(f"the site is built: {SITE.relative_to(ROOT)}/index.html")
    return True


def main():
    """Command line: build, and say in one line why if that is not possible."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--force", action="store_true", help="build even if nothing has changed")
    parser.add_argument("--preview", action="store_true", help="use executions that are stale")
    jobs = "execute so many chapters at once (make JOBS=N book)"
    parser.add_argument("-j", "--jobs", type=int, default=1, help=jobs)
    options = parser.parse_args()
    try:
        build(options.force, options.preview, options.jobs)
    except BuildFailed as error:
        sys.exit(f"the book was not built: {error}")


if __name__ == "__main__":
    main()
