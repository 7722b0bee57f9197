"""The runs at the scale of the talk: records, their settings, and the command, on few points."""

import errno
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kflow import data, paper
from kflow.distances import mean_squared_distance
from kflow.flow import KernelFlow
from kflow.kernels import Gaussian
from kflow.paper import __main__ as command
from kflow.paper import baselines, experiments, observing, record, runs
from kflow.steps import MaxDisplacement, RelativeDisplacement

TINY = experiments.Experiment(
    "mnist", 6, ((4, 6, 1),), n_fine=20, precision="float64", rule="relative"
)


@pytest.fixture
def few(monkeypatch):
    """Few points in place of 60000 images, N_I that suits them, and a tiny experiment "mnist"."""
    rng = torch.Generator().manual_seed(3)
    y = torch.eye(10)[torch.arange(120) % 10]
    x = 3 * y @ torch.randn(10, 784, generator=rng) + torch.randn(120, 784, generator=rng)
    split = x[:90], y[:90], x[90:], y[90:]
    monkeypatch.setattr(runs, "load", lambda dataset, validate: split)
    monkeypatch.setattr(observing, "N_INTERP", (60, 10))
    monkeypatch.setitem(experiments.EXPERIMENTS, "mnist", TINY)


def read(root, name="mnist"):
    return paper.read_record(name, root)


def without_time(record):
    return {
        layer: {k: v for k, v in found.items() if "seconds" not in k}
        for layer, found in record["by_layer"].items()
    }


def test_a_run_that_was_stopped_ends_with_the_record_of_an_unbroken_one(few, tmp_path):
    runs.run("mnist", TINY, tmp_path / "whole")
    runs.run("mnist", TINY, tmp_path / "parts", stop=3)
    assert read(tmp_path / "parts")[0]["settings"]["layers"] == 3
    runs.run("mnist", TINY, tmp_path / "parts")
    (whole, arrays), (parts, again) = read(tmp_path / "whole"), read(tmp_path / "parts")
    assert without_time(whole) == without_time(parts)
    assert list(whole["by_layer"]) == ["0", "4", "5", "6"]
    assert arrays.keys() == again.keys() >= {"images_0", "images_6", "wrong_6", "predicted_6"}
    assert all((arrays[name] == again[name]).all() for name in arrays)
    assert (arrays["predicted_6"] != arrays["truth_6"]).all() and len(arrays["wrong_6"]) < 15


def test_a_run_that_begins_as_another_shares_its_layers_and_goes_on_otherwise(
    few, tmp_path, monkeypatch
):
    seen, look = [], observing.Observer.__call__

    def spy(self, state):
        seen.append(state.layer)
        return look(self, state)

    monkeypatch.setattr(observing.Observer, "__call__", spy)
    two = replace(TINY, nugget=0.5, begins_as="mnist", after=3)
    runs.run("one", TINY, tmp_path)
    seen.clear()
    runs.run("two", two, tmp_path, stop=2)
    runs.run("two", two, tmp_path, stop=5)
    runs.run("two", two, tmp_path)
    (one, arrays), (other, others) = read(tmp_path, "one"), read(tmp_path, "two")
    assert (arrays["rho"][:3] == others["rho"][:3]).all()
    assert len(others["rho"]) == 6 and (arrays["rho"][4:] != others["rho"][4:]).all()
    assert (arrays["images_0"] == others["images_0"]).all()
    rng = torch.Generator().manual_seed(0)
    x, y, x_test, y_test = runs.load("mnist", False)
    s = mean_squared_distance(x) ** 0.5
    flow = KernelFlow(Gaussian(s), 20, RelativeDisplacement(0.1), 0.01, "float64")
    path = flow.run(x, y, 3, rng, carry=x_test)
    path = replace(flow, nugget=0.5).run(path.points, y, 3, rng, carry=path.carried)
    assert np.allclose(others["rho"][3:], path.rho.float())
    assert list(one["by_layer"]) == ["0", "4", "5", "6"]
    assert list(other["by_layer"]) == ["0", "3", "4", "5", "6"] and seen == [0, 3, 4, 5, 6]
    within = observing.class_distances(path.carried, y_test)["within"]
    assert other["by_layer"]["6"]["within"] == pytest.approx(within)


def test_a_run_with_other_settings_does_not_go_on_from_the_checkpoint(few, tmp_path):
    runs.run("mnist", TINY, tmp_path, stop=3)
    with pytest.raises(ValueError, match="nugget was 0.01, is now 0.1"):
        runs.run("mnist", replace(TINY, nugget=0.1), tmp_path)


def test_a_record_of_other_settings_is_refused_by_what_differs(few, tmp_path, monkeypatch):
    runs.run("mnist", TINY, tmp_path, stop=3)
    other = replace(TINY, delta_factor=0.5, rule="max")
    monkeypatch.setitem(experiments.EXPERIMENTS, "mnist", other)
    with pytest.raises(paper.OtherSettings, match="delta_factor was 0.1, is now 0.5; rule was"):
        read(tmp_path)


def test_a_record_older_than_the_choice_of_a_rule_is_of_the_rule_max(tmp_path):
    settings = asdict(experiments.EXPERIMENTS["mnist"])
    del settings["rule"]
    path = tmp_path / "mnist.json"
    record.refuse_other_settings(path, settings, experiments.EXPERIMENTS["mnist"])
    with pytest.raises(paper.OtherSettings, match="rule was 'max'"):
        relative = replace(experiments.EXPERIMENTS["mnist"], rule="relative")
        record.refuse_other_settings(path, settings, relative)


def test_the_command_names_three_cures_where_the_data_is_missing(tmp_path, monkeypatch, capsys):
    def nothing(*_):
        raise OSError("no mirror answered")

    monkeypatch.setattr(data, "_download", nothing)
    monkeypatch.setenv("KFLOW_DATA", str(tmp_path))
    with pytest.raises(SystemExit) as left:
        command.main(["mnist"], tmp_path)
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert re.search(r"\(1\).*KFLOW_DATA.*\(2\).*\(3\)", said) and "Traceback" not in said


def test_the_command_refuses_an_unknown_name(capsys):
    with pytest.raises(SystemExit) as left:
        command.main(["minst"])
    assert left.value.code == 2 and "no experiment 'minst'" in capsys.readouterr().err


def test_the_long_run_is_made_only_when_it_is_named(tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(command, "make", lambda name, *_: made.append(name))
    command.main([], tmp_path)
    assert "mnist" in made and "fashion-small-steps" not in made
    assert "not made: fashion-small-steps (50000 layers, hours)" in capsys.readouterr().err
    command.main(["fashion-small-steps"], tmp_path)
    assert made[-1] == "fashion-small-steps"


def test_the_draws_of_ten_are_kept_with_the_record_that_they_belong_to(few, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "images", lambda dataset: runs.load(dataset, False))
    command.make("mnist", tmp_path, stop=2)
    assert read(tmp_path, "ones")[0]["settings"]["layers"] == 2


def test_the_cost_follows_from_the_seconds_of_the_records(tmp_path):
    settings = asdict(experiments.EXPERIMENTS["mnist"]) | {"layers": 4000, "s": 1.0}
    record = {"settings": settings, "seconds_moving": 990.0, "hardware": "2 threads"}
    record |= {"seconds_observing": 10.0, "arithmetic": "float32", "commit": "?", "by_layer": {}}
    (tmp_path / paper.RECORDS).mkdir(parents=True)
    (tmp_path / paper.RECORDS / "mnist.json").write_text(json.dumps(record))
    assert paper.cost(14_400, tmp_path) == "about 60.0 minutes on 2 threads"


def test_steps_are_in_units_of_the_data_or_of_a_points_norm():
    assert experiments.step_rule("max", 0.1, 20.0) == MaxDisplacement(2.0)
    assert experiments.step_rule("relative", 0.1, 20.0) == RelativeDisplacement(0.1)
    with pytest.raises(ValueError, match="not 'min'"):
        experiments.step_rule("min", 0.1, 20.0)


def test_every_table_of_an_experiment_is_observed_from_end_to_end():
    for experiment in experiments.EXPERIMENTS.values():
        at = set(experiment.observe_at())
        for first, last, every in experiment.tables:
            assert at >= set(range(first, last + 1, every))
        assert max(at) == experiment.layers and len(at) < 250


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


def test_the_committed_records_are_of_the_settings_that_are_stated():
    assert paper.read_record("mnist")[0]["settings"]["seed"] == 0


def test_distances_within_and_between_classes_by_hand():
    # two classes of two points: 2 apart within the first, 0 within the second; means 3 apart
    x = torch.tensor([[-1.0, 0], [1, 0], [0, 3], [0, 3]])
    y = torch.eye(2)[[0, 0, 1, 1]]
    found = observing.class_distances(x, y)
    assert found["within"] == pytest.approx((4 + 0) / 2)
    assert found["between"] == pytest.approx(9)


def test_a_dozen_images_are_the_first_of_each_class_and_two_more():
    y = torch.eye(10)[torch.arange(30) % 10]
    assert observing.first_of_each_class(y).tolist() == [*range(10), 10, 11]


class Trap:
    """What leaves a file where it is unpickled."""

    def __reduce__(self):
        return (open, ("executed", "w"))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", None])
def test_arrays_of_a_record_that_are_none_are_refused_and_not_unpickled(
    tmp_path, monkeypatch, content
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "book/records/paper/x.json"
    paper.record.write(path, {"a": 1}, {"b": np.arange(3)})
    if content is None:
        np.savez(path.with_suffix(".npz"), b=np.array([Trap()], dtype=object))
    else:
        path.with_suffix(".npz").write_bytes(content)
    with pytest.raises(ValueError, match="x.npz is damaged"):
        paper.read_record("x", tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_record_that_cannot_be_written_leaves_the_former_numbers_and_arrays(
    tmp_path, monkeypatch
):
    path = tmp_path / "book/records/paper/x.json"
    paper.record.write(path, {"a": 1}, {"b": np.arange(3)})

    def full(self, text, *_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="cannot be written, No space left on device.*x.json"):
            paper.record.write(path, {"a": 2}, {"b": np.arange(9)})
    numbers, arrays = paper.read_record("x", tmp_path)
    assert numbers == {"a": 1} and len(arrays["b"]) == 3
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.json", "x.npz"]
