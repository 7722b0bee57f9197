"""A flow sees differences alone: not the origin, the axes, the order or the unit of the data."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kflow
from tests import reference
from tests.test_game import RADIAL


def points(seed=0, n=60, d=2):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=rng, dtype=torch.float64)
    y = torch.eye(3, dtype=torch.float64)[torch.arange(n) % 3]
    return x + 1.5 * y[:, :d] if d <= 3 else x, y


def run(x, y, place, make=kflow.Gaussian, unit=1.0, layers=5, step=None):
    step = kflow.MaxDisplacement(0.1 * unit) if step is None else step
    flow = kflow.KernelFlow(make(unit), 20, step, 1e-2, place.precision)
    x, y = x.to(place.device), y.to(place.device)
    path = flow.run(x, y, layers, torch.Generator().manual_seed(1), carry=x[:9] + 0.3 * unit)
    return path, torch.cat([path.points - x, path.carried - x[:9] - 0.3 * unit]).cpu()


def apart(motion, other):
    """The largest difference of two motions, as a share of the largest motion."""
    return float((motion - other).norm(dim=1).max() / motion.norm(dim=1).max())


def allowed(place, offset):
    """What the precision and the rounding of the data themselves let differ after five layers."""
    return 2 * place.error + 1e4 * torch.finfo(torch.float64).eps * offset


@pytest.mark.parametrize("make", RADIAL)
@pytest.mark.parametrize("offset", [500.0, 5e5, 1e6])
def test_a_flow_does_not_see_the_origin(make, offset, place):
    x, y = points()
    here = run(x, y, place, make)[1]
    there = run(x + torch.tensor([offset, -offset]), y, place, make)[1]
    assert apart(here, there) < allowed(place, offset)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 9), st.floats(-1e6, 1e6), st.floats(0, 6.28), st.floats(-9, 9),
    st.sampled_from(["float64", "float32"]), st.sampled_from(RADIAL),
)  # fmt: skip
def test_nor_the_axes_nor_the_unit(seed, offset, angle, power, precision, make):
    place, unit = Place(precision), 2.0**power
    x, y = points(seed)
    cos, sin = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
    here = run(x, y, place, make)[1][:60]
    there = run(unit * (x @ turn + offset), y, place, make, unit)[1][:60]
    assert apart(here @ turn, there / unit) < allowed(place, abs(offset))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9), st.floats(-1e6, 1e6), st.sampled_from(RADIAL))
def test_rho_and_its_gradient_do_not_see_the_origin(seed, offset, make):
    x, y = points(seed, 20)
    here = kflow.rho_and_gradient(make(1.0), x, y, torch.arange(10), 1e-3)
    there = kflow.rho_and_gradient(make(1.0), x + offset, y, torch.arange(10), 1e-3)
    for one, other in zip(here, there, strict=True):
        assert float((one - other).norm() / one.norm()) < 1e-8 + 1e-11 * abs(offset)


def test_the_order_of_the_points_does_not_matter(place):
    x, y = points()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    z = x[order]
    flow = kflow.KernelFlow(
        kflow.Gaussian(1.0), 60, kflow.MaxDisplacement(0.1), 1e-2, place.precision
    )
    sample = kflow.draw(60, 60, torch.Generator().manual_seed(1))
    kept = torch.zeros(60, dtype=torch.bool)
    kept[sample.fine[sample.coarse]] = True
    moved = flow.run(x.to(place.device), y.to(place.device), 1, torch.Generator().manual_seed(1))
    # the same game by the same points, which are now elsewhere
    _, gradient = kflow.rho_and_gradient(
        flow.kernel, z, y[order], kept[order].nonzero()[:, 0], 1e-2
    )
    g = -gradient.numpy()
    eps = 0.1 / np.sqrt((g**2).sum(1).max())
    expected = reference.layer("Gaussian", z.numpy(), z.numpy(), g, eps, 1.0, 1e-2)
    motion = torch.from_numpy(expected) - z
    assert apart(motion, (moved.points.cpu() - x)[order]) < 2 * place.error


class Place:
    """The CPU in a precision, where the fixture of that name cannot be drawn by Hypothesis."""

    def __init__(self, precision):
        self.device, self.precision = torch.device("cpu"), precision
        self.error = {"float64": 1e-6, "float32": 2e-3}[precision]


def test_a_rule_that_depends_on_the_origin_is_shown_the_callers(place):
    x, y = points()
    resting = torch.cat([x, torch.full((60, 1), 3.0, dtype=torch.float64)], 1)
    step = kflow.RelativeDisplacement(0.1)
    for offset in (0.0, 50.0):
        path = run(resting + offset, y, place, step=step, layers=1)[0]
        flow = kflow.KernelFlow(kflow.Gaussian(1.0), 20, kflow.Constant(1.0), 1e-2, "float64")
        sample = kflow.draw(60, 20, torch.Generator().manual_seed(1))
        z = (resting + offset)[sample.fine]
        _, gradient = kflow.rho_and_gradient(flow.kernel, z, y[sample.fine], sample.coarse, 1e-2)
        eps = 0.1 * float((z.norm(dim=1) / gradient.norm(dim=1)).min())
        assert float(path.eps[0]) == pytest.approx(
            eps, rel=0.02 if place.precision == "mixed" else 1e-4
        )


def test_a_point_far_from_all_others_changes_nothing_for_them(place):
    x, y = points(n=61)
    x[60] = 1e6
    flow = kflow.KernelFlow(
        kflow.Gaussian(1.0), 40, kflow.MaxDisplacement(0.1), 1e-2, place.precision
    )
    sample = kflow.draw(61, 40, torch.Generator().manual_seed(1))
    assert 60 in sample.fine  # it does play
    path = flow.run(x.to(place.device), y.to(place.device), 1, torch.Generator().manual_seed(1))
    z = x[sample.fine]
    _, gradient = kflow.rho_and_gradient(flow.kernel, z, y[sample.fine], sample.coarse, 1e-2)
    g = -gradient.numpy()
    eps = 0.1 / np.sqrt((g**2).sum(1).max())
    expected = reference.layer("Gaussian", x.numpy(), z.numpy(), g, eps, 1.0, 1e-2)
    motion, moved = torch.from_numpy(expected) - x, path.points.cpu() - x
    assert apart(motion[:60], moved[:60]) < 2 * place.error
    assert float(moved[60].norm()) < 2e6 * torch.finfo(place.dtype).eps


@pytest.mark.parametrize("spread", [5e3, 1e6, 1e9])
def test_groups_too_far_apart_for_a_precision_are_refused_with_the_cure(spread, place):
    x, y = points()
    x[::2] += spread
    if place.precision == "float64" and spread < 1e4:
        near = x.clone()
        near[::2] += 50 - spread  # 50 bandwidths are as far for a Gaussian as any number
        assert apart(run(near, y, place)[1], run(x, y, place)[1]) < 1e-5
        return
    cure = "one by one" if place.precision == "float64" else 'precision="float64"'
    with pytest.raises(ValueError, match=f"bandwidths from the centre.*{cure}"):
        run(x, y, place)


def test_rows_in_order_have_their_neighbours_seen():
    t = torch.arange(10_000.0)[:, None]  # spaced by a bandwidth
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), 200, kflow.MaxDisplacement(0.05), 1e-3)
    with pytest.raises(ValueError, match=r"bandwidths from the centre.*float32 cannot tell"):
        flow.run(t, torch.sin(t), 1, torch.Generator().manual_seed(0))
