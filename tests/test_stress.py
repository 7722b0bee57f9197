"""A part of the stress tests, with seeds: `python -m tests.stress` tries far more."""

import json
import os
import random
import re
import sys
import time
import warnings

import pytest
import torch

from tests.stress import calls, endurance, faults, files, handled, inputs, record
from tests.stress.tally import Tally
from tests.stress.values import Draw
from tests.stress.verdict import Call, Verdict, judge

pytestmark = pytest.mark.wrong_types
SECONDS = 4.0


def few(module, seed, count):
    """So many cases, or as many as are made in some seconds."""
    tally, ends = Tally(seed), time.monotonic() + SECONDS
    for number in range(count):
        tally.add(number, *module.try_case(seed, number))
        if time.monotonic() > ends:
            break
    return tally


@pytest.mark.parametrize(("module", "count"), [(inputs, 300), (files, 60)])
def test_hostile_inputs_and_files_end_in_right_answers_or_errors_of_ours(module, count):
    tally = few(module, 3, count)
    assert tally.total and not tally.found, json.dumps(tally.found, indent=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_interrupted_and_full_disks_lose_nothing():
    want, seconds = faults.unbroken()
    for number in range(3):
        for act in (faults.kill, faults.interrupt):
            verdict, said = act(random.Random(number), want, seconds)
            assert verdict.kind in ("right", "done"), (verdict, said)
    for number in range(4):
        verdict, said = faults.full_disk(random.Random(number))
        assert verdict.kind in ("refused", "done"), (verdict, said)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_layers_do_not_take_more_and_more(tmp_path):
    seen = endurance.layers(100, tmp_path)
    assert seen["memory"][-1] - seen["memory"][5] < 20
    assert max(seen["handles"][5:]) <= seen["handles"][5]


def test_a_case_is_the_same_when_it_is_made_again():
    for number in range(5):
        name, call, _ = inputs.case(1, number)
        again, other, _ = inputs.case(1, number)
        assert name == again and call.said == other.said


def test_every_kind_of_call_is_ordinary_without_hostile_arguments():
    for name, make in calls.CALLS.items():
        draw = Draw(2, 0)
        draw.share = 0
        assert judge(make(draw)).kind in ("right", "checked", "refused"), name


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (lambda x: x.fill_(1), "changed its arguments"),
        (lambda x: x / 0, "returned (NaN|infinity) in silence"),
        (lambda x: torch.linalg.cholesky(-torch.eye(2)), "raised"),
        (lambda x: {}["absent"], "raised KeyError"),
        (lambda x: torch.rand(3), "another answer"),
        (lambda x: warnings.warn("hm", stacklevel=1), "warned UserWarning: hm"),
        (lambda x: x, "is wrong: off"),
    ],
)
def test_what_is_no_answer_is_found(run, why):
    check = (lambda result, x: "off") if why == "is wrong: off" else None
    verdict = judge(Call("it", {"x": torch.full((2, 2), 3.0)}, run, check))
    assert verdict.kind == "found"
    assert re.search(why, verdict.why), verdict.why


def test_what_is_found_twice_is_told_once():
    tally = Tally(0)
    tally.add(3, "kernels", Verdict("found", "kernels died (-11)"), [])
    tally.add(4, "kernels", Verdict("found", "kernels died (-11)"), [])
    (one,) = tally.found.values()
    assert one["times"] == 2 and one["case"] == 3 and tally.total == 2


def test_the_committed_records_found_nothing_that_was_not_mended():
    for part in ("inputs", "files", "faults", "endurance"):
        told = json.loads((record.FOLDER / f"{part}.json").read_text())
        assert all("mended" in fault for fault in told["found"]), part
        assert told["tried"] == sum(sum(kinds.values()) for kinds in told["counts"].values())


def test_each_handled_fault_names_lines_that_are_there():
    listed = handled.faults()
    told = json.loads((record.FOLDER / "handled.json").read_text())["faults"]
    assert [f["cure"] for f in told] == [f["cure"] for f in listed], "run tests.stress.handled"
    assert all(fault["test"] for fault in told)


@pytest.mark.parametrize(
    ("test", "seen"), [("x", "tests/test_small.py::test_x"), ("other", None)], ids=str
)
def test_a_handling_taken_away_is_noticed_by_its_test_alone(tmp_path, test, seen):
    (tmp_path / "tests").mkdir()
    (tmp_path / "changed.py").write_text("x = 1  # so\n")
    (tmp_path / "tests/test_small.py").write_text(
        "import changed\ndef test_x():\n    assert changed.x == 1\ndef test_other():\n    pass\n"
    )
    fault = {"file": "changed.py", "old": "1", "new": "2", "tests": [f"test_small.py::test_{test}"]}
    assert handled.noticed(tmp_path, fault) == seen
    assert (tmp_path / "changed.py").read_text() == "x = 1  # so\n"
