"""The tables beside the talk's, the baselines and the study, from records made by hand."""

import json
import tomllib
from dataclasses import asdict

import numpy as np
import pytest

from kflow import paper
from kflow.paper import experiments, findings, record, report, study
from kflow.reproduce import plans

ROOT = plans.project()


def write(root, name, record):
    (root / paper.RECORDS).mkdir(parents=True, exist_ok=True)
    (root / paper.RECORDS / f"{name}.json").write_text(json.dumps(record))


def mnist(layers, errors):
    """A record of "mnist" observed at the given layers, with one error for each N_I."""
    settings = asdict(experiments.EXPERIMENTS["mnist"]) | {"layers": max(layers), "s": 10.0}
    read = {f"error_{n}": error for n, error in zip(experiments.N_INTERP, errors, strict=True)}
    read |= {"within": 1.0, "between": 2.0}
    by_layer = {str(k): read for k in layers}
    facts = {"seconds_moving": 1.0, "seconds_observing": 1.0, "hardware": "one", "commit": "?"}
    facts["arithmetic"] = "bf16 products, three halves"
    return {"settings": settings, "by_layer": by_layer, **facts}


def mnist_run(layers, errors):
    return record.run_of("mnist", mnist(layers, errors), {})


def test_a_run_says_in_which_arithmetic_its_points_were_moved():
    assert mnist_run([0], (0.1,) * 4).arithmetic == "float32, moved by products of bfloat16"
    numbers = mnist([0], (0.1,) * 4) | {"arithmetic": "float64"}
    assert record.run_of("mnist", numbers, {}).arithmetic == "float64"


def test_the_talks_numbers_are_written_once():
    claims = tomllib.loads((ROOT / "book/records/claims.toml").read_text())
    told = claims["table"]
    assert {table["name"] for table in told} == set(report.TALK)
    assert not any("rows" in table for table in told)  # they are written once
    numbers = {value for rows in report.TALK.values() for row in rows for value in row}
    assert not any(set(claim.get("expect", ())) & numbers for claim in claims["claim"])
    [judged] = [claim["range_of"] for claim in claims["claim"] if "range_of" in claim]
    assert report.talk(judged[0]).loc[judged[1], "min"] == 0.0136
    assert report.talk("M").loc[10].tolist() == [0.015, 0.0136, 0.0177, 7.13e-4]


def test_our_average_is_judged_by_the_talks_range(tmp_path):
    write(tmp_path, "mnist", mnist([10, 11, 12], (0.0136, 0.0135, 0.0147, 0.0150)))
    table = report.beside("M", "mnist", 11, 12, tmp_path)
    words = ["within", "below", "above", "within"]
    assert table["average, and the talk's range"].tolist() == words
    assert table["ours (%), layers 11 to 12", "average"]["600 labelled"] == 1.35


def test_a_table_that_was_not_reached_is_not_run_and_says_its_cost(tmp_path):
    none = report.beside("F-b", "fashion-small-steps", 49_900, 50_000, tmp_path)
    assert none["a run takes"].iloc[0].tolist() == ["hours"]
    write(tmp_path, "mnist", mnist([0, 5000], (0.1,) * 4))
    short = report.beside("M", "mnist", 11_000, 12_000, tmp_path)
    assert set(short["ours"]["average"]) == {"not run"}
    assert short["a run takes"].iloc[0].tolist() == ["about 5 seconds on one"]


def test_the_tables_of_a_record_are_those_that_were_reached_else_its_last_thousand_layers():
    of = {3500: [(2500, 3500)], 4000: [(3000, 4000)], 12_000: [(3000, 4000), (11_000, 12_000)]}
    for deepest, reached in of.items():
        assert report.tables(mnist_run([0, 3000, deepest], (0.1,) * 4)) == reached
    early = mnist_run([0, 2000], (0.1,) * 4)
    assert report.tables(early) == [(1000, 2000)]
    assert report.over(early, 1000, 2000)["average"].tolist() == [0.1] * 4


def test_a_run_is_read_layer_by_layer_in_order():
    run = mnist_run([20, 3, 100], (0.1, 0.2, 0.3, 0.4))
    assert run.layers == [3, 20, 100] and run.settings.layers == 100
    assert list(run.at[3].errors) == [6000, 600, 60, 10] and run.at[3].between == 2
    assert run.errors(10) == [0.4] * 3 and run.errors(60, 20) == run.errors(60, 3, 20) == [0.3] * 2
    assert run.draws_by == "1000 seed + layer"  # of a record that does not say


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda numbers: numbers.pop("hardware"), "mnist.json cannot be read: it lacks 'hardware'"),
        (lambda numbers: numbers["settings"].pop("s"), "it lacks 's'"),
        (lambda numbers: numbers["by_layer"]["5"].pop("within"), "it lacks 'within'"),
        (lambda numbers: numbers["by_layer"]["5"].update(error_10=1.5), "error_10 = 1.5 is no"),
        (lambda numbers: numbers["by_layer"]["5"].update(error_10="x"), "make paper ONLY=mnist"),
    ],
)
def test_a_damaged_record_is_refused_by_what_it_lacks(change, message):
    numbers = mnist([5], (0.1,) * 4)
    change(numbers)
    with pytest.raises(ValueError, match=message):
        record.run_of("mnist", numbers, {})


def test_another_run_stands_beside_the_talk_without_a_verdict(tmp_path):
    assert report.end_beside("M", "mnist", tmp_path).loc["mnist", "ours"] == "not run"
    write(tmp_path, "mnist", mnist([0, 2000], (0.1,) * 4))
    beside = report.end_beside("M", "mnist", tmp_path)
    assert list(beside.columns.levels[0]) == ["talk (%)", "ours (%), layers 1000 to 2000"]


def test_errors_without_a_flow_are_told_as_far_as_they_were_made(tmp_path):
    assert report.without_flow("mnist", tmp_path) is None
    parts = {
        "mnist layer_0": {"test": {"600": [0.1, 0.3]}},
        "mnist neighbours": {"test": 0.03},
        "fashion_mnist neighbours": {"test": 0.15},
    }
    write(tmp_path, "baselines", {"parts": parts})
    expected = {"layer_0 600": 0.2, "neighbours": 0.03}
    assert report.without_flow("mnist", tmp_path) == pytest.approx(expected)
    table = report.baselines_table(expected)
    assert table["test error (%)"].to_dict() == {
        "no flow, best settings, 600 labelled": 20.0,
        "nearest neighbours, all training images": 3.0,
        "kernel ridge, all training images": "not run, for want of memory or time",
    }


def test_a_run_and_a_method_are_compared_on_the_same_test_images(tmp_path):
    wrong = {"wrong_20": np.array([1, 2, 3, 7])}
    run = record.run_of("mnist", mnist([0, 20], [0.1] * 4), wrong)
    assert report.paired(run, "mnist", "all_ridge", tmp_path) == {}
    write(tmp_path, "baselines", {"parts": {"mnist all_ridge": {"test": 0.1, "wrong": [7, 9]}}})
    assert report.paired(run, "mnist", "neighbours", tmp_path) == {}
    found = report.paired(run, "mnist", "all_ridge", tmp_path)
    assert (found["flow_alone"], found["other_alone"]) == (3, 1)
    assert found["p"] == pytest.approx(2 * (4 + 1) / 2**4)  # 3 or 4 of 4 fair coins, or 1 or 0
    of_each = np.repeat([1.0, -1.0, 0.0], [3, 1, 9996])  # the differences of the 10000 images
    half = 1.96 * of_each.std() / 100
    assert found["low"] == pytest.approx(of_each.mean() - half)
    assert found["high"] == pytest.approx(of_each.mean() + half)


@pytest.mark.parametrize("name", ["baselines", "study", "late", "fashion-small-steps"])
def test_what_was_not_run_says_the_command_and_what_it_takes(tmp_path, name):
    row = report.not_run(name, tmp_path).loc[name]
    assert row["ours"] == "not run" and row["command"] == f"make paper ONLY={name}"
    assert "hour" in row["takes"]


def test_draws_of_another_run_are_refused(tmp_path):
    assert report.ones(tmp_path) is None
    write(tmp_path, "mnist", mnist([0, 4000], (0.1,) * 4))
    write(tmp_path, "ones", {"settings": {"layers": 4000}})
    assert report.ones(tmp_path)[0]["settings"]["layers"] == 4000
    write(tmp_path, "mnist", mnist([0, 5000], (0.1,) * 4))
    with pytest.raises(paper.OtherSettings, match="4000 layers, mnist.json has 5000"):
        report.ones(tmp_path)


def studied(*found):
    """A record of the study: (what differs from the base, error with ten) by run."""
    runs = [
        {
            "configuration": asdict(study.BASE) | other,
            "by_layer": {"5": {"errors_10": [e, e + 0.2]}},
        }
        for other, e in found
    ]
    return {"settings": {"layers": [0, 5], "reads": [[10, 2]]}, "runs": runs}


def effect(*errors):
    return findings.Effect({"rule": "max", "delta": 0.1}, {10: list(errors)})


def test_the_study_is_told_factor_by_factor_with_the_base_in_each():
    told = studied(({}, 0.1), ({"nugget": 0.1}, 0.3), ({}, 0.2), ({"rule": "relative"}, 0.0))
    told["runs"].append({**told["runs"][1], "by_layer": {"0": {}}})  # broke on the way
    found = findings.effects(told, "mnist")
    assert found[0].errors[10] == pytest.approx([0.2, 0.3])  # two seeds, each the mean of draws
    grouped = findings.by_factor(found)
    assert [e.label("nugget") for e in grouped["nugget"]] == ["0.01", "0.1"]
    assert [e.label("step") for e in grouped["step"]] == ["0.1 s", "0.1 |x|"]
    assert len(grouped["gamma_factor"]) == 1
    said = findings.advice({name: grouped[name] for name in ("nugget", "step")}, 10)
    assert "nugget 0.01 (25.00%); step 0.1 |x| (10.00%)" in said
    best = findings.advice({"step": [effect(0.1, 0.3), effect(0.2, 0.4), effect(0.31, 0.5)]}, 10)
    assert best == "With 10 labelled images the least means of 2 seeds are step 0.1 s (20.00%)."
    assert findings.effects(told, "fashion_mnist") == []


def test_remedies_are_told_by_layer_and_seed():
    def went(name, seed, error):
        read = {"5": {"errors_10": [error, 3 * error]}}
        return {"name": name, "remedy": {}, "seed": seed, "by_layer": read}

    runs = [went("none", 0, 0.1), went("a", 0, 0.2), went("none", 1, 0.3)]
    runs.append(went("none", 0, 0.4) | {"remedy": {"dataset": "fashion_mnist"}})
    found = findings.by_remedy({"runs": runs}, 10)
    assert list(found) == ["none", "a"]
    assert found["none"].loc[5].to_dict() == pytest.approx({0: 0.2, 1: 0.6})
