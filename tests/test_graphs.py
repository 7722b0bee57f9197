"""What a CUDA GPU does in fewer launches gives what the plain way gives."""

import pytest
import torch

import kflow
from kflow import game
from kflow.engine import fused, graphs
from tests.conftest import case


@pytest.fixture(params=[case("cuda")])
def gpu():
    return torch.device("cuda")


@pytest.mark.parametrize("width", [16, 720, 1504])
def test_rounded_rows_are_bf16_and_their_norms_those_of_what_was_rounded(gpu, rng, width):
    x = torch.randn(33, width, generator=rng).to(gpu)
    for away in (None, torch.rand(33, generator=rng).to(gpu)):
        rounded, norms = fused.round_rows(x, away)
        assert torch.equal(rounded, x.bfloat16())
        wanted = x.bfloat16().double().square().sum(1) + (0 if away is None else away)
        torch.testing.assert_close(norms.double(), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("m", [17, 600, 1200])
def test_the_halves_of_a_gaussian_add_up_to_it(gpu, rng, m):
    products, bias, norms = (
        part.to(gpu)
        for part in (-3 * torch.rand(40, m, generator=rng), torch.ones(m), torch.ones(40))
    )
    high, again, low = fused.gaussian_halves(products, bias, norms, 1.3).double().tensor_split(3, 1)
    r2 = (products.double() + 2).clamp_min(0)  # rounding may make a squared distance negative
    assert torch.equal(high, again)
    torch.testing.assert_close(high + low, (r2 / -(1.3**2)).exp(), rtol=2e-5, atol=0)


def points(device):
    generator = torch.Generator().manual_seed(0)
    y = torch.eye(5)[torch.arange(300) % 5]
    x = 2 * y @ torch.randn(5, 24, generator=generator)
    return (x + torch.randn(300, 24, generator=generator)).to(device), y.to(device)


def run(precision="mixed", device="cuda"):
    x, y = points(device)
    flow = kflow.KernelFlow(
        kflow.Gaussian.for_points(x), 60, kflow.MaxDisplacement(0.1), 1e-2, precision
    )
    rng = torch.Generator().manual_seed(1)
    return flow.run(x, y, 20, rng, carry=x[:50] + 0.5, lookahead=5)


def same_bits(one, other):
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("points", "carried", "rho")
    )


class Repeated:
    """Stands in for a graph on a CPU: tried with zeros, then called with what stays in place."""

    def __init__(self, function):
        self.function, self.inputs = function, None

    def __call__(self, *inputs):
        if self.inputs is None:
            self.inputs = [torch.zeros_like(given) for given in inputs]
            self.function(*self.inputs)
        for static, given in zip(self.inputs, inputs, strict=True):
            static.copy_(given)
        return [output.clone() for output in self.function(*self.inputs) or ()]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_what_is_submitted_as_a_graph_moves_all_points_alike(precision, monkeypatch):
    plain = run(precision, "cpu")
    monkeypatch.setattr(graphs, "has_graphs", lambda device: True)
    monkeypatch.setattr(graphs, "Graphed", Repeated)
    assert same_bits(run(precision, "cpu"), plain)


@pytest.mark.parametrize("precision", ["float64", "float32", "mixed"])
def test_a_graph_gives_the_same_bits(gpu, precision, monkeypatch):
    replays, replay = [], torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(
        torch.cuda.CUDAGraph, "replay", lambda graph: (replays.append(1), replay(graph))
    )
    graphed = run(precision)
    # 20 games, 20 moves of all points; those of the batches, those that are still to come included
    assert len(replays) >= 20 + 20 + 16
    monkeypatch.setattr(graphs, "has_graphs", lambda device: False)
    assert same_bits(run(precision), graphed)


def test_the_fused_kernels_move_as_the_plain_ones_do(gpu, monkeypatch):
    fused = run().points
    monkeypatch.setattr(fused, "fuses", lambda x: False)
    plain, start = run().points, points("cuda")[0]
    moved, apart = (plain - start).norm(dim=1), (fused - plain).norm(dim=1)
    assert float((apart / moved).median()) < 0.05


@pytest.mark.parametrize("nugget", [0.0, 1e-6, 1e-2])
def test_products_with_the_inverse_factor_solve_as_triangles_do(gpu, nugget):
    x, y = (part.double() for part in points("cpu"))
    kernel, near = kflow.Gaussian.for_points(x), 0.3 * x[:60]
    here = game.play(kernel, near, y[:60], 30, nugget)
    there = game.play(kernel, near.to(gpu), y[:60].to(gpu), 30, nugget)
    assert here.inverse is None and there.inverse is not None
    assert float(there.rho) == pytest.approx(float(here.rho), rel=1e-8)
    for one, other in (
        (here.gradient, there.gradient),
        (here.solve(near), there.solve(near.to(gpu))),
    ):
        assert float((one - other.cpu()).norm() / one.norm()) < 1e-6
