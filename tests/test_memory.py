import subprocess
import sys
from pathlib import Path

import pytest
import torch

import kflow
from kflow.engine import frame, lookahead, memory, transport


def run(precision="float64", layers=12, **options):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, generator=rng, dtype=torch.float64)
    y = torch.nn.functional.one_hot(torch.arange(50) % 4, 4).double()
    flow = kflow.KernelFlow(
        kflow.Gaussian(1.5), 10, kflow.MaxDisplacement(0.1), 1e-3, precision=precision
    )
    generator = torch.Generator().manual_seed(1)
    return flow.run(x, y, layers, generator, carry=x[:5] + 1, **options), generator


def test_a_flow_that_finds_no_memory_says_what_it_needed_and_what_lowers_it(tmp_path, monkeypatch):
    path, moves = tmp_path / "flow.safetensors", []

    def full(*arguments):
        moves.append(arguments)
        if len(moves) > 20:
            raise memory.OUT_OF_MEMORY("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(transport.Mover, "move", full)
    with pytest.raises(MemoryError) as error:
        run(checkpoint=path, checkpoint_every=4)
    said = str(error.value)
    assert "at layer 10 (the checkpoint of layer 8 is kept) the memory of cpu ran out" in said
    assert "GB for the games: lower lookahead or n_fine" in said
    monkeypatch.undo()
    run(checkpoint=path)  # and it goes on from there


def test_memory_that_the_system_refuses_is_explained():
    with (
        pytest.raises(MemoryError, match="before layer 0 the memory of cpu ran out"),
        memory.explained({"points": 1}, torch.device("cpu"), lambda: "before layer 0"),
    ):
        torch.empty(2**60, dtype=torch.uint8)


def test_other_errors_pass_through():
    with (
        pytest.raises(RuntimeError, match="something else"),
        memory.explained({"points": 1}, torch.device("cpu"), lambda: ""),
    ):
        raise RuntimeError("something else")


def test_points_take_what_is_promised():
    # 1000 points in 10 dimensions of float32, and three scratch arrays for a batch of 20
    needed = memory.of_flow(1000, 10, 20, 1, 4)
    assert needed["points"] == 1000 * 10 * 4
    scratch, game = 3 * 20 * 10 * 4, 8 * (8 * 20 * 20 + 6 * 20 * 10)  # the game is in float64
    assert needed["games"] == scratch + game
    assert memory.of_flow(1000, 10, 20, 5, 4)["games"] == 5 * scratch + game


PEAK = """
import sys, torch, kflow
n_fine, d = map(int, sys.argv[1:])
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
def play(n, d):
    x, y = torch.randn(n, d), torch.randn(n, 1)
    flow = kflow.KernelFlow(kflow.Gaussian(d ** 0.5), n, kflow.Constant(1e-3), nugget=1e-2)
    before = peak()
    flow.run(x, y, 1, torch.Generator().manual_seed(0))
    return peak() - before
play(20, 2)
print(play(n_fine, d))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no peak in /proc")
def test_a_game_takes_about_what_is_promised():
    command = [sys.executable, "-c", PEAK, "1500", "300"]
    taken = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    promised = sum(memory.of_flow(1500, 300, 1500, 1, 4).values())
    assert promised / 3 < taken < 1.5 * promised


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("lookahead", [1, 3])
def test_playing_ahead_of_the_points_changes_no_bit(monkeypatch, tmp_path, precision, lookahead):
    # what a GPU does: the next block's games begin before this block has moved the points
    options = dict(lookahead=lookahead, observe_at=[5], observe=lambda s: {"x": s.points})
    plain, generator = run(precision, **options)
    monkeypatch.setattr("kflow.engine.lookahead.plays_ahead", lambda device: True)
    overlapping, other = run(precision, **options)
    for name in ("points", "carried", "rho", "eps"):
        assert torch.equal(getattr(plain, name), getattr(overlapping, name)), name
    assert torch.equal(plain.observed[5]["x"], overlapping.observed[5]["x"])
    assert torch.equal(generator.get_state(), other.get_state())
    run(precision, 8, checkpoint=tmp_path / "flow", checkpoint_every=3, lookahead=lookahead)
    again, other = run(
        precision, checkpoint=tmp_path / "flow", checkpoint_every=3, lookahead=lookahead
    )
    assert torch.equal(generator.get_state(), other.get_state())
    torch.testing.assert_close(plain.points, again.points)


def test_a_run_that_stops_while_the_next_block_is_played_resumes_where_it_was(
    monkeypatch, tmp_path
):
    monkeypatch.setattr("kflow.engine.lookahead.plays_ahead", lambda device: True)

    def stop(state):
        raise ArithmeticError("enough")

    options = dict(checkpoint=tmp_path / "flow", checkpoint_every=3)
    with pytest.raises(ArithmeticError, match="enough"):
        run(observe_at=[10], observe=stop, **options)
    (again, generator), (unbroken, other) = run(**options), run()
    assert torch.equal(again.rho, unbroken.rho) and torch.equal(again.points, unbroken.points)
    assert torch.equal(generator.get_state(), other.get_state())


def test_a_game_that_cannot_be_played_is_explained_when_played_ahead(monkeypatch):
    monkeypatch.setattr("kflow.engine.lookahead.plays_ahead", lambda device: True)
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[7] = x[3]
    y = torch.ones(20, 1, dtype=torch.float64)
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), 20, kflow.MaxDisplacement(1e-3))
    with pytest.raises(kflow.NotPositiveDefinite, match="rows [37] and [37] of x"):
        flow.run(x, y, 3, torch.Generator().manual_seed(0))


def test_no_device_but_a_gpu_plays_ahead():
    assert lookahead.plays_ahead(torch.device("cuda"))
    assert not lookahead.plays_ahead(torch.device("cpu"))


@pytest.mark.parametrize("said", ["could not create a primitive", "can't allocate memory: you"])
def test_memory_that_runs_out_while_the_points_are_copied_back_is_explained(monkeypatch, said):
    def full(self):
        raise RuntimeError(said)

    monkeypatch.setattr(frame.Cloud, "full", full)
    with pytest.raises(MemoryError, match="at layer 12 the memory of cpu ran out"):
        run()
