"""The parameters cell is the schema: names, types and ranges are read from it and held to."""

import json

import pytest

from kflow.figures import parameter_file, parameters
from kflow.figures.shares import Shares

CELL = """
layers: int = 500        # [1, 100000] layers of the flow
gamma: float = 1.0       # (0, 100] bandwidth
dataset: str = "mnist"   # {mnist, fashion_mnist} which images
plain: bool = False      # no pictures
seed: int = 0            # [0, 2**31) seed of every draw
"""


@pytest.fixture
def schema():
    return parameters.parse(CELL)


def test_a_line_gives_name_type_default_range_and_meaning(schema):
    p = schema["layers"]
    assert (p.kind, p.default, p.allowed) == ("int", 500, "[1, 100000]")
    assert p.meaning == "layers of the flow"
    assert schema["dataset"].choices == ("mnist", "fashion_mnist")


def test_a_line_may_end_with_its_shares_of_time_and_memory():
    line = "n: int = 9  # [1, 99] points (75 % of the time) (20 % of the memory)"
    p = parameters.parse(line)["n"]
    assert (p.meaning, p.shares, p.allowed) == ("points", Shares(0.75, 0.2), "[1, 99]")
    assert parameters.parse(CELL)["layers"].shares == Shares()
    line = "n: int = 9  # [1, 99] levels (60 % of the time, in the first part, doubled by each)"
    p = parameters.parse(line)["n"]
    assert (p.meaning, p.shares) == ("levels", Shares(0.6, 0, "first part", True))


BATCH = """
n: int = 100        # [20, 1000] points
n_fine: int = 60    # [2, 600], even, at most n: points in a game (75 % of the time)
"""


def test_a_range_may_ask_for_an_even_number_and_for_no_more_than_another_parameter():
    schema = parameters.parse(BATCH)
    p = schema["n_fine"]
    assert (p.allowed, p.meaning) == ("[2, 600], even, at most n", "points in a game")
    assert p.shares == Shares(0.75)
    assert parameters.complete(schema, {"n_fine": 100})["n_fine"] == 100
    with pytest.raises(ValueError, match=r"n_fine = 61 is odd .*; allowed: \[2, 600\], even"):
        parameters.complete(schema, {"n_fine": 61})
    with pytest.raises(ValueError, match="parameter n_fine = 60 is more than n = 40"):
        parameters.complete(schema, {"n": 40})


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        (", odd: points", "a range goes on with"),
        (", even points", "a range goes on with"),
        (", at most m: points", "at most 'm', which is no parameter"),
        (", at most k: points", "n = 9 is more than k = 8"),
    ],
)
def test_limits_that_cannot_hold_are_refused(comment, said):
    with pytest.raises(ValueError, match=said):
        parameters.parse(f"k: int = 8  # [1, 99] k\nn: int = 9  # [1, 99]{comment}")


def test_defaults_fill_what_is_not_given(schema):
    values = parameters.complete(schema, {"layers": 7, "gamma": 2})
    assert values["layers"] == 7 and values["seed"] == 0
    assert isinstance(values["gamma"], float)


def test_an_unknown_name_is_refused_with_the_nearest(schema):
    with pytest.raises(ValueError, match="unknown parameter 'layrs': did you mean 'layers'"):
        parameters.complete(schema, {"layrs": 3})


@pytest.mark.parametrize(
    ("name", "value"),
    [("layers", 0), ("gamma", 0.0), ("gamma", 100.1), ("seed", 2**31), ("dataset", "cifar")],
)
def test_a_value_outside_its_range_is_refused(schema, name, value):
    with pytest.raises(ValueError, match=f"parameter {name} = .* is outside"):
        parameters.complete(schema, {name: value})


@pytest.mark.parametrize(("name", "value"), [("layers", 1.5), ("layers", True), ("plain", 1)])
def test_a_value_of_another_type_is_refused(schema, name, value):
    with pytest.raises(TypeError, match=f"parameter {name}"):
        parameters.complete(schema, {name: value})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [("layers", "1000", 1000), ("gamma", "1e-3", 1e-3), ("plain", "true", True)],
)
def test_text_from_a_command_line_becomes_the_type(schema, name, text, value):
    assert schema[name].read(text) == value


def test_text_that_is_no_number_is_refused(schema):
    with pytest.raises(TypeError, match="layers = 'many' is not int"):
        schema["layers"].read("many")


@pytest.mark.parametrize(
    "cell",
    ["layers = 500", "layers: int = 500", "layers: list = []", "n: int = 5  # [6, 7] out of range"],
)
def test_a_cell_that_is_no_schema_is_refused(cell):
    with pytest.raises((ValueError, TypeError)):
        parameters.parse(cell)


def test_the_cell_that_papermill_injects_is_found_after_the_schema():
    found, injected = parameters.of_session(
        [
            "%matplotlib inline",
            CELL,
            "# Parameters\nlayers = 9\nlayrs = 3\n",
            "x: int = 1\nprint(x)",
        ]
    )
    assert set(found) == {"layers", "gamma", "dataset", "plain", "seed"}
    assert injected == ["layers", "layrs"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("-2E+4", -2e4), (".5e1", 5.0), ("1.0e-3", 1e-3), ("3", 3), ("e3", "e3")],
)
def test_a_number_in_a_file_is_a_number_however_it_is_written(tmp_path, text, value):
    path = tmp_path / "set.yml"
    path.write_text(f"nugget: {text}\n")
    assert parameter_file.read(path) == {"nugget": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "must map names to values"),
        ("[]", "must map names to values"),
        ("0", "must map names to values"),
        ("a: [", "cannot be read as YAML"),
        ("a: !!python/object:os.system x", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("#" * 70_000, "larger than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_parameters_is_refused(tmp_path, text, said):
    path = tmp_path / "set.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"set.yml.*{said}"):
        parameter_file.read(path)


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [LAUGHS, "n: &a 4\nm: *a\n", "n: " + "[" * 20_000, "n: " + "9" * 5000, "3: 4", "~: 4",
     "n: !!python/name:open", "- 1", "words"],
)  # fmt: skip
def test_yaml_that_holds_no_parameters_is_refused(tmp_path, text):
    path = tmp_path / "flow.yml"
    path.write_text(text)
    with pytest.raises(ValueError, match="flow.yml (cannot be read as YAML|must map names)"):
        parameter_file.read(path)


CUT = ("n = open(1)", "n: int =", "n: int = (", "n: int = 1 +", "n: int = '''")
CELLS = [{"cells": [{"metadata": {"tags": ["parameters"]}, "source": [text]}]} for text in CUT]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"cells": 3}', '{"cells": [{}]}', "[" * 100_000, "\x00",
     *map(json.dumps, CELLS)],
)  # fmt: skip
def test_a_file_that_is_no_notebook_has_no_parameters(tmp_path, text):
    path = tmp_path / "flow.ipynb"
    path.write_text(text)
    with pytest.raises(ValueError, match="flow.ipynb is no notebook with parameters"):
        parameters.of_notebook(path)
