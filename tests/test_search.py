"""The search for settings: resumable, within its time, on held-out points alone."""

import torch

from kflow.paper import search
from kflow.paper.search import Trial

FIRST = Trial("mnist", 1.0, 0.1, ((0, 1e-2), (4, 1.0)), 8, n_fine=20, every=2, precision="float32")
SECOND = Trial("mnist", 1.0, 0.05, ((0, 1e-2),), 4, n_fine=20, every=2, precision="float32")


def images(dataset, validate):
    assert validate  # the test set is never asked for
    rng = torch.Generator().manual_seed(5)
    y = torch.eye(10)[torch.arange(300) % 10]
    x = 3 * y @ torch.randn(10, 6, generator=rng) + torch.randn(300, 6, generator=rng)
    return x[:200], y[:200], x[200:], y[200:]


def make(root, monkeypatch, trials=(FIRST, SECOND), seconds=1e9):
    monkeypatch.setattr(search, "DRAWS", ((50, 1), (10, 2)))
    monkeypatch.setattr(search, "BATCH", 20)
    return search.run(root, "cpu", seconds, list(trials), images)


def test_a_trial_goes_on_with_another_nugget_from_the_same_points(tmp_path, monkeypatch):
    first, _ = make(tmp_path, monkeypatch)["runs"]
    assert list(first["by_layer"]) == ["0", "2", "4", "6", "8"]
    plain = Trial("mnist", 1.0, 0.1, ((0, 1e-2),), 8, n_fine=20, every=2, precision="float32")
    (other,) = make(tmp_path / "plain", monkeypatch, [plain])["runs"]
    assert all(first["by_layer"][k] == other["by_layer"][k] for k in ("0", "2", "4"))
    assert first["by_layer"]["6"] != other["by_layer"]["6"]


def test_a_search_whose_time_is_up_keeps_its_readings_and_goes_on_later(tmp_path, monkeypatch):
    cut = make(tmp_path, monkeypatch, seconds=0)
    assert [run["finished"] for run in cut["runs"]] == [False] and cut["runs"][0]["by_layer"]
    whole = make(tmp_path, monkeypatch)
    again = make(tmp_path / "again", monkeypatch)
    numbers = [[run["by_layer"] for run in found["runs"]] for found in (whole, again)]
    assert numbers[0] == numbers[1]


def test_what_was_tried_is_not_tried_again(tmp_path, monkeypatch):
    make(tmp_path, monkeypatch)
    monkeypatch.setattr(search, "_flow", None)
    assert len(make(tmp_path, monkeypatch)["runs"]) == 2
