"""Time of a layer and of its parts; run with `pytest tests/bench --benchmark-only`."""

import os

import pytest
import torch

import kflow
from kflow import game
from kflow.engine import transport
from kflow.engine.transport import Layer


@pytest.fixture(autouse=True)
def one_thread():
    """All threads here, in place of the one that the other tests take."""
    torch.set_num_threads(os.cpu_count())


def problem(n, d, n_fine):
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(n, d, generator=rng)
    y = torch.nn.functional.one_hot(torch.arange(n) % 10, 10).float()
    kernel = kflow.Gaussian.for_points(x[:1000])
    return kernel, x, y, game.draw(n, n_fine, rng)


@pytest.mark.parametrize("n", [5000, 10_000, 20_000])
@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "mixed"])
def test_transport(benchmark, n, mixed):
    kernel, x, _, sample = problem(n, 717, 600)
    layer = Layer(x[sample.fine], 1e-6 * torch.ones(600, 717))
    benchmark(transport.move, x, None, [layer], kernel, mixed)


@pytest.mark.parametrize("n", [5000, 10_000, 20_000])
def test_bare_products_of_the_transport(benchmark, n):
    _, x, _, sample = problem(n, 717, 600)
    rows = transport.block_rows(717, 600, x.device)
    z, k, c = x[sample.fine], torch.rand(rows, 600), torch.ones(717, 600)
    linear = transport._linear(x)

    def products():
        for start in range(0, n, rows):
            linear(x[start : start + rows], z, None)
            linear(k, c, None)

    benchmark(products)


@pytest.mark.parametrize("d", [2, 90, 717])
def test_game(benchmark, d):
    kernel, x, y, sample = problem(2000, d, 600)
    z, labels = x[sample.fine].double(), y[sample.fine].double()
    benchmark(game.play, kernel, z, labels, sample.coarse, 1e-2)


@pytest.mark.parametrize("lookahead", [1, 10])
def test_ten_layers(benchmark, lookahead):
    kernel, x, y, _ = problem(10_000, 717, 600)
    flow = kflow.KernelFlow(kernel, 600, kflow.MaxDisplacement(0.1), 1e-2)

    def ten():
        flow.run(x, y, 10, torch.Generator().manual_seed(0), lookahead=lookahead)

    benchmark.pedantic(ten, rounds=3)
