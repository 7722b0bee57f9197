"""One execution of a notebook per change of what it depends on."""

import os
import shutil
import subprocess
import sys
import time

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from kflow.reproduce import execution, notebooks, plans
from kflow.reproduce.notebooks import ExecutionFailed

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
WORK = 'import os, pathlib\nout = pathlib.Path(os.environ["KFLOW_OUTPUT"])\n'
WORK += '(out / "n.txt").write_text(str(n))\nprint(10 // n, object(), "one")'


@pytest.fixture
def book(tmp_path):
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "notebooks").mkdir()
    write(tmp_path)
    return tmp_path


def write(book, prose="# One", code=WORK, name="one", more=()):
    parameters = new_code_cell("n: int = 5", id="1", metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell(prose, id="0"), parameters, new_code_cell(code, id="2")]
    cells += [new_code_cell(source, id=f"more-{i}") for i, source in enumerate(more)]
    notebook = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, book / "notebooks" / f"{name}.ipynb")


def run(book, **options):
    return execution.execute("one", root=book, progress=False, **options)


def test_an_execution_is_made_once_and_its_results_are_kept_together(book):
    assert plans.stale(book) == {"one": "never executed"}
    made = run(book)
    assert made.done and (made.output / "n.txt").read_text() == "5"
    assert "object" in made.notebook.read_text() and "0x" not in made.notebook.read_text()
    before = made.notebook.stat().st_mtime_ns
    assert run(book).notebook.stat().st_mtime_ns == before
    assert plans.stale(book) == {}


def test_a_change_of_prose_is_taken_without_executing(book):
    made = run(book)
    write(book, prose="# Two")
    again = run(book)
    assert again.folder == made.folder
    assert "# Two" in again.notebook.read_text() and "2 <object" in again.notebook.read_text()


def test_what_the_result_depends_on_makes_it_stale(book):
    old = plans.plan("one", root=book).key
    keys = {old, plans.plan("one", {"n": 2}, book).key}
    (book / "constraints.txt").write_text("numpy==2\n")
    keys.add(plans.plan("one", root=book).key)
    declared = 'begin("one", records=["run"])  # and not "other"'
    write(book, code=declared)
    keys.add(plans.plan("one", root=book).key)
    (book / "book/records/paper").mkdir(parents=True)
    (book / "book/records/paper/run.json").write_text("{}")
    keys.add(plans.plan("one", root=book).key)
    (book / "book/records/paper/other.json").write_text("{}")
    keys.add(plans.plan("one", root=book).key)
    write(book, code="import kflow\n" + declared)
    keys.add(plans.plan("one", root=book).key)
    assert len(keys) == 6


def test_a_record_that_is_read_and_not_declared_stops_the_notebook(book):
    declared = "def begin(*_, records): ...\nbegin(records=['run'])"
    read = 'from kflow import paper\nprint(paper.read_record("{}"))'
    write(book, code=declared, more=[read.format("run")])
    assert run(book).done
    write(
        book,
        code=declared,
        more=[read.format("other")],
    )
    with pytest.raises(ExecutionFailed, match="reads the record 'other' and does not"):
        run(book)


def test_a_clock_that_is_set_back_loses_no_execution(book):
    made = run(book)
    tomorrow = time.time() + 86_400
    for k in range(execution.KEPT):
        later = made.folder.with_name(f"later-{k}")
        shutil.copytree(made.folder, later)
        os.utime(later / "execution.json", (tomorrow + k, tomorrow + k))
        os.utime(later, (tomorrow + k, tomorrow + k))
    assert run(book).done and plans.latest("one", book).folder == made.folder
    kept = {path.name for path in made.folder.parent.iterdir() if path.is_dir()}
    assert kept == {made.folder.name, *(f"later-{k}" for k in range(1, execution.KEPT))}


def test_two_executions_are_the_same_bytes(book):
    first = run(book, force=True).notebook.read_bytes()
    assert run(book, force=True).notebook.read_bytes() == first


def test_a_failure_names_the_cell_and_keeps_the_former_results(book):
    made = run(book)
    with pytest.raises(ExecutionFailed, match="one: cell 4 failed: ZeroDivision") as failed:
        execution.execute("one", {"n": 0}, root=book, progress=False)
    assert (
        failed.value.partial.is_file() and "ZeroDivisionError" in failed.value.partial.read_text()
    )
    assert made.done and not list((book / "_build/executions").glob(".running-*"))


def test_a_killed_notebook_names_the_cell_at_which_memory_ran_out(book):
    write(book, code="import os\nos.kill(os.getpid(), 9)", more=["print('not reached')"])
    with pytest.raises(ExecutionFailed, match="one: cell 3 failed: .* memory runs out"):
        run(book)


@pytest.fixture
def shelf(book):
    """A book of three chapters; the first two wait for each other, the third fails."""
    meet = "import pathlib, time\npathlib.Path(f'{me}.here').touch()\n"
    meet += "while not pathlib.Path(f'{other}.here').exists():\n    time.sleep(0.05)"
    (book / "notebooks/one.ipynb").unlink()
    for me, other in (("left", "right"), ("right", "left")):
        write(book, code=f"me, other = '{me}', '{other}'\n{meet}", name=me)
    write(book, code="1 / 0", name="wrong")
    return book


def test_several_chapters_are_executed_at_once_and_the_error_of_one_loses_no_other(shelf, capfd):
    names = ["wrong", "left", "right"]
    made = execution.execute_all(names, root=shelf, jobs=2)
    assert list(made) == names and made["left"].done and made["right"].done
    assert isinstance(made["wrong"], ExecutionFailed)
    assert "wrong: cell 3 failed: ZeroDivisionError" in str(made["wrong"])
    assert made["wrong"].partial.is_file()
    lines = sorted(capfd.readouterr().out.splitlines())
    assert len(lines) == 5 and all(line.split(":")[0] in names for line in lines)
    again = execution.execute_all(["left", "right"], root=shelf, jobs=2)
    assert again["left"].seconds == made["left"].seconds and not capfd.readouterr().out


def test_chapters_executed_at_once_share_the_cores(shelf, monkeypatch):
    monkeypatch.setattr(execution, "cores", lambda: 6)
    for given, expected in ((None, "3"), ("5", "5")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        for name in ("left", "right"):
            write(
                shelf,
                code=f"import os\nprint('threads', os.environ['OMP_NUM_THREADS']) # {given}",
                name=name,
            )
        made = execution.execute_all(["left", "right"], root=shelf, jobs=2)
        for done in made.values():
            assert f"threads {expected}\\n" in done.notebook.read_text()


@pytest.mark.parametrize(("failures", "passes"), [(3, True), (4, False)])
def test_a_kernel_whose_port_another_has_taken_is_started_again(
    book, monkeypatch, failures, passes
):
    begun, execute = [], papermill.execute_notebook

    def taken(*told, **options):
        begun.append(told)
        if len(begun) <= failures:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return execute(*told, **options)

    monkeypatch.setattr(papermill, "execute_notebook", taken)
    if passes:
        assert execution.execute("one", root=book, progress=False).done
    else:
        with pytest.raises(RuntimeError, match="died before replying"):
            execution.execute("one", root=book, progress=False)
    assert len(begun) == 4


def test_lines_of_chapters_executed_at_once_cannot_run_into_each_other(book, monkeypatch):
    written = []
    monkeypatch.setattr(sys.stdout, "write", written.append)
    execution.execute("one", root=book, bar=False)
    assert len(written) == 2 and all(text.index("\n") == len(text) - 1 for text in written)


def test_a_chapter_asked_for_twice_at_once_is_executed_once(book):
    command = [sys.executable, "-m", "kflow.reproduce.execution", "one"]
    two = [subprocess.Popen(command, cwd=book, stdout=subprocess.PIPE, text=True) for _ in "12"]
    said = [process.communicate()[0] for process in two]
    assert [process.returncode for process in two] == [0, 0]
    assert sorted(text.count("executing") for text in said) == [0, 1]


def test_an_unknown_notebook_is_refused_with_those_that_there_are(book):
    with pytest.raises(FileNotFoundError, match="there are: one"):
        plans.plan("two", root=book)


def test_outside_of_a_checkout_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "__file__", str(tmp_path / "kflow" / "execution.py"))
    with pytest.raises(FileNotFoundError, match="change into a clone"):
        plans.project(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "\x00",
        "[" * 100_000,
        '{"cells": 3, "nbformat": 4}',
        '{"cells": [{}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    ],
)
def test_a_file_that_is_no_notebook_is_refused(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(ValueError, match="x.ipynb is no notebook"):
        notebooks.read(path)
