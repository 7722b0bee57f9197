"""One execution of each notebook, which the book, the tests and `verify` all read."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from filelock import FileLock

from kflow.reproduce.notebooks import ExecutionFailed, code, cores, read, run, take_prose
from kflow.reproduce.plans import Execution, chapters, plan, project, reason, stale

__all__ = ["execute", "execute_all"]
KEPT = 6  # executions of one notebook that are kept, the latest ones


def execute(name, parameters=None, *, root=None, force=False, progress=True, bar=True) -> Execution:
    """Execute notebook `name` unless that has been done, and return where the results are.

    The kernel sees KFLOW_OUTPUT = `execution.output`. A run that fails raises `ExecutionFailed` and
    leaves what it had in `_build/executions/failed/NAME.ipynb`; the former results stay. `progress`
    says when it begins and ends, `bar` shows its cells on a terminal.
    """
    planned = plan(name, parameters, root)
    planned.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{planned.folder.parent}.lock"):
        if force or not planned.done:
            say = _say if progress else lambda _: None
            cells = len(code(read(planned.source)))
            say(f"{planned.name}: executing {cells} code cells ({reason(planned)})")
            run(planned, progress and bar)
            say(f"{planned.name}: done in {planned.seconds:.0f} s")
        take_prose(planned.source, planned.notebook)
        os.utime(planned.folder)
        _prune(planned.folder)
    return planned


def _say(line):
    # In one write, with its end: print's two may be those of two processes, by turns.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def execute_all(
    names: Sequence[str], *, root=None, jobs=1, progress=True
) -> dict[str, Execution | ExecutionFailed]:
    """Execute the chapters that are stale, `jobs` of them at once; one that fails stops no other.

    They share the cores: threads of one would wait for those of another. OMP_NUM_THREADS, where it
    is set, says how many threads each has. Two jobs never execute the same chapter: it is locked.
    """
    outcome = partial(_outcome, root=Path(root or project()), progress=progress)
    waiting = set(names) & stale(root).keys() if jobs > 1 else ()
    if len(waiting) < 2:
        return {name: outcome(name) for name in names}
    jobs, spawn = min(jobs, len(waiting)), get_context("spawn")
    threads = max(1, cores() // jobs)
    with ProcessPoolExecutor(
        jobs, mp_context=spawn, initializer=_have_threads, initargs=(threads,)
    ) as pool:
        return dict(zip(names, pool.map(partial(outcome, bar=False), names), strict=True))


def _have_threads(count):
    os.environ.setdefault("OMP_NUM_THREADS", str(count))


def _outcome(name, **options):
    try:
        return execute(name, **options)
    except ExecutionFailed as error:
        return error


def _prune(current):
    """Keep the current one, which looks old if the clock was set back, and the latest others."""
    others = (p for p in current.parent.iterdir() if p.is_dir() and p != current)
    for old in sorted(others, key=os.path.getmtime, reverse=True)[KEPT - 1 :]:
        shutil.rmtree(old)


def main(arguments=None) -> int:
    """List the stale chapters; with names (or "all"), execute them."""
    parser = argparse.ArgumentParser(
        prog="python -m kflow.reproduce.execution", description=main.__doc__
    )
    parser.add_argument("name", nargs="*", help="chapters, or all")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="so many at once")
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
