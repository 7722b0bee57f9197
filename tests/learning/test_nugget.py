"""The nugget by leaving one out: brute force, the true noise, and what rho takes instead."""

import math

import pytest
import torch

import kflow
from kflow.learning import ARD, Isotropic, LeaveOneOut, Rho, loo_nugget
from tests.learning.problems import points


def sine(n=200, noise=0.1, seed=0):
    """A smooth function in one dimension with noise of this share of its variance."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, generator=rng, dtype=torch.float64)
    f = torch.sin(8 * x) * math.sqrt(2)
    return x, f + math.sqrt(noise) * torch.randn(n, 1, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("loss", ["log_predictive", "log_squared"])
def test_it_is_the_least_of_the_criterion_over_all_nuggets(loss, rng):
    x, y = sine(60)
    kernel, criterion = Isotropic(kflow.Matern52, 0.3).freeze(), LeaveOneOut(loss=loss)
    found = loo_nugget(kernel, x, y, rng, loss=loss)
    nuggets = torch.logspace(-5, 2, 400, dtype=torch.float64)
    losses = torch.stack([criterion(kernel, x, y, nugget, rng) for nugget in nuggets])
    assert criterion(kernel, x, y, torch.tensor(found), rng) <= losses.min() + 1e-9


def test_it_finds_the_noise_of_the_kernels_own_labels_and_rho_does_not(rng):
    x, _ = sine(300)
    kernel, true = Isotropic(kflow.Gaussian, 0.3), 0.05
    gram = kernel(x).detach() + true * torch.eye(300, dtype=torch.float64)
    y = torch.linalg.cholesky(gram) @ torch.randn(300, 8, generator=rng, dtype=torch.float64)
    assert true / 3 < loo_nugget(kernel.freeze(), x, y, rng) < 3 * true
    nuggets = torch.logspace(-3, 2, 26, dtype=torch.float64)
    rho = [
        sum(Rho(200)(kernel, x, y, nugget, torch.Generator().manual_seed(i)) for i in range(20))
        for nugget in nuggets
    ]
    assert nuggets[torch.stack(rho).argmin()] > 10 * true


def test_labels_without_noise_want_hardly_any(rng):
    x, y = sine(100, noise=0.0)
    found = loo_nugget(Isotropic(kflow.Matern52, 0.3).freeze(), x, y, rng)
    assert found == pytest.approx(1e-9, rel=1e-6)  # the least that is tried


def test_it_scales_with_the_kernel(rng):
    x, y = sine(60)
    kernel = Isotropic(kflow.Matern52, 0.3).freeze()
    one = loo_nugget(kernel, x, y, rng)
    thousand = loo_nugget(lambda a, b: 1000 * kernel(a, b), x, y, rng)
    assert thousand == pytest.approx(1000 * one, rel=0.01)


def test_coincident_points_with_other_labels_get_a_nugget(rng):
    x, y = points(30)
    nugget = loo_nugget(ARD(kflow.Gaussian, 3).freeze(), x.repeat(2, 1), torch.cat([y, -y]), rng)
    assert nugget == pytest.approx(1000, rel=1e-6)  # the largest that is tried


def test_it_takes_part_of_many_points():
    x, y = sine(400)
    kernel = Isotropic(kflow.Matern52, 0.3).freeze()

    def found(x, y, most):
        return loo_nugget(kernel, x, y, torch.Generator().manual_seed(0), most=most)

    part, whole = found(x, y, 200), found(x, y, 400)
    drawn = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:200]
    assert part == pytest.approx(found(x[drawn], y[drawn], 200), rel=1e-6)
    assert part != pytest.approx(whole, rel=1e-3) and part == pytest.approx(whole, rel=0.5)


def test_two_points_are_enough(rng):
    x, y = sine(60)
    kernel = Isotropic(kflow.Matern52, 0.3).freeze()
    assert 0 < loo_nugget(kernel, x, y, rng, most=2) < math.inf
    with pytest.raises(ValueError, match="most must be at least 2"):
        loo_nugget(kernel, x, y, rng, most=1)


def test_constant_labels_are_refused(rng):
    with pytest.raises(ValueError, match="labels are constant"):
        loo_nugget(kflow.Gaussian(1.0), points()[0], torch.ones(20, 2), rng)
