"""The study of the settings: kept result by result, and never mixed with other settings."""

import json
from dataclasses import replace

import torch

from kflow.paper import study

SMALL = study.Scale(points=60, held=30, layers=(0, 2), reads=((20, 1), (10, 3)))
FEW = [study.Configuration(n_fine=20), study.Configuration(n_fine=20, rule="relative")]


def points(dataset):
    rng = torch.Generator().manual_seed(5)
    y = torch.eye(10)[torch.arange(200) % 10]
    return 3 * y @ torch.randn(10, 6, generator=rng) + torch.randn(200, 6, generator=rng), y


def make(root, configurations=FEW, scale=SMALL, seeds=(0, 1)):
    return study.run(root, configurations, scale, seeds, points)


def errors(record):
    return [run["by_layer"] for run in record["runs"]]


def test_a_study_has_every_configuration_by_seed_with_its_draws(tmp_path):
    record = make(tmp_path)
    assert [(r["configuration"]["rule"], r["seed"]) for r in record["runs"]] == [
        ("max", 0), ("relative", 0), ("max", 1), ("relative", 1)
    ]  # fmt: skip
    read = record["runs"][0]["by_layer"]
    assert list(read) == ["0", "2"]
    assert (len(read["2"]["errors_20"]), len(read["2"]["errors_10"])) == (1, 3)
    assert all(0 <= e <= 1 for e in read["2"]["errors_10"])


def test_a_study_that_was_interrupted_ends_with_the_same_numbers(tmp_path):
    whole = make(tmp_path / "whole")
    make(tmp_path / "parts", FEW[:1], seeds=(0,))
    path = tmp_path / "parts/book/records/paper/study.json"
    first = json.loads(path.read_text())["runs"][0]
    again = make(tmp_path / "parts")
    assert again["runs"][0] == first  # with its seconds: it was not measured again
    assert errors(again) == errors(whole)


def test_results_of_another_scale_are_not_mixed_in(tmp_path, capsys):
    make(tmp_path, FEW[:1])
    record = make(tmp_path, FEW[:1], replace(SMALL, held=20))
    assert "2 results of other settings are left out" in capsys.readouterr().err
    assert record["settings"]["held"] == 20 and len(record["runs"]) == 2


def test_results_of_configurations_that_are_not_asked_for_are_left_out(tmp_path, capsys):
    make(tmp_path)
    make(tmp_path, FEW[:1])
    assert "2 results of other settings are left out" in capsys.readouterr().err


def test_a_flow_that_breaks_keeps_what_was_read_before(tmp_path):
    _, y = points("mnist")
    pairs = torch.arange(200.0)[:, None] // 2  # two images each that coincide
    coincident = study.Configuration(n_fine=60, nugget=0.0)
    scale = replace(SMALL, reads=((10, 1),), layers=(0, 1))
    record = study.run(tmp_path, [coincident], scale, (0,), lambda _: (pairs, y))
    broken = record["runs"][0]
    assert "nugget" in broken["broke"] and list(broken["by_layer"]) == ["0"]
    [error] = broken["by_layer"]["0"]["errors_10"]
    assert 0 < error < 1


def test_the_configurations_differ_from_the_base_in_one_thing():
    digits = [c for c in study.CONFIGURATIONS if c.dataset == "mnist"]
    for configuration in digits[1:]:
        old, new = vars(study.BASE), vars(configuration)
        assert sum(old[name] != new[name] for name in old) == 1
    assert len(set(study.CONFIGURATIONS)) == len(study.CONFIGURATIONS)
