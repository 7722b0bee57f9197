"""The hot path against the obvious float64 form: same motion, to a known error, for any company."""

import math

import pytest
import torch

import kflow
from kflow import data, game
from kflow.engine import precisions, transport
from kflow.engine.frame import Frame
from kflow.engine.shards import Shards
from kflow.engine.transport import Layer
from tests import reference


def digits_layer(nugget, flowed=0):
    """A real layer on real digits: batch, unseen points, and c, after a few layers of a flow."""
    digits = data.mnist()
    moving = (digits.x != digits.x[0]).any(0)
    x, y = digits.x[:2000, moving].double(), digits.y[:2000].double()
    kernel = kflow.Gaussian.for_points(x)
    rng = torch.Generator().manual_seed(5)
    if flowed:
        step = kflow.MaxDisplacement(0.1 * kernel.gamma)
        flow = kflow.KernelFlow(kernel, 600, step, nugget, precision="float64")
        x = flow.run(x, y, flowed, rng).points
    sample = game.draw(len(x), 600, rng)
    z = x[sample.fine]
    played = game.play(kernel, z, y[sample.fine], sample.coarse, nugget)
    g = -played.gradient
    c = torch.cholesky_solve(g, played.factor)
    eps = 0.1 * kernel.gamma / g.norm(dim=1).max()
    unseen = torch.ones(len(x), dtype=torch.bool)
    unseen[sample.fine] = False
    return kernel, Layer(z, eps * c), x[unseen][:500]


def moved(kernel, layer, x, dtype, device="cpu", mixed=False):
    points, z, c = (part.to(dtype, copy=True).to(device) for part in (x, *layer))
    transport.move(points, None, [Layer(z, c)], kernel, mixed)
    return points.cpu().double()


def displacement_error(kernel, layer, x, device, mixed=False):
    """Median over points of |error| / |displacement| in float32, against float64 on the CPU."""
    if mixed:  # the game is played on the batch rounded to bf16, and the points follow from there
        layer = Layer(layer.z.bfloat16().double(), layer.c)
    exact = moved(kernel, layer, x, torch.float64) - x
    found = moved(kernel, layer, x, torch.float32, device, mixed) - x.float().double()
    return float(((found - exact).norm(dim=1) / exact.norm(dim=1)).median())


@pytest.mark.parametrize("nugget", [1e-4, 1e-2, 1e-1])
def test_float32_moves_digits_as_float64_does_to_half_a_percent(nugget, anywhere):
    kernel, layer, unseen = digits_layer(nugget)
    for x in (layer.z, unseen):
        assert displacement_error(kernel, layer, x, anywhere) < 0.005


@pytest.mark.parametrize("nugget", [1e-4, 1e-2, 1e-1])
def test_three_halves_move_digits_as_float64_does_to_five_percent(nugget, device):
    kernel, layer, unseen = digits_layer(nugget)
    for x in (layer.z, unseen):
        assert displacement_error(kernel, layer, x, device, mixed=True) < 0.05


def test_plain_bf16_would_lose_the_motion():
    # what mixed is for: rounding K and c once makes an error of the order of the motion
    kernel, layer, unseen = digits_layer(1e-2)
    exact = kernel(unseen, layer.z) @ layer.c
    k, c = kernel(unseen, layer.z).bfloat16(), layer.c.bfloat16()
    error = ((k.double() @ c.double()) - exact).norm(dim=1) / exact.norm(dim=1)
    assert float(error.median()) > 0.05


@pytest.mark.parametrize("width", [8, 304])
def test_a_point_moves_to_the_same_bits_alone_and_in_any_company(width, rng, place):
    numbers = torch.randn(2500, width, generator=rng, dtype=torch.float64)
    c = torch.randn(250, width, generator=rng, dtype=torch.float64)
    x, c = place(numbers, c)
    layer, mixed = Layer(x[:250].clone(), c), place.precision == "mixed"
    kernel = kflow.Gaussian(float(width))
    together = x.clone()
    transport.move(together, None, [layer], kernel, mixed)
    for i in (0, 255, 256, 511, 512, 2499):
        alone = x[i : i + 1].clone()
        transport.move(alone, None, [layer], kernel, mixed)
        assert torch.equal(alone[0], together[i])
    some = torch.randperm(2500, generator=rng)[:777]
    few = x[some]
    transport.move(few, None, [layer], kernel, mixed)
    assert torch.equal(few, together[some])


@pytest.mark.parametrize("name", ["Gaussian", "Matern32", "InverseMultiquadric"])
def test_a_layer_is_the_formula(name, rng, device):
    z, x, g = (torch.randn(n, 3, generator=rng, dtype=torch.float64) for n in (8, 20, 8))
    kernel = getattr(kflow, name)(1.1)
    c = 0.3 * torch.linalg.solve(kernel(z, z) + 0.1 * torch.eye(8, dtype=torch.float64), g)
    points = moved(kernel, Layer(z, c), x, torch.float64, device)
    expected = reference.layer(name, x.numpy(), z.numpy(), g.numpy(), 0.3, 1.1, 0.1)
    torch.testing.assert_close(points, torch.from_numpy(expected), rtol=1e-10, atol=1e-12)


def test_any_callable_kernel_is_transported(rng, device):
    z, x, c = (torch.randn(n, 3, generator=rng, dtype=torch.float64) for n in (8, 20, 8))
    points = moved(lambda a, b: a @ b.mT, Layer(z, c), x, torch.float64, device)
    torch.testing.assert_close(points, x + x @ z.mT @ c)


def test_an_offset_adds_to_every_squared_distance(rng, device):
    parts = (torch.randn(n, 3, generator=rng, dtype=torch.float64) for n in (8, 20, 8))
    z, x, c = (part.to(device) for part in parts)
    kernel = kflow.Gaussian(1.0)
    points = x.clone()
    transport.move(points, torch.full_like(x[:, 0], 0.5), [Layer(z, c)], kernel)
    torch.testing.assert_close(points, x + math.exp(-0.5) * kernel(x, z) @ c)


def test_blocks_suit_images_and_points_of_the_plane():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    images, plane = ((width, m) for width, m in ((717, 600), (2, 100)))
    assert transport.block_rows(*plane, cpu) < transport.block_rows(*images, cpu)
    assert transport.block_rows(*images, cpu) < transport.block_rows(*images, gpu)
    assert transport.block_rows(*images, gpu) < transport.block_rows(*plane, gpu)


@pytest.mark.parametrize("n", [0, 3, 16, 17, 40])
def test_blocks_are_of_equal_length_and_each_point_is_moved_once(n, rng, monkeypatch):
    seen = []

    def rows(*asked):
        seen.append(asked)
        return 16

    class Watched(kflow.Gaussian):
        def of_squared(self, r2):
            assert len(r2) == 16
            return super().of_squared(r2)

    monkeypatch.setattr(transport, "block_rows", rows)
    z, x, c = (torch.randn(m, 3, generator=rng, dtype=torch.float64) for m in (7, n, 7))
    away = torch.rand(n, generator=rng, dtype=torch.float64)
    points = x.clone()
    transport.move(points, away, [], Watched(1.0))
    assert torch.equal(points, x)
    transport.move(points, away, [Layer(z, c)], Watched(1.0))
    expected = x + torch.exp(-away)[:, None] * (kflow.Gaussian(1.0)(x, z) @ c)
    torch.testing.assert_close(points, expected)
    assert seen == ([(3, 8, x.device)] if n else [])  # the batch is filled up to a multiple of 8


def test_a_batch_is_filled_up_with_points_that_move_nothing(rng):
    z, c = (torch.randn(13, 3, generator=rng) for _ in range(2))
    for m, filled in ((13, 16), (8, 8), (1, 8)):
        prepared = transport.mover_of(kflow.Gaussian(1.0), False).prepare(Layer(z[:m], c[:m]))
        assert torch.equal(prepared.z[:m], -2 * z[:m]) and len(prepared.z) == filled
        assert torch.equal(prepared.c_t[:, :m], c[:m].mT) and not prepared.c_t[:, m:].any()


@pytest.mark.parametrize("mixed", [False, True])
def test_rounding_makes_no_squared_distance_negative_far_from_the_origin(mixed, rng):
    class Watched(kflow.Gaussian):
        def of_squared(self, r2):
            assert float(r2.min()) == 0
            return super().of_squared(r2)

    z = 1000 + torch.randn(64, 3, generator=rng).bfloat16().float()
    transport.move(z.clone(), None, [Layer(z, torch.zeros_like(z))], Watched(1.0), mixed)


def test_float32_on_a_cpu_is_multiplied_by_onednn():
    x = torch.zeros(1, 1)
    assert (transport._linear(x) is transport._onednn_linear) == transport.ONEDNN
    assert transport._linear(x.double()) is torch.nn.functional.linear


def rounded(x, w, bias):
    """x @ w.T, whose bits depend on no order."""
    return (x.double() @ w.double().mT).float()


def test_a_product_whose_rows_depend_on_their_place_is_not_trusted():
    assert transport.sums_rows_alike(rounded)
    for narrow in (8, 256):  # the distances, and the motion

        def last_row_otherwise(x, w, bias, narrow=narrow):
            product = rounded(x, w, bias)
            product[-1] *= 1 + 1e-6 * (x.shape[1] == narrow)
            return product

        assert not transport.sums_rows_alike(last_row_otherwise)


def test_where_onednn_is_not_trusted_the_points_are_filled_up(rng, monkeypatch):
    x, more = torch.randn(40, 3, generator=rng), torch.randn(300, 3, generator=rng)
    alone = Shards.of(len(x), None)
    for trusted, fill in ((True, 0), (False, 5)):
        monkeypatch.setattr(transport, "ONEDNN", trusted)
        assert Frame.of(x, torch.float32, True, alone).fill == fill
        assert Frame.of(x.double(), torch.float64, True, alone).fill == 5
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), 20, kflow.MaxDisplacement(0.1), 1e-2, "float32")

    def carried(points):
        return flow.run(x, x[:, :1], 3, torch.Generator().manual_seed(0), carry=points).carried

    together = carried(more)
    for i in (0, 7, 255, 299):
        assert torch.equal(carried(more[i : i + 1])[0], together[i])


MATMUL = getattr(torch.backends.mkldnn, "matmul", None)


@pytest.mark.skipif(
    not hasattr(MATMUL, "fp32_precision"),
    reason="not run: before torch 2.9 products of float32 cannot be asked for bf16",
)
@pytest.mark.parametrize("tiles", [False, True])
def test_products_of_halves_ask_for_tiles_only_where_there_are(tiles, rng, monkeypatch):
    matmul = MATMUL
    x, z = (torch.randn(n, 3, generator=rng).bfloat16() for n in (4, 5))
    before, seen, linear = matmul.fp32_precision, [], torch.nn.functional.linear

    def watched(*given):
        seen.append(matmul.fp32_precision)
        return linear(*given)

    monkeypatch.setattr(transport, "has_bf16_tiles", lambda: tiles)
    monkeypatch.setattr(transport.F, "linear", watched)
    torch.testing.assert_close(transport._product_of_halves(x, z), x.float() @ z.float().mT)
    assert seen == ["bf16" if tiles else before] and matmul.fp32_precision == before


def test_mixed_says_where_it_falls_back(monkeypatch):
    monkeypatch.setattr(precisions, "has_bf16_tiles", lambda: False)
    with pytest.warns(UserWarning, match="runs in float32"):
        assert not precisions.uses_mixed("mixed", torch.device("cpu"))


def test_mixed_on_cuda_needs_a_torch_that_sums_bf16_products_in_float32(monkeypatch):
    assert precisions.uses_mixed("mixed", torch.device("cuda"))
    monkeypatch.setattr(precisions, "SUMS_BF16_WIDELY", False)
    with pytest.warns(UserWarning, match="torch .* cannot return their sums.*runs in float32"):
        assert not precisions.uses_mixed("mixed", torch.device("cuda"))


def test_float32_stays_ieee_whatever_the_process_allows(rng):
    torch.set_float32_matmul_precision("medium")
    try:
        with precisions.ieee():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
        first, second = precisions.ieee(), precisions.ieee()  # of two threads, say
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "highest"
        second.__exit__(None, None, None)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
