"""A visit to a GPU, on few points and the CPU: it ends in time and leaves what was reached."""

import contextlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from kflow.engine import precisions
from kflow.paper import __main__ as command
from kflow.paper import day, experiments, observing, runs, search

TINY = experiments.Experiment("mnist", 30, ((20, 30, 5),), n_fine=20, precision="float64")


@pytest.fixture
def few(monkeypatch, tmp_path):
    rng = torch.Generator().manual_seed(3)
    y = torch.eye(10)[torch.arange(120) % 10]
    x = 3 * y @ torch.randn(10, 784, generator=rng) + torch.randn(120, 784, generator=rng)
    monkeypatch.setattr(runs, "load", lambda dataset, validate: (x[:90], y[:90], x[90:], y[90:]))
    monkeypatch.setattr(observing, "N_INTERP", (60, 10))
    monkeypatch.setattr(day, "FIRST_STAGE", 10)
    monkeypatch.setattr(day, "layer", lambda device, out, seconds: None)
    monkeypatch.setattr(search, "trials", list)
    for name in ("mnist", "mnist-wide-0"):
        monkeypatch.setitem(experiments.EXPERIMENTS, name, TINY)
    return tmp_path


def layers(folder, name):
    path = folder / "book/records/paper" / f"{name}.json"
    return json.loads(path.read_text())["settings"]["layers"] if path.is_file() else None


def visit(root, out, seconds=600.0, names=("mnist", "mnist-wide-0")):
    day.run(root, "cpu", seconds, out, names, tests=False)


def test_a_day_makes_its_runs_in_stages_and_not_again(few, capsys):
    visit(few, few / "out")
    assert (layers(few / "out", "mnist"), layers(few / "out", "mnist-wide-0")) == (30, 30)
    assert (few / "out/facts.json").is_file()
    said = capsys.readouterr().err
    assert "mnist: 10 layers" in said and "mnist: 30 layers" in said
    visit(few, few / "out")
    assert "layers, " not in capsys.readouterr().err


def test_a_day_that_is_over_stops_after_a_stage_whose_record_is_kept(few, monkeypatch, capsys):
    move, clock = runs.run, [0.0]

    def slowly(*given, **options):
        move(*given, **options)
        clock[0] += 700

    monkeypatch.setattr(runs, "run", slowly)
    monkeypatch.setattr(day, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    visit(few, few / "out", seconds=1000.0)
    # 70 s a layer: after ten of them, four fifths of the 300 s left are three more
    assert layers(few / "out", "mnist") == 13 and layers(few / "out", "mnist-wide-0") is None
    assert "mnist-wide-0: no time left" in capsys.readouterr().err


def test_a_part_that_fails_does_not_cost_the_others(few, monkeypatch, capsys):
    broken = replace(TINY, n_fine=1000)  # more than there are points
    monkeypatch.setitem(experiments.EXPERIMENTS, "mnist", broken)
    visit(few, few / "out")
    assert "mnist FAILED: ValueError: n_fine" in capsys.readouterr().err
    assert layers(few / "out", "mnist-wide-0") == 30


def test_the_time_of_a_layer_is_measured(tmp_path, capsys):
    with contextlib.nullcontext() if precisions.has_bf16_tiles() else pytest.warns(UserWarning):
        day.layer(torch.device("cpu"), tmp_path, 60.0, n=300, carried=20, layers=10)
    found = json.loads((tmp_path / "layer.json").read_text())
    assert found.keys() == {"mixed", "float32"} and min(found.values()) > 0


@pytest.mark.parametrize("seconds, layers", [(0.0, 1), (60.0, 3), (1e4, 100)])
def test_the_time_of_a_layer_is_taken_in_the_seconds_it_has(seconds, layers, tmp_path, monkeypatch):
    clock, asked = [0.0], []

    def slowly(flow, x, y, count, rng, **options):
        clock[0] += 10 * count
        asked.append(count)

    monkeypatch.setattr(day.KernelFlow, "run", slowly)
    monkeypatch.setattr(day, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    day.layer(torch.device("cpu"), tmp_path, seconds, n=30, carried=2)
    assert asked == 2 * [1, 1, 1 + layers]
    assert json.loads((tmp_path / "layer.json").read_text()) == {"mixed": 1e4, "float32": 1e4}


def test_a_first_stage_is_no_longer_than_the_time_left(few, capsys):
    (few / "out").mkdir()
    (few / "out/layer.json").write_text('{"mixed": 4e4, "float32": 8e4}')
    visit(few, few / "out", names=("mnist",))  # 600 s, four fifths of which are six layers
    assert "mnist: 5 layers" in capsys.readouterr().err
    (few / "out/layer.json").write_text('{"mixed": 1e9}')
    visit(few, few / "out", names=("mnist-wide-0",))
    assert layers(few / "out", "mnist-wide-0") is None
    assert "mnist-wide-0: no time for a layer" in capsys.readouterr().err


def test_the_command_knows_a_day(few, monkeypatch):
    asked = []
    monkeypatch.setattr(day, "run", lambda *given: asked.append(given))
    command.main(["day", "--device", "cpu", "--seconds", "60", "--out", str(few / "o")], few)
    assert asked == [(few, torch.device("cpu"), 60.0, few / "o")]
