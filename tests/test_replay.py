"""The draws of ten are played again from the record of a run."""

import pytest
import torch

from kflow import paper
from kflow.classify import classes
from kflow.distances import mean_squared_distance
from kflow.interpolation import interpolate
from kflow.kernels import Gaussian
from kflow.paper import replay, report, runs
from kflow.paper.record import write
from tests.test_paper import TINY, few  # noqa: F401, a fixture


def test_the_ten_of_a_record_are_known_by_the_error_that_they_make(few, tmp_path):  # noqa: F811
    split = runs.load("mnist", False)
    runs.run("mnist", TINY, tmp_path)
    recorded = paper.read_record("mnist", tmp_path)[0]["by_layer"]["0"]["error_10"]
    x, y, x_test, y_test = split
    ten = replay.draws(y, TINY.seed, 0)[10]
    assert classes(y[ten]).tolist() == list(range(10))
    kernel = Gaussian(TINY.gamma_factor * mean_squared_distance(x) ** 0.5)
    read = classes(interpolate(kernel, x[ten], y[ten], TINY.nugget)(x_test))
    assert float((read != classes(y_test)).double().mean()) == recorded
    record = replay.run(tmp_path, lambda _: split)
    assert record["position"][0] == ten[1] and record["error_10"][0] == recorded
    replayed = record["sixty"]["mnist"]
    sixty = replay.draws(y, TINY.seed, 0)[60]
    assert replayed["classes"][0] == len(classes(y[sixty]).unique())
    read = classes(interpolate(kernel, x[sixty], y[sixty], TINY.nugget)(x_test))
    assert replayed["error"][0] == float((read != classes(y_test)).double().mean())
    images = paper.read_record("ones", tmp_path)[1]
    assert images["images"].shape == (len(record["layer"]), 784)
    wrong = paper.read_record("mnist", tmp_path)[1][f"wrong_{record['layer'][-1]}"]
    assert images[f"truth_{record['layer'][-1]}"].tolist() == classes(y_test)[wrong].tolist()


def test_without_a_record_there_is_nothing_to_play_again(tmp_path):
    with pytest.raises(FileNotFoundError, match="make paper ONLY=mnist"):
        replay.run(tmp_path)


def test_the_slant_of_a_drawn_line_is_what_it_moves_to_the_right_as_it_rises():
    image = torch.zeros(2, 9, 9)
    for row in range(9):
        image[0, row, 4] = 1  # upright
        image[1, row, 8 - row] = 1  # a slash
    torch.testing.assert_close(replay.slant(image), torch.tensor([0.0, 1.0]))


def test_draws_that_lack_a_class_are_told_apart(tmp_path):
    replayed = {"layer": [0, 5, 6, 7], "error": [0.9, 0.3, 0.1, 0.2], "classes": [9, 9, 10, 9]}
    write(tmp_path / "book/records/paper/ones.json", {"sixty": {"mnist": replayed}}, {})
    found = report.lacking("mnist", 1, 7, tmp_path)
    assert found == {"lacking": 2, "lacking_least": 0.2, "lacking_others": 0.1}
    assert report.lacking("mnist", 6, 6, tmp_path) == {}  # none lacks a class
    assert report.lacking("fashion-small-steps", 1, 7, tmp_path) == {}
