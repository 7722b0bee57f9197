"""Does a test fail where the handling of a fault is taken away? `python -m tests.stress.handled`.

Each fault of handled.toml names lines and what they are replaced by, in a copy of this tree. A
fault that no test notices ends this with status 1 and leaves the committed record alone.
"""

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from kflow.reproduce.notebooks import cores
from tests.stress import record
from tests.stress.record import ROOT

LIST = Path(__file__).with_name("handled.toml")
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "_build", "node_modules", "__pycache__", ".*_cache"
)
FAILED = re.compile(r"^(?:FAILED|ERROR) ([^\s\[]+)", re.MULTILINE)  # without parameters
LONGEST = 120  # seconds of the tests of one fault; one that never ends is noticed, too


def faults() -> list[dict]:
    """What handled.toml lists; ValueError where lines are not there, or there twice."""
    listed = tomllib.loads(LIST.read_text("utf-8"))["fault"]
    for fault in listed:
        found = (ROOT / fault["file"]).read_text("utf-8").count(fault["old"])
        if found != 1:
            raise ValueError(f"{fault['file']} holds {found} times, not once: {fault['old']!r}")
    return listed


def noticed(tree: Path, fault: dict) -> str | None:
    """The first test that fails without the handling of a fault; None where none does."""
    path = tree / fault["file"]
    whole = path.read_text("utf-8")
    path.write_text(whole.replace(fault["old"], fault["new"]), "utf-8")
    try:
        return failing(tree, fault["tests"], LONGEST)
    finally:
        path.write_text(whole, "utf-8")


def failing(tree: Path, names: list[str], limit: float | None = None) -> str | None:
    """The first of some tests that fails in a tree."""
    files = [f"tests/{name}" if ".py" in name else f"tests/{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return "a test that then never ends"
    if done.returncode == 0:
        return None
    told = FAILED.search(done.stdout)
    if told is None:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return told[1]


def in_one_of(trees: queue.SimpleQueue, work, of):
    """work(tree, of) in a tree that nobody else uses meanwhile."""
    tree = trees.get()
    try:
        return work(tree, of)
    finally:
        trees.put(tree)


def main() -> int:
    """Take each handling away in turn, and write the record where all are noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.handled", description=__doc__)
    parser.add_argument("--only", help="the faults whose file or text holds this; no record")
    only = parser.parse_args().only
    listed = [f for f in faults() if only is None or only in json.dumps(f, ensure_ascii=False)]
    began, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(cores()) as pool:
        trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for k in range(cores()):
            trees.put(shutil.copytree(ROOT, Path(folder) / f"tree-{k}", ignore=LEFT_OUT))
        every = sorted({name for fault in listed for name in fault["tests"]})
        for wrong in pool.map(partial(in_one_of, trees, failing), [[name] for name in every]):
            if wrong:
                print(f"with all in its place {wrong} fails")
                return 1
        tried = pool.map(partial(in_one_of, trees, noticed), listed)
        for fault, test in zip(listed, tried, strict=True):
            told = {k: fault[k] for k in ("found", "held", "cure", "file") if k in fault}
            rows.append(told | {"test": test})
            print(f"{test or 'NOT NOTICED'}: {fault.get('found') or fault['held']}", flush=True)
    missed = [row for row in rows if row["test"] is None]
    print(f"{len(rows) - len(missed)} of {len(rows)} are noticed")
    if missed or only is not None:
        return bool(missed)
    record.save("handled", {"faults": rows}, time.monotonic() - began)
    return 0


if __name__ == "__main__":
    sys.exit(main())
