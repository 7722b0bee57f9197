"""Published records: what is compared, and what a damaged one says."""

import errno
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from kflow.figures import records
from kflow.figures.records import Quantity, RecordError
from kflow.paper import report
from kflow.reproduce import compare, plans

ROOT = plans.project(Path(__file__).parent)
PUBLISHED = ROOT / "book" / "records"
RULES = [
    Quantity("count", 7, "exact"),
    Quantity("error", 0.1, "close", rtol=1e-3),
    Quantity("mean", 0.5, "statistical", low=0.4, high=0.6),
    Quantity("once", 0.3, "single-run"),
]


def write(folder, quantities=RULES, **changes):
    """A figure's folder with a table of two columns."""
    folder.mkdir(parents=True)
    data = records.write_data(folder, folder.name, {"x": np.arange(2), "y": np.ones(2)})
    record = {
        "slug": folder.name,
        "notebook": "flow",
        "parameters": {"layers": 3},
        "seeds": [0],
        "dtype": "float32",
        "derived_from": None,
        "changed": [],
        "data": {"file": data.name, "columns": {}},
        "files": {data.name: records.sha256(data)},
        "quantities": {q.name: q.to_json() for q in quantities},
    }
    records.write_json(folder / "record.json", record | changes)
    records.write_json(folder / "provenance.json", {"commit": {"dirty": False}})
    return folder


@pytest.fixture
def pair(tmp_path):
    made = write(tmp_path / "made" / "flow-error")
    published = tmp_path / "published" / "flow-error"
    compare.accept(made, published)
    return published, made


def falsify(folder, name, value):
    record = json.loads((folder / "record.json").read_text())
    record["quantities"][name]["value"] = value
    records.write_json(folder / "record.json", record)


def differing(rows):
    return {row.quantity for row in rows if row.verdict == "differs"}


def test_the_same_numbers_agree_and_one_seed_is_not_compared(pair):
    verdicts = {row.quantity: row.verdict for row in compare.compare(*pair)}
    assert verdicts["once"] == "not compared"
    assert {verdicts[name] for name in ("count", "error", "mean")} == {"agrees"}


@pytest.mark.parametrize(
    ("name", "value"), [("count", 8), ("error", 0.1002), ("mean", 0.55), ("once", 0.31)]
)
def test_a_falsified_number_of_any_kind_is_named(pair, name, value):
    falsify(pair[0], name, value)
    assert differing(compare.compare(*pair)) == {"record", name}


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("error", 0.10009, "agrees"),
        ("error", 0.1002, "differs"),
        ("mean", 0.59, "agrees"),
        ("count", 8, "differs"),
        ("once", 9.0, "not compared"),
    ],
)
def test_a_drifted_number_is_judged_by_its_kind(pair, name, value, verdict):
    falsify(pair[1], name, value)
    found = {row.quantity: row.verdict for row in compare.compare(*pair)}
    assert found[name] == verdict


def test_a_rule_that_was_relaxed_differs(pair, tmp_path):
    relaxed = [Quantity("error", 0.1, "close", rtol=0.5), *RULES[:1], *RULES[2:]]
    made = write(tmp_path / "again" / "flow-error", relaxed)
    assert differing(compare.compare(pair[0], made)) == {"error"}


def test_a_number_that_came_or_went_differs(pair, tmp_path):
    made = write(tmp_path / "again" / "flow-error", [*RULES[1:], Quantity("new", 1, "exact")])
    assert differing(compare.compare(pair[0], made)) == {"count", "new"}


def test_other_settings_differ(pair, tmp_path):
    made = write(tmp_path / "again" / "flow-error", parameters={"layers": 4})
    assert differing(compare.compare(pair[0], made)) == {"parameters"}


def test_data_that_does_not_match_its_hash_is_named(pair):
    (pair[0] / "flow-error.csv").write_text("x,y\n0,2\n")
    with pytest.raises(RecordError, match="flow-error.csv is not the file"):
        records.load(pair[0])
    (row,) = compare.compare(*pair)
    assert row.verdict == "differs" and "flow-error.csv" in row.allowed


def test_missing_data_is_named(pair):
    (pair[0] / "flow-error.csv").unlink()
    with pytest.raises(RecordError, match="flow-error.csv is missing"):
        records.load(pair[0])


def test_a_variant_is_not_accepted_as_the_published_record(tmp_path):
    made = write(tmp_path / "flow-error", derived_from="flow-error", changed=["layers"])
    with pytest.raises(RecordError, match="other parameters"):
        compare.accept(made, tmp_path / "published")


def test_a_bound_with_the_digits_of_a_result_is_refused():
    with pytest.raises(ValueError, match="high = 0.333.* looks like a result"):
        Quantity("error", 0.1, "statistical", low=0, high=1 / 3)
    assert Quantity("error", 0.1, "close", atol=1e-300, rtol=0.123456).rtol == 0.123456


def test_a_hundred_good_quantities_pass_together(tmp_path):
    # 100 means of 50 draws, each in an interval of four standard deviations: the
    # chance that one of them falls out is below one in a hundred
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 100, 50)).mean(axis=2)
    wide = 4 * 2**0.5 / 50**0.5
    many = [
        [Quantity(f"mean_{i}", v, "statistical", low=round(b - wide, 3), high=round(b + wide, 3))
         for i, (v, b) in enumerate(zip(values, before, strict=True))]
        for values in (before, after)
    ]  # fmt: skip
    compare.accept(write(tmp_path / "made" / "flow-many", many[0]), tmp_path / "published")
    again = write(tmp_path / "again" / "flow-many", many[1])
    assert compare.passed(compare.compare(tmp_path / "published", again))


def test_every_released_slug_has_a_sound_record_and_every_record_is_released():
    released = (PUBLISHED / "slugs.txt").read_text().split()
    folders = [path.parent for path in sorted(PUBLISHED.glob("*/record.json"))]
    assert sorted(released) == released == [folder.name for folder in folders]
    for folder in folders:
        record = records.load(folder)
        assert record["slug"] == folder.name and records.quantities(record) is not None
        origin = records.read_json(folder / "provenance.json")
        assert origin["record"] == records.sha256(folder / "record.json"), folder.name


def test_every_row_of_the_source_is_in_the_claims():
    told = tomllib.loads((PUBLISHED / "claims.toml").read_text())
    named = {claim["id"] for claim in told["claim"] if "id" in claim}
    assert named == {"S1", "S2", "S3", "S4", "S5", "F1", "F2", "M1", "C"}
    counts = {part: 0 for part in ("theory", "roll", "images", "abstract", "questions")}
    for claim in told["claim"]:
        counts[claim["part"]] += 1
    assert counts == {"theory": 8, "roll": 5, "images": 4, "abstract": 5, "questions": 4}
    for name in ("F-a", "F-b", "M"):
        assert name in [table["name"] for table in told["table"]]
        assert report.talk(name).index.tolist() == [6000, 600, 60, 10]


def test_a_bound_of_zero_is_written_and_read_again():
    quantity = Quantity("distance", 0.2, "statistical", low=0.0, high=0.5, paper=0.0)
    assert records.from_json("distance", quantity.to_json()) == quantity


@pytest.mark.parametrize("name", ["../secret", "..", "/etc/passwd", "", "a/b"])
def test_a_record_names_files_of_its_own_folder_only(tmp_path, name):
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "a-figure"
    folder.mkdir()
    told = {"files": {name: records.sha256(tmp_path / "secret")}, "data": {"file": name}}
    records.write_json(folder / "record.json", told)
    with pytest.raises(records.RecordError, match="names a file outside of its folder"):
        records.load(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[]",
        "3",
        "{",
        "\xff",
        '{"files": 3}',
        '{"data": []}',
        '{"n": ' + "9" * 5000 + "}",
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "record.json").write_text(text, "latin-1")
    with pytest.raises(records.RecordError, match="record.json"):
        records.load(tmp_path)


@pytest.mark.parametrize(
    "found",
    [None, [], {"a": 3}, {"a": {"value": 1}}, {"a": {"value": "x", "kind": "exact"}},
     {"a": {"value": 1.0, "kind": "exact", "more": 1}}, {"a": {"value": 10**400, "kind": "exact"}}],
)  # fmt: skip
@pytest.mark.wrong_types
def test_quantities_that_are_none_are_refused(found):
    with pytest.raises(records.RecordError):
        records.quantities({"slug": "a", "quantities": found})


def test_a_record_that_cannot_be_written_leaves_the_former_one(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    records.write_json(path, {"a": 1})

    def full(self, text, *_):
        open(self, "w").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="cannot be written, No space left on device.*record.json"):
        records.write_json(path, {"a": 2})
    assert records.read_json(path) == {"a": 1} and [*tmp_path.iterdir()] == [path]
