"""What an execution depends on is found from a notebook's imports and declarations."""

import pytest

from kflow.reproduce import dependencies, plans
from tests.site import NAMES, ROOT


@pytest.fixture
def package(tmp_path):
    files = {
        "__init__.py": "from pack import base",
        "base.py": "",
        "upper.py": "def f():\n    from pack.room import inner\n",
        "alone.py": "import pack.upper",
        "room/__init__.py": "",
        "room/inner.py": "",
        "room/other.py": "",
        "_data/__init__.py": "",
        "_data/kind/table.csv": "1",
        "reader.py": "from pack import _data",
    }
    for name, text in files.items():
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "pack"


def found(package, *cells):
    return {p.relative_to(package).as_posix() for p in dependencies.files(cells, package)}


BASE = {"__init__.py", "base.py"}
DATA = {"_data/__init__.py", "_data/kind/table.csv"}


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("import numpy", set()),
        ("import pack", BASE),
        ("from pack import upper", BASE | {"upper.py", "room/__init__.py", "room/inner.py"}),
        ("from pack.room import other as o", BASE | {"room/__init__.py", "room/other.py"}),
        ("from pack.base import name", BASE),
        ("def f():\n    import pack.room.inner", BASE | {"room/__init__.py", "room/inner.py"}),
        ("%matplotlib inline\nimport pack", BASE),
        ("'from pack import upper'  # from pack import upper", set()),
        (
            "from pack import reader",
            BASE | DATA | {"reader.py"},
        ),
        ("this is no Python", set()),
    ],
)
def test_imports_are_followed_and_nothing_else(package, cell, names):
    assert found(package, cell) == names


def test_a_module_that_changes_is_read_again(package):
    assert "base.py" in found(package, "import pack.base")
    (package / "base.py").write_text("import pack.room.other\n")
    assert "room/other.py" in found(package, "import pack.base")


def test_records_are_those_that_the_notebook_declares():
    cells = ["x = 'mnist'", "figures.begin('one', records=['a', 'b-c'])"]
    assert dependencies.records(cells) == ("a", "b-c")
    assert dependencies.records(["begin('one')", "read('mnist')"]) == ()
    with pytest.raises(ValueError, match=r"records=names must be written as a list"):
        dependencies.records(["begin('one', records=names)"])


def test_a_chapter_depends_on_the_modules_that_it_imports_and_on_no_other():
    inputs = {name: set(plans.plan(name, root=ROOT).inputs) for name in NAMES}
    for name, found in inputs.items():
        assert {"kflow/engine/transport.py", "kflow/figures/drawing.py"} <= found, name
        assert not [
            path for path in found if path.startswith(("kflow/reproduce", "tests", "book/_"))
        ]
        assert not {"kflow/__main__.py", "kflow/paper/__main__.py"} & found, name
    late = {name for name, found in inputs.items() if "kflow/paper/late.py" in found}
    assert late <= {"mnist", "fashion_mnist", "settings"}
    assert "book/records/paper/mnist.json" in inputs["mnist"] - inputs["fashion_mnist"]
