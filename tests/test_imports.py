"""Imports point one way: every module of kflow imports only modules that stand above it here."""

import ast
from pathlib import Path

import kflow

ORDER = """checks kernels interpolation game steps transport memory layers checkpoint shards
sharded_checkpoint fingerprint cloud ahead progress running flow classify estimators ode
fluctuations""".split()
FOLDER = Path(kflow.__file__).parent


def imported(path):
    """The modules of kflow that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "kflow":
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kflow."):
            names.add(node.module.split(".")[1])
    return names


def test_the_core_imports_nothing_from_below():
    for position, name in enumerate(ORDER):
        below = imported(FOLDER / f"{name}.py") - set(ORDER[:position])
        assert not below, f"{name}.py imports {below}"


def test_no_core_module_is_missing_from_the_order():
    leaves = {p.stem for p in FOLDER.glob("*.py")} - set(ORDER) - {"__init__", "__main__"}
    for name in ORDER:
        assert not imported(FOLDER / f"{name}.py") & leaves


def test_every_public_name_is_importable_and_documented():
    for name in kflow.__all__:
        assert getattr(kflow, name).__doc__, name
