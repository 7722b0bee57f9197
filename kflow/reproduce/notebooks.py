"""A notebook as a file: read it, execute it once by papermill, take out what two runs differ in."""

import json
import os
import re
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from kflow import checks
from kflow.paper.record import DECLARED

STARTS = 4  # of a kernel, where others begin at the same time


class ExecutionFailed(RuntimeError):
    """A notebook stopped at an error: `name`, `cell` (1 = first cell), `partial` (what it had)."""

    def __init__(self, name, cell, partial, error):
        super().__init__(name, cell, partial, error)  # so that it travels between processes
        self.name, self.cell, self.partial, self.error = name, cell, partial, error

    def __str__(self):
        return (
            f"{self.name}: cell {self.cell} failed: {self.error}\n"
            f"what it had done is in {self.partial}"
        )


def read(path):
    """The notebook in a file, as nbformat has it; ValueError where there is none in it."""
    with checks.extra("notebooks"):
        import nbformat

    try:
        found = nbformat.read(path, as_version=4)
        for cell in found.cells:  # what is not valid is read all the same
            str(cell.cell_type + cell.source)
        return found
    except OSError:
        raise
    except Exception as error:  # of many classes, some not of nbformat
        raise ValueError(f"{path} is no notebook: {error}") from error


def tags(cell):
    """The tags of a cell."""
    return cell["metadata"].get("tags", [])


def code(notebook):
    """The code cells of a notebook."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code"]


def cores() -> int:
    """The cores that this process may use."""
    counted = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if counted else os.cpu_count() or 1


def run(planned, bar: bool):
    """Execute a planned `plans.Execution` aside, and move the result to its folder.

    `bar` shows papermill's bar on a terminal. Raises ExecutionFailed, and then leaves what there is
    in the folder `failed` beside the executions.
    """
    with checks.extra("notebooks"):
        import papermill
        from nbclient.exceptions import DeadKernelError

    executions = planned.folder.parent.parent
    start, worked = time.monotonic(), _processor_seconds()
    with tempfile.TemporaryDirectory(dir=executions, prefix=".running-") as scratch:
        running = Path(scratch) / planned.folder.name
        (running / "output").mkdir(parents=True)
        notebook = running / f"{planned.name}.ipynb"
        try:
            with _environment(running / "output", planned.records):
                _started(
                    papermill.execute_notebook,
                    str(planned.source),
                    str(notebook),
                    planned.parameters,
                    kernel_name="python3",
                    cwd=str(executions.parent.parent),
                    progress_bar=bar and sys.stderr.isatty(),
                    extra_arguments=["--log-level=CRITICAL"],  # else shutting down logs an error
                )
        except (papermill.PapermillExecutionError, DeadKernelError) as error:
            partial = executions / "failed" / notebook.name
            partial.parent.mkdir(exist_ok=True)
            os.replace(notebook, partial)
            cell, message = _stopped(error, partial)
            raise ExecutionFailed(planned.name, cell, partial, message) from error
        _scrub(notebook)
        facts = {
            "name": planned.name,
            "key": planned.key,
            "parameters": planned.parameters,
            "seconds": round(time.monotonic() - start, 1),
            "processor_seconds": round(_processor_seconds() - worked, 1),
            "inputs": planned.inputs,
        }
        (running / "execution.json").write_text(json.dumps(facts, indent=1) + "\n")
        shutil.rmtree(planned.folder, ignore_errors=True)
        os.replace(running, planned.folder)


def _processor_seconds() -> float:
    """Of the processes that this one has waited for: others on the same cores hardly change them.

    Zero on Windows, which does not count them.
    """
    times = os.times()
    return times.children_user + times.children_system


def _started(execute, *told, **options):
    """Execute; again where the kernel could not begin, as another took its port before it."""
    for left in reversed(range(STARTS)):
        try:
            return execute(*told, **options)
        except RuntimeError as error:
            if not left or "died before replying" not in str(error):
                raise


def _stopped(error, partial):
    """The cell (1 = first) at which papermill stopped, and why."""
    if hasattr(error, "cell_index"):
        return error.cell_index + 1, f"{error.ename}: {error.evalue}"
    begun = [c.metadata.get("papermill", {}).get("start_time") for c in read(partial).cells]
    cell = len(begun) - begun.count(None)
    return cell, "its process was killed, as the system does when memory runs out"


@contextmanager
def _environment(output, records):
    """Give the kernel its threads, the place for its results and the records that it may read."""
    values = {
        "KFLOW_OUTPUT": str(output),
        DECLARED: ",".join(records),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(cores()),
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
    with checks.extra("notebooks"):
        import nbformat

    notebook = read(path)
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in tags(cell):
            cell.id = f"injected-{number}"
            cell.metadata.tags.append("hide-input")
    text = nbformat.writes(notebook)
    path.write_text(re.sub(r" at 0x[0-9a-f]{6,}>", ">", text) + "\n")


def take_prose(source, executed):
    """Bring prose, tags and order of cells of an executed notebook up to its source's.

    Nothing is done where the code differs: parameters were injected, or the source has changed.
    """
    with checks.extra("notebooks"):
        import nbformat

    notebook, done = read(source), read(executed)
    made = code(done)
    if [c.source for c in made] != [c.source for c in code(notebook)]:
        return
    for cell, old in zip(code(notebook), made, strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    notebook.metadata.language_info = done.metadata.language_info
    text = nbformat.writes(notebook) + "\n"
    if text != executed.read_text():
        executed.write_text(text)
