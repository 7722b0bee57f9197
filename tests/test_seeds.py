"""The draws of observations: none is drawn twice, and older records are read by their own rule."""

import json

import pytest

from kflow.paper import seeds
from tests.site import ROOT

RECORDS = [
    path
    for path in (ROOT / "book/records/paper").glob("*.json")
    if path.stem in ("study", "late", "ones") or path.stem.startswith(("mnist", "fashion"))
]


def first(seed, layer, *rule):
    return seeds.generator(seed, layer, *rule).initial_seed()


def test_no_seed_draws_at_one_layer_what_another_draws_at_another():
    drawn = {first(seed, layer) for seed in range(5) for layer in range(0, 12_001, 20)}
    assert len(drawn) == 5 * 601
    assert first(0, 1200, seeds.OLDER) == first(1, 200, seeds.OLDER)  # why the rule changed


def test_the_same_seed_and_layer_draw_the_same():
    assert first(3, 40) == first(3, 40) != first(40, 3)
    assert first(3, 40, seeds.OLDER) == 3040


def test_another_rule_is_refused():
    with pytest.raises(ValueError, match="not 'seed \\+ layer'"):
        seeds.generator(0, 0, "seed + layer")


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_says_by_which_rule_its_draws_were_made(path):
    record = json.loads(path.read_text())
    assert record["draws_by"] in (seeds.RULE, seeds.OLDER)


def test_a_record_that_states_no_rule_is_older():
    assert seeds.rule_of({}) == seeds.OLDER and seeds.rule_of({"draws_by": "x"}) == "x"
