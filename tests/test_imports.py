"""Imports go down only, by the contracts in pyproject.toml."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kflow
from tests.site import ROOT

UPWARD = "import kflow.reproduce.verify\n"
INSIDE = "def late():\n    from kflow.reproduce import verify\n    return verify\n"


def lint(folder):
    """What import-linter says of the kflow in a folder: its exit status and its report."""
    tool = Path(sys.executable).with_name("lint-imports")
    command = [tool, "--no-cache", "--no-logo", "--config", ROOT / "pyproject.toml"]
    done = subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path):
    """A copy of the library, which a test may spoil."""
    ignored = shutil.ignore_patterns("__pycache__", "*.xz")
    return shutil.copytree(ROOT / "kflow", tmp_path / "kflow", ignore=ignored)


def test_imports_go_down():
    status, report = lint(ROOT)
    assert status == 0, report


@pytest.mark.parametrize("line", [UPWARD, INSIDE])
def test_an_import_upward_is_found_inside_a_function_too(copy, line):
    with open(copy / "game.py", "a") as file:
        file.write(line)
    status, report = lint(copy.parent)
    assert status == 1 and "kflow.game -> kflow.reproduce.verify" in report


def test_a_new_module_is_refused_until_it_has_a_place(copy):
    (copy / "new.py").write_text("from kflow import paper\n")
    status, report = lint(copy.parent)
    assert status == 1 and "new" in report


def test_a_new_module_may_not_import_upward(copy):
    (copy / "engine/transport.py").rename(copy / "engine/new.py")
    (copy / "engine/transport.py").write_text("from kflow.engine import run\n" + UPWARD)
    status, report = lint(copy.parent)
    assert status == 1 and "kflow.engine.transport -> kflow.reproduce.verify" in report


def test_modules_of_one_package_may_not_import_each_other_in_a_circle(copy):
    with open(copy / "paper/record.py", "a") as file:
        file.write("from kflow.paper import runs\n")
    assert lint(copy.parent)[0] == 1


def test_the_contract_names_no_module_that_is_gone():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    names = {name for name in contract["contracts"][0]["layers"] if not name.startswith("(")}
    there = {path.stem for path in (ROOT / "kflow").iterdir()}
    assert names == there - {"__init__", "__pycache__"}


def test_every_public_name_is_importable_and_documented():
    for name in kflow.__all__:
        assert getattr(kflow, name).__doc__, name


@pytest.mark.parametrize("room", ["forecasting", "learning"])
def test_a_room_is_imported_from_the_library_before_anything_else(room):
    line = f"from kflow import {room}; import kflow; assert kflow.{room} is {room}"
    subprocess.run([sys.executable, "-c", line], check=True, cwd=ROOT)
