"""The paper-scale experiments: what a chapter reads back, and the numbers read off a state."""

import json

import numpy as np
import pytest
import torch

from kflow import paper


def test_a_record_is_found_from_any_folder_of_the_repository(tmp_path):
    folder = tmp_path / "book" / "records" / "paper"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text(json.dumps({"by_layer": {"0": {"error_10": 0.5}}}))
    np.savez(folder / "x.npz", rho=np.ones(3))
    (tmp_path / "notebooks").mkdir()
    numbers, arrays = paper.read_record("x", tmp_path / "notebooks")
    assert numbers["by_layer"]["0"]["error_10"] == 0.5
    assert arrays["rho"].tolist() == [1, 1, 1]


def test_a_record_that_was_never_made_is_none(tmp_path):
    assert paper.read_record("x", tmp_path) is None


def test_distances_within_and_between_classes_by_hand():
    # two classes of two points: 2 apart within the first, 0 within the second; means 3 apart
    x = torch.tensor([[-1.0, 0], [1, 0], [0, 3], [0, 3]])
    y = torch.eye(2)[[0, 0, 1, 1]]
    found = paper.class_distances(x, y)
    assert found["within"] == pytest.approx((4 + 0) / 2)
    assert found["between"] == pytest.approx(9)


def test_a_dozen_images_are_the_first_of_each_class_and_two_more():
    y = torch.eye(10)[torch.arange(30) % 10]
    assert paper.first_of_each_class(y).tolist() == [*range(10), 10, 11]
