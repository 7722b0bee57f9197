"""What a CUDA GPU does in fewer launches gives what the plain way gives."""

import pytest
import torch

import kflow
from kflow.engine import cuda, lookahead
from tests.conftest import case


@pytest.fixture(params=[case("cuda")])
def gpu():
    return torch.device("cuda")


@pytest.mark.parametrize("width", [16, 720, 1504])
def test_rounded_rows_are_bf16_and_their_norms_those_of_what_was_rounded(gpu, rng, width):
    x = torch.randn(33, width, generator=rng).to(gpu)
    for away in (None, torch.rand(33, generator=rng).to(gpu)):
        rounded, norms = cuda.round_rows(x, away)
        assert torch.equal(rounded, x.bfloat16())
        wanted = x.bfloat16().double().square().sum(1) + (0 if away is None else away)
        torch.testing.assert_close(norms.double(), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("m", [17, 600, 1200])
def test_the_halves_of_a_gaussian_add_up_to_it(gpu, rng, m):
    products, bias, norms = (
        part.to(gpu)
        for part in (-3 * torch.rand(40, m, generator=rng), torch.ones(m), torch.ones(40))
    )
    high, again, low = cuda.gaussian_halves(products, bias, norms, 1.3).double().tensor_split(3, 1)
    r2 = (products.double() + 2).clamp_min(0)  # rounding may make a squared distance negative
    assert torch.equal(high, again)
    torch.testing.assert_close(high + low, (r2 / -(1.3**2)).exp(), rtol=2e-5, atol=0)


def points():
    generator = torch.Generator().manual_seed(0)
    y = torch.eye(5)[torch.arange(300) % 5]
    x = 2 * y @ torch.randn(5, 24, generator=generator)
    return (x + torch.randn(300, 24, generator=generator)).to("cuda"), y.to("cuda")


def run(precision="mixed"):
    x, y = points()
    flow = kflow.KernelFlow(
        kflow.Gaussian.for_points(x), 60, kflow.MaxDisplacement(0.1), 1e-2, precision
    )
    rng = torch.Generator().manual_seed(1)
    return flow.run(x, y, 20, rng, carry=x[:50] + 0.5, lookahead=5)


@pytest.mark.parametrize("precision", ["float64", "float32", "mixed"])
def test_a_game_as_a_graph_gives_the_same_bits(gpu, precision, monkeypatch):
    captured, capture = [], cuda.Graphed._capture

    def noted(self, inputs):
        captured.append(capture(self, inputs))
        return captured[-1]

    monkeypatch.setattr(cuda.Graphed, "_capture", noted)
    graphed = run(precision)
    assert captured == [True]
    monkeypatch.setattr(lookahead, "OWN_STEPS", ())
    plain = run(precision)
    assert captured == [True]
    assert torch.equal(graphed.points, plain.points) and torch.equal(graphed.carried, plain.carried)
    assert torch.equal(graphed.rho, plain.rho)


def test_the_fused_kernels_move_as_the_plain_ones_do(gpu, monkeypatch):
    fused = run().points
    monkeypatch.setattr(cuda, "fuses", lambda x: False)
    plain, start = run().points, points()[0]
    moved, apart = (plain - start).norm(dim=1), (fused - plain).norm(dim=1)
    assert float((apart / moved).median()) < 0.05
