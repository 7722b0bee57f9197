"""What the tests of the book share: its builder as a module, its executions, the built site."""

import functools
import importlib
import json
import shutil
import sys
from pathlib import Path

import nbformat

from kflow.reproduce import execution
from kflow.reproduce.notebooks import cores

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


@functools.cache
def module(name):
    """Import a file of the folder book/, which is no package."""
    folder = str(ROOT / "book")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


@functools.cache
def executed(name):
    """The one execution of a chapter, made if it is stale."""
    return execution.execute(name, root=ROOT)


@functools.cache
def built():
    """The folder of the built site, up to date."""
    builder = module("builder")
    builder.build(jobs=cores())
    return builder.SITE


def pages(folder):
    """Addresses of a site's pages, relative to it, as Sphinx and we have written them."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*.html"))
    return sorted(name for name in found if not name.startswith("_static/"))


def cells(path, kind="code"):
    """The cells of a notebook of one kind."""
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def chromium():
    """Where a Chromium is, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def missing_for_browsers():
    """What the browser tests would need and is not here, or an empty string."""
    lacks = [] if chromium() else ["a Chromium"]
    lacks += [] if shutil.which("node") else ["Node"]
    lacks += [] if (ROOT / "node_modules/playwright-core").is_dir() else ["npm ci"]
    return ", ".join(lacks)


def read_json(path):
    """A JSON file's content."""
    return json.loads(Path(path).read_text())
