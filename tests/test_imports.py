"""Imports point one way: every module of kflow imports only modules that stand above it here."""

import ast
from pathlib import Path

import kflow

ORDER = """checks kernels interpolation game steps engine flow classify estimators ode
fluctuations""".split()
ENGINE = """transport memory layers checkpoint shards sharded_checkpoint fingerprint frame lookahead
progress run""".split()
FOLDER = Path(kflow.__file__).parent


def imported(path, package="kflow"):
    """The modules of a package that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            names.add(node.module.removeprefix(f"{package}.").split(".")[0])
    return names


def files(name):
    return (FOLDER / name).glob("*.py") if (FOLDER / name).is_dir() else [FOLDER / f"{name}.py"]


def test_the_core_imports_nothing_from_below():
    for position, name in enumerate(ORDER):
        for path in files(name):
            below = imported(path) - set(ORDER[:position]) - {name}
            assert not below, f"{path} imports {below}"


def test_the_engine_imports_nothing_from_below():
    for position, name in enumerate(ENGINE):
        below = imported(FOLDER / f"engine/{name}.py", "kflow.engine") - set(ENGINE[:position])
        assert not below, f"engine/{name}.py imports {below}"


def test_no_module_of_the_engine_is_missing_from_the_order():
    assert {p.stem for p in (FOLDER / "engine").glob("*.py")} - {"__init__"} == set(ENGINE)


def test_every_public_name_is_importable_and_documented():
    for name in kflow.__all__:
        assert getattr(kflow, name).__doc__, name
