"""A layer whose motion the precision would round away is refused, and no other."""

import pytest
import torch

from kflow import Gaussian, KernelFlow, MaxDisplacement, data
from kflow.engine import precisions, rounding

NUGGETS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
SHARE = r"at layer 0 {} would round (about \d+%|more than all) of the motion away: take {}"


@pytest.fixture(autouse=True)
def bf16(monkeypatch):
    monkeypatch.setattr(precisions, "uses_mixed", lambda asked, _: asked == "mixed")


def wide_kernel(rng):
    x = 3 * torch.randn(300, 10, generator=rng, dtype=torch.float64)
    return x, torch.sign(x[:, :1] * x[:, 1:2]), Gaussian(60.0), 100


def plane(rng):
    return *data.swiss_roll(250, rng=rng), Gaussian(1.0), 200


def motion(points, nugget, precision, layers=1):
    x, y, kernel, n_fine = points
    x = x.double() if precision == "float64" else x.float()
    step = MaxDisplacement(0.02 * kernel.gamma)
    flow = KernelFlow(kernel, n_fine, step, nugget, precision)
    moved = flow.run(x, y.to(x), layers, torch.Generator().manual_seed(1)).points
    return moved.double() - x.double()


@pytest.mark.parametrize("points", [plane, wide_kernel])
@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_what_is_not_refused_has_the_motion_of_float64(points, precision, rng):
    points, kept = points(rng), 0
    for nugget in NUGGETS:
        right = motion(points, nugget, "float64")
        try:
            error = motion(points, nugget, precision) - right
        except FloatingPointError:
            continue
        kept += 1
        assert error.norm() < 0.2 * right.norm(), nugget
    assert 1 <= kept < len(NUGGETS)


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_a_layer_that_would_be_rounded_away_is_refused_with_the_cure(precision, rng):
    with pytest.raises(FloatingPointError, match=SHARE.format(precision, 'precision="float64"')):
        motion(plane(rng), 1e-7, precision)


def test_float64_too_has_its_end():
    error = rounding.Rounded(3, 0.4, "float64")
    assert str(error) == "at layer 3 float64 would round about 40% of the motion away"
    assert error.cure == "take a larger nugget or a smaller gamma"


def test_points_that_nothing_moves_lose_nothing():
    c = torch.zeros(4, 2, dtype=torch.float64)
    assert rounding.share(c, c, "float32") == 0
