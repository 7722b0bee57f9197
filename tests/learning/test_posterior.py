"""Predictions with error bars: brute force, calibration, draws; scikit-learn and GPyTorch agree."""

import math

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

import kflow
from kflow.learning import ARD, LeaveOneOut, MarginalLikelihood, Periodic, condition
from kflow.learning.draws import Draws
from kflow.learning.posterior import diagonal
from tests.learning.problems import draw_from, points

WIDTHS = [0.8, 1.5, 3.0]
ROOT = math.sqrt(2)
# our gamma beside the length scale of scikit-learn and GPyTorch
TRANSLATIONS = {
    "gaussian": (ARD(kflow.Gaussian, 3, WIDTHS), kernels.RBF(np.array(WIDTHS) / ROOT)),
    "matern32": (ARD(kflow.Matern32, 3, WIDTHS), kernels.Matern(WIDTHS, nu=1.5)),
    "matern52": (ARD(kflow.Matern52, 3, WIDTHS), kernels.Matern(WIDTHS, nu=2.5)),
    "rational": (
        ARD(kflow.RationalQuadratic(1.0, 0.7), 3, 1.3),
        kernels.RationalQuadratic(1.3 / ROOT, alpha=0.7),
    ),
}


@pytest.mark.parametrize("name", TRANSLATIONS)
def test_scikit_learn_agrees(name):
    ours, theirs = TRANSLATIONS[name]
    x, y = points()
    new, _ = points(9, seed=1)
    peer = GaussianProcessRegressor(2.5 * theirs, alpha=2.5 * 0.05, optimizer=None)
    peer.fit(x.numpy(), y.numpy())
    posterior = condition(ours.freeze(), x, y, 0.05, amplitude=2.5)
    mean, std = peer.predict(new.numpy(), return_std=True)
    _, covariance = peer.predict(new.numpy(), return_cov=True)
    np.testing.assert_allclose(posterior.mean(new), mean, atol=1e-8)
    np.testing.assert_allclose(posterior.std(new), std, atol=1e-8)
    ours_covariance = posterior.covariance(new).permute(1, 2, 0)
    np.testing.assert_allclose(ours_covariance, covariance, atol=1e-8)
    likelihood = posterior.log_likelihood().sum().item()
    assert likelihood == pytest.approx(peer.log_marginal_likelihood_value_, abs=1e-8)
    noisy = GaussianProcessRegressor(2.5 * theirs + kernels.WhiteKernel(2.5 * 0.05), optimizer=None)
    _, std = noisy.fit(x.numpy(), y.numpy()).predict(new.numpy(), return_std=True)
    np.testing.assert_allclose(posterior.std(new, noise=True), std, atol=1e-6)


def test_scikit_learns_periodic_kernel_agrees():
    x, _ = points(d=1)
    theirs = kernels.ExpSineSquared(length_scale=0.9, periodicity=1.7)(x.numpy())
    np.testing.assert_allclose(Periodic(1.7, ROOT * 0.9)(x).detach(), theirs, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_gpytorch_agrees():
    gpytorch = pytest.importorskip("gpytorch")
    x, y = points(c=1)
    noise = gpytorch.likelihoods.GaussianLikelihood().double()

    class Model(gpytorch.models.ExactGP):
        def __init__(self):
            super().__init__(x, y[:, 0], noise)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = gpytorch.kernels.MaternKernel(nu=2.5, ard_num_dims=3).double()

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(
                self.mean_module(x), self.covar_module(x)
            )

    model = Model()
    model.covar_module.lengthscale = torch.tensor(WIDTHS, dtype=torch.float64)
    noise.noise = torch.tensor(0.05, dtype=torch.float64)
    posterior = condition(ARD(kflow.Matern52, 3, WIDTHS).freeze(), x, y, 0.05, amplitude=1.0)
    model.train(), noise.train()
    joint = gpytorch.mlls.ExactMarginalLogLikelihood(noise, model)(model(x), y[:, 0])
    assert joint.item() * len(x) == pytest.approx(posterior.log_likelihood().item(), abs=1e-8)
    pseudo = gpytorch.mlls.LeaveOneOutPseudoLikelihood(noise, model)(model(x), y[:, 0])
    mean, std = posterior.leave_one_out()
    expected = torch.distributions.Normal(mean, std).log_prob(y).mean()
    assert pseudo.item() == pytest.approx(expected.item(), abs=1e-8)
    model.eval(), noise.eval()
    new, _ = points(9, seed=1)
    torch.testing.assert_close(model(new).stddev, posterior.std(new)[:, 0], rtol=0, atol=1e-8)
    label = noise(model(new)).stddev
    torch.testing.assert_close(label, posterior.std(new, True)[:, 0], rtol=0, atol=1e-8)


def test_the_mean_is_the_interpolant_and_criteria_are_its_likelihoods(rng):
    x, y = points()
    kernel, nugget = ARD(kflow.Matern52, 3).freeze(), torch.tensor(0.05, dtype=torch.float64)
    posterior = condition(kernel, x, y, 0.05)
    torch.testing.assert_close(posterior.mean(x), kflow.interpolate(kernel, x, y, 0.05)(x))
    best = condition(kernel, x, y, 0.05, (y * posterior.coefficients).sum(0) / 20)
    log = -best.log_likelihood().mean() / 20 - 0.5 - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(MarginalLikelihood()(kernel, x, y, nugget, rng), log)
    mean, std = posterior.leave_one_out()
    log = -torch.distributions.Normal(mean, std).log_prob(y).mean()
    expected = LeaveOneOut()(kernel, x, y, nugget, rng) + 0.5 + 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(log, expected)


def test_intervals_hold_the_labels_as_often_as_they_say():
    kernel = ARD(kflow.Gaussian, 3).freeze()
    x, _ = points(400)
    y = 3.0 * draw_from(kernel, x, 0.1, 6)
    posterior = condition(kernel, x[:200], y[:200], 0.1)
    assert (posterior.amplitude / 9).mean().item() == pytest.approx(1, abs=0.15)
    errors = (posterior.mean(x[200:]) - y[200:]).abs()
    covered = (errors < 1.96 * posterior.std(x[200:], noise=True)).double().mean()
    assert 0.92 < covered < 0.975
    narrow = (errors < 1.96 * posterior.std(x[200:])).double().mean()
    assert narrow < 0.85  # without the noise the interval is that of the function


def test_draws_have_the_mean_and_the_covariance():
    x, y = points(c=2)
    new, _ = points(4, seed=1)
    posterior = condition(ARD(kflow.Gaussian, 3).freeze(), x, y, 0.1)
    draws = posterior.sample(new, 20_000, torch.Generator().manual_seed(0), noise=True)
    assert draws.shape == (20_000, 4, 2)
    torch.testing.assert_close(draws.mean(0), posterior.mean(new), rtol=0, atol=0.05)
    for c in range(2):
        seen = draws[:, :, c].T.cov()
        torch.testing.assert_close(seen, posterior.covariance(new, True)[c], rtol=0.05, atol=0.05)


def test_any_kernel_has_a_diagonal_and_no_points_give_no_values():
    x, y = points()
    plain = condition(lambda a, b: kflow.Gaussian(1.0)(a, b), x, y, 0.1)
    ours = condition(kflow.Gaussian(1.0), x, y, 0.1)
    torch.testing.assert_close(plain.std(x), ours.std(x))
    assert diagonal(lambda a, b: a @ b.mT, x[:0]).shape == (0,)
    big = points(150)[0]
    torch.testing.assert_close(diagonal(lambda a, b: a @ b.mT, big), big.square().sum(1))
    assert ours.mean(x[:0]).shape == ours.std(x[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    ("amplitude", "error"),
    [(-1.0, ValueError), (0, ValueError), ([1.0, 2.0, 3.0], ValueError), (math.nan, ValueError),
     ("large", TypeError), (1j, TypeError)],
)  # fmt: skip
@pytest.mark.wrong_types
def test_an_amplitude_is_a_positive_number_for_each_output(amplitude, error):
    x, y = points(5)
    with pytest.raises(error, match="amplitude must be"):
        condition(kflow.Gaussian(1.0), x, y, 0.1, amplitude)


@pytest.mark.wrong_types
def test_noise_is_yes_or_no():
    x, y = points(5)
    posterior = condition(kflow.Gaussian(1.0), x, y, 0.1)
    for ask in (posterior.std, posterior.covariance):
        with pytest.raises(TypeError, match="noise must be True or False, not None"):
            ask(x, None)
        assert torch.equal(ask(x, np.True_), ask(x, True))


def test_an_output_without_labels_has_no_amplitude_and_an_unbounded_likelihood():
    x, y = points(5)
    posterior = condition(kflow.Gaussian(1.0), x, torch.cat([y[:, :1], 0 * y[:, :1]], 1), 0.1)
    first, second = posterior.log_likelihood().tolist()
    assert math.isfinite(first) and second == math.inf
    assert posterior.amplitude[1] == 0 and (posterior.std(x)[:, 1] == 0).all()


@pytest.mark.parametrize("nugget", [1e5, 1e100, 1e200, 1e280])
def test_a_label_deviates_as_the_labels_do_where_the_nugget_hides_the_kernel(
    nugget,
):
    x, y = points(40)
    std = condition(kflow.Gaussian(1.0), x, y, nugget).std(x[:1], noise=True)[0]
    torch.testing.assert_close(std, y.square().mean(0).sqrt(), rtol=1e-3, atol=0)


def test_labels_whose_amplitude_float64_does_not_hold_are_refused():
    x, y = points(10)
    small = torch.cat([y[:, :1], 1e-170 * y[:, 1:]], 1)
    says = "amplitude of output 1, whose labels reach .*e-170, is beyond .* other units"
    with pytest.raises(ValueError, match=says):
        condition(kflow.Gaussian(1.0), x, small, 1e-2)
    posterior = condition(kflow.Gaussian(1.0), x, small, 1e-2, amplitude=1.0)
    with pytest.raises(ValueError, match=says):
        posterior.calibrated([torch.arange(10)])
    near = condition(kflow.Gaussian(1.0), x, 1e-140 * y, 1e-2).std(x + 0.1)
    ours = condition(kflow.Gaussian(1.0), x, y, 1e-2).std(x + 0.1)
    torch.testing.assert_close(1e140 * near, ours)


@pytest.mark.wrong_types
def test_conditioning_asks_what_interpolation_asks():
    x, y = points(5)
    for act in (condition, kflow.interpolate):
        with pytest.raises(ValueError, match="x holds no point"):
            act(kflow.Gaussian(1.0), x[:0], y[:0], 0.1)
        with pytest.raises(TypeError, match="not the class"):
            act(kflow.Gaussian, x, y, 0.1)


@pytest.mark.parametrize("far", [1e3, 1e8, 1e12])
def test_a_new_point_far_away_changes_nothing_of_the_others(far):
    (x, y), new = points(), points(2, seed=1)[0]
    beside = torch.cat([new, torch.full_like(new[:1], far)])
    for kernel in (kflow.Matern52(1.5), ARD(kflow.Gaussian, 3).freeze()):
        posterior = condition(kernel, x, y, 0.1)
        expected = posterior.covariance(new)
        torch.testing.assert_close(posterior.covariance(beside)[:, :2, :2], expected)
        normal, told = torch.ones(2, 2, dtype=torch.float64), []
        for third in (new[0], beside[2]):
            draws = Draws(posterior, 2, 2)
            draws.values(torch.stack([new[0], third]), normal)
            told.append(draws.values(new[[1, 1]], normal)[0])
        torch.testing.assert_close(*told)


def test_a_kernel_that_returns_float32_is_taken_in_float64():
    (x, y), new = points(), points(4, seed=1)[0]

    def kernel(a, b):
        return kflow.Gaussian(1.0)(a.float(), b.float())

    found, expected = (condition(k, x, y, 0.1, 1.0) for k in (kernel, kflow.Gaussian(1.0)))
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(found.mean(new), expected.mean(new), **close)
    torch.testing.assert_close(found.std(new), expected.std(new), **close)
    torch.testing.assert_close(found.covariance(new), expected.covariance(new), **close)
    draws, normal = (Draws(each, 4, 2) for each in (found, expected)), points(4, c=2)[1]
    one, two = ([each.values(at, normal) for at in (new, new + 1)] for each in draws)
    torch.testing.assert_close(one, two, **close)
    nugget, rng = torch.tensor(0.1, dtype=torch.float64), torch.Generator()
    for criterion in (LeaveOneOut(), MarginalLikelihood()):
        ours = criterion(kflow.Gaussian(1.0), x, y, nugget, rng)
        torch.testing.assert_close(criterion(kernel, x, y, nugget, rng), ours, **close)


def test_a_posterior_does_not_change_with_what_it_was_made_of():
    (x, y), kernel = points(), ARD(kflow.Gaussian, 3)
    amplitude, new = torch.ones(2, dtype=torch.float64), points(4, seed=1)[0]
    posterior = condition(kernel, x, y, 0.1, amplitude)
    expected = posterior.mean(new), *posterior.leave_one_out()
    for part in (x, y, amplitude, kernel._gamma.log.data):
        part.add_(1.0)
    torch.testing.assert_close((posterior.mean(new), *posterior.leave_one_out()), expected)


def test_without_noise_the_error_bar_at_an_old_point_is_zero_and_never_nan():
    x, y = points(40)
    posterior = condition(kflow.Gaussian(3.0), x, y, 1e-12)
    assert float(posterior.std(x).max()) < 1e-4 * float(posterior.amplitude.sqrt().max())
    sure = condition(kflow.Gaussian(1.0), x, y, 0.0)
    assert float(sure.std(x).max()) < 1e-6 * float(sure.amplitude.sqrt().max())
    twice = torch.cat([x[:3], x[:3], x[:1] + 1])
    draws = posterior.sample(twice, 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws[:, :3], y[:3].expand(2, -1, -1), rtol=0, atol=1e-2)
    with pytest.raises(ValueError, match="size must be at least 1"):
        posterior.sample(x, 0, torch.Generator())


def test_leaving_one_out_is_fitting_without_each_label_with_its_noise():
    x, y = points(12)
    kernel = ARD(kflow.Gaussian, 3).freeze()
    mean, std = condition(kernel, x, y, 0.1, amplitude=2.0).leave_one_out()
    for i in range(12):
        kept = [j for j in range(12) if j != i]
        rest = condition(kernel, x[kept], y[kept], 0.1, amplitude=2.0)
        torch.testing.assert_close(mean[i], rest.mean(x[[i]])[0])
        torch.testing.assert_close(std[i], rest.std(x[[i]], noise=True)[0])


def test_the_likelihood_is_that_of_a_normal_law():
    x, y = points(12)
    kernel = ARD(kflow.Gaussian, 3).freeze()
    posterior = condition(kernel, x, y, 0.1)
    for given in (None, torch.tensor([2.0, 0.5], dtype=torch.float64)):
        scales = posterior.amplitude if given is None else given
        for c, scale in enumerate(scales):
            gram = scale * (kernel(x) + 0.1 * torch.eye(12, dtype=torch.float64))
            law = torch.distributions.MultivariateNormal(torch.zeros_like(x[:, 0]), gram)
            expected = law.log_prob(y[:, c])
            torch.testing.assert_close(posterior.log_likelihood(given)[c], expected)


@pytest.mark.parametrize("nugget", [1e-2, 1e-9])
def test_leaving_out_parts_is_fitting_without_each(nugget):
    x, y = points(40)
    kernel = kflow.Matern52(1.3)
    posterior = condition(kernel, x, y, nugget)
    parts = [torch.arange(0, 40, 3), torch.tensor([1]), torch.tensor([38, 2, 5])]
    parts.append(torch.tensor(sorted(set(range(40)) - set(torch.cat(parts).tolist()))))
    mean, std = posterior.leave_out(parts)
    for part in parts:
        kept = torch.ones(40, dtype=torch.bool).index_fill(0, part, False)
        without = condition(kernel, x[kept], y[kept], nugget, posterior.amplitude)
        torch.testing.assert_close(mean[part], without.mean(x[part]), rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(std[part], without.std(x[part], noise=True), rtol=1e-7, atol=0)
    calibrated = posterior.calibrated(parts)
    mean, std = calibrated.leave_out(parts)
    torch.testing.assert_close(((y - mean) / std).square().mean(0), torch.ones(2).to(y))
    single = posterior.calibrated([torch.tensor([i]) for i in range(40)])
    torch.testing.assert_close(single.amplitude, posterior.amplitude)


@pytest.mark.parametrize(
    ("parts", "error", "says"),
    [
        ([torch.arange(3)], ValueError, "each row once, but row 3 0 times"),
        ([torch.tensor([0, 0, 1]), torch.arange(2, 6)], ValueError, "row 0 2 times"),
        ([], ValueError, "row 0 0 times"),
        ([torch.arange(6), torch.arange(0)], ValueError, "a part is empty"),
        ([torch.arange(5), torch.tensor([-1])], ValueError, "rows 0 to 5, not -1"),
        ([torch.arange(7)], ValueError, "rows 0 to 5, not 6"),
        ([[0, 1, 2], [3, 4, 5]], TypeError, "vector of int64"),
        ([torch.arange(6) < 3, torch.arange(6) >= 3], TypeError, "vector of int64"),
    ],
)
@pytest.mark.wrong_types
def test_parts_that_are_left_out_hold_each_row_once(parts, error, says):
    posterior = condition(kflow.Gaussian(1.0), *points(6), 0.1)
    for ask in (posterior.leave_out, posterior.residuals, posterior.calibrated):
        with pytest.raises(error, match=says):
            ask(parts)


def test_draws_told_point_after_point_have_the_covariance_and_the_mean():
    x, y = points(15)
    posterior = condition(ARD(kflow.Gaussian, 3, WIDTHS).freeze(), x, y, 1e-3)
    new, other = points(8, seed=1)[0], points(8, seed=2)[0]
    new[5] = new[2]  # the path comes back
    draws = Draws(posterior, 2, 8)
    rng = torch.Generator().manual_seed(0)
    normals = torch.randn(8, 2, 2, generator=rng, dtype=torch.float64)
    told = [
        draws.values(torch.stack(both), normals[t])
        for t, both in enumerate(zip(new, other, strict=True))
    ]
    told = torch.stack(told)
    torch.testing.assert_close(told[5, 0], told[2, 0])
    for path, at in enumerate((new, other)):
        root = draws.roots[path].clone()
        if path == 0:
            root[5, 5] = 0
        expected = posterior.covariance(at)
        found = posterior.amplitude[:, None, None] * (root @ root.mT)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        rest = (told[:, path] - posterior.mean(at)) / posterior.amplitude.sqrt()
        torch.testing.assert_close(rest, root @ normals[:, path], rtol=1e-9, atol=1e-11)


def test_without_noise_a_draw_goes_through_the_labels():
    x, y = points(12)
    posterior = condition(kflow.Matern32(2.0), x, y, 0.0)
    draws, normal = Draws(posterior, 12, 2), torch.ones(12, 2, dtype=torch.float64)
    torch.testing.assert_close(draws.values(x, normal), y)
    away = draws.values(x + 0.5, normal)
    assert ((away - posterior.mean(x + 0.5)).abs() > 0.01).all()
