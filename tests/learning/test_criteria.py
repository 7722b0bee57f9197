"""Criteria: identities, invariances, gradients, and brute force."""

import math

import pytest
import torch

import kflow
from kflow.learning import ARD, HiddenHalf, KFold, LeaveOneOut, MarginalLikelihood, Rho, criteria
from kflow.learning.rho import rho
from tests.learning.problems import draw_from, points
from tests.learning.test_kernels import parameters_as_inputs

CRITERIA = [
    Rho(),
    Rho(halves=3, log=True),
    Rho(norm="native"),
    HiddenHalf(halves=2),
    LeaveOneOut(),
    LeaveOneOut(loss="log_squared"),
    KFold(3),
    MarginalLikelihood(),
]
NUGGET = torch.tensor(0.05, dtype=torch.float64)


@pytest.fixture(params=CRITERIA, ids=repr)
def criterion(request):
    return request.param


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def refit(kernel, x, y, kept, hidden, nugget=0.05):
    return kflow.interpolate(kernel, x[kept], y[kept], nugget)(x[hidden])


def test_the_gradient_is_that_of_finite_differences(criterion):
    x, y = points(12)
    kernel = ARD(kflow.Matern52, 3)

    class Judged(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel, self.log_nugget = kernel, torch.nn.Parameter(NUGGET.log())

        def forward(self):
            return criterion(self.kernel, x, y, self.log_nugget.exp(), seeded())

    call, values = parameters_as_inputs(Judged(), ())
    assert torch.autograd.gradcheck(call, values)


def test_as_many_halves_as_anyone_may_want_are_taken():
    assert Rho(halves=10**6).halves == 10**6


def test_the_gradient_of_rho_is_that_of_finite_differences_for_three_outputs():
    x, y = points(8, c=3)
    gram = kflow.Matern52(2.0)(x, x)
    halves = torch.tensor([[0, 1, 2, 3], [1, 3, 4, 6], [7, 0, 2, 5]])

    for coarse in (4, halves):

        def found(a, coarse=coarse):
            return rho(lambda *_: gram + a + a.mT, NUGGET, x, y, coarse)

        assert torch.autograd.gradcheck(found, torch.zeros_like(gram).requires_grad_())


class Noisy(ARD):
    """A kernel that is no longer the radial kernel of its features."""

    def gram(self, x, z):
        return super().gram(x, z) + 0.3 * torch.eye(len(x), dtype=x.dtype)


def test_rho_of_a_kernel_that_changes_its_gram_matrix_is_that_of_the_matrix():
    x, y = points(12)
    plain, noisy = (kernel(kflow.Gaussian, 3) for kernel in (ARD, Noisy))
    expected = rho(plain, NUGGET + 0.3, x, y, 6)
    torch.testing.assert_close(rho(noisy, NUGGET, x, y, 6), expected)


def test_rho_of_a_radial_kernel_has_the_gradient_of_its_gram_matrix():
    x, y = points(12)
    kernel, nugget = ARD(kflow.Matern32, 3), NUGGET.clone().requires_grad_()
    halves = torch.stack([torch.randperm(12, generator=seeded())[:6] for _ in range(3)])
    for offset, coarse in ((0.0, 6), (1e6, 6), (0.0, halves)):
        found, expected = (
            torch.autograd.grad(rho(k, nugget, x + offset, y, coarse), [kernel._gamma.log, nugget])
            for k in (kernel, lambda *given: kernel(*given))
        )
        torch.testing.assert_close(found, expected, rtol=1e-8 if offset else 1e-11, atol=0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rho_is_the_mean_over_the_halves_that_are_drawn(count):
    x, y = points(12)
    kernel, rng = ARD(kflow.Gaussian, 3), seeded(5)
    drawn = [torch.randperm(12, generator=rng)[:6] for _ in range(count)]
    expected = sum(kflow.rho(kernel.freeze(), x, y, half, 0.05) for half in drawn) / count
    found = Rho(halves=count)(kernel, x, y, NUGGET, seeded(5))
    torch.testing.assert_close(found.detach(), expected, rtol=1e-12, atol=0)


def test_the_scale_of_the_labels_does_not_matter(criterion):
    x, y = points()
    # what a constant is added to, by the logarithm of the scale
    constant = {Rho: 0.0, HiddenHalf: 2.0, KFold: 2.0, MarginalLikelihood: 1.0}.get(type(criterion))
    if constant is None:
        constant = 2.0 if criterion.loss == "log_squared" else 1.0
    kernel = ARD(kflow.Gaussian, 3)
    change = criterion(kernel, x, 7 * y, NUGGET, seeded()) - criterion(
        kernel, x, y, NUGGET, seeded()
    )
    assert change.item() == pytest.approx(constant * math.log(7), abs=1e-12)


def test_all_points_at_once_have_no_order():
    x, y = points()
    order = torch.randperm(len(x), generator=seeded(1))
    kernel = ARD(kflow.Gaussian, 3)
    for criterion in (LeaveOneOut(), LeaveOneOut(loss="log_squared"), MarginalLikelihood()):
        values = [criterion(kernel, *p, NUGGET, seeded()) for p in ((x, y), (x[order], y[order]))]
        torch.testing.assert_close(*values, rtol=1e-12, atol=0)


@pytest.mark.parametrize("c", [1, 2])
def test_rho_of_the_kernels_own_labels_has_the_beta_law_whatever_the_kernel(c):
    x, _ = points(16)
    for kernel in (ARD(kflow.Gaussian, 3), ARD(kflow.Matern32, 3, 0.3)):
        y = draw_from(kernel, x, 0.05, 1500 * c)
        values = torch.stack([
            Rho()(kernel, x, part, NUGGET, seeded(i)).detach()
            for i, part in enumerate(y.split(c, dim=1))
        ])  # fmt: skip
        beta = torch.distributions.Beta(4.0 * c, 4.0 * c)
        assert values.mean().item() == pytest.approx(0.5, abs=4 * beta.stddev.item() / 1500**0.5)
        assert values.var().item() == pytest.approx(beta.variance.item(), rel=0.15)


def test_rho_is_that_of_the_game():
    x, y = points()
    kernel = ARD(kflow.Gaussian, 3)
    kept = torch.randperm(20, generator=seeded())[:10]
    expected = kflow.rho(kernel.freeze(), x, y, kept, 0.05)
    torch.testing.assert_close(Rho()(kernel, x, y, NUGGET, seeded()).detach(), expected)


def test_the_energy_of_the_hidden_half_is_its_squared_error_in_units_of_its_variance():
    # E_f - E_c = r^T S^-1 r with the residual r and the conditional covariance S
    x, y = points(c=1)
    kernel = ARD(kflow.Matern52, 3).freeze()
    order = torch.randperm(20, generator=seeded())
    c, h = order[:10], order[10:]
    gram = kernel(x) + 0.05 * torch.eye(20, dtype=torch.float64)
    cross = torch.linalg.solve(gram[c][:, c], gram[c][:, h])
    residual = y[h] - cross.mT @ y[c]
    conditional = gram[h][:, h] - gram[h][:, c] @ cross
    lost = (residual * torch.linalg.solve(conditional, residual)).sum()
    expected = lost / (y * torch.linalg.solve(gram, y)).sum()
    torch.testing.assert_close(Rho()(kernel, x, y, NUGGET, seeded()), expected)


def test_the_native_norm_is_the_energy_without_a_nugget_only():
    x, y = points()
    kernel, zero = ARD(kflow.Matern32, 3), torch.zeros((), dtype=torch.float64)
    native, energy = Rho(norm="native"), Rho()
    for nugget, same in ((zero, True), (NUGGET, False)):
        values = [each(kernel, x, y, nugget, seeded()).item() for each in (native, energy)]
        assert (abs(values[0] - values[1]) < 1e-9) == same


def test_the_error_at_the_hidden_half_is_that_of_the_interpolant():
    x, y = points()
    kernel, order = ARD(kflow.Gaussian, 3), torch.randperm(20, generator=seeded())
    residual = refit(kernel.freeze(), x, y, order[:10], order[10:]) - y[order[10:]]
    expected = residual.square().mean(0).log().mean()
    torch.testing.assert_close(HiddenHalf()(kernel, x, y, NUGGET, seeded()).detach(), expected)


def test_leaving_one_out_equals_fitting_without_each_point():
    x, y = points()
    kernel, everything = ARD(kflow.Gaussian, 3).freeze(), torch.arange(20)
    residuals, variances = [], []
    for i in range(20):
        kept = everything[everything != i]
        gram = kernel(x[kept]) + 0.05 * torch.eye(19, dtype=torch.float64)
        k = kernel(x[kept], x[[i]])
        residuals.append(refit(kernel, x, y, kept, [i]) - y[[i]])
        variances.append(1.05 - (k * torch.linalg.solve(gram, k)).sum())
    r, s = torch.cat(residuals), torch.stack(variances)[:, None]
    squared = LeaveOneOut(loss="log_squared")(kernel, x, y, NUGGET, seeded())
    torch.testing.assert_close(squared, r.square().mean(0).log().mean(), rtol=1e-10, atol=0)
    amplitude = (r.square() / s).mean(0)  # the best one: the predictive density is largest there
    normal = torch.distributions.Normal(torch.zeros_like(r), (amplitude * s).sqrt())
    expected = -normal.log_prob(r).mean() - 0.5 * math.log(2 * math.pi) - 0.5
    predictive = LeaveOneOut()(kernel, x, y, NUGGET, seeded())
    torch.testing.assert_close(predictive, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 20])
def test_k_folds_equal_fitting_without_each_fold(k):
    x, y = points()
    kernel, order = ARD(kflow.Gaussian, 3).freeze(), torch.randperm(20, generator=seeded())
    squares = []
    for fold in order.tensor_split(k):
        kept = torch.tensor([i for i in range(20) if i not in fold])
        squares.append((refit(kernel, x, y, kept, fold) - y[fold]).square())
    expected = torch.cat(squares).mean(0).log().mean()
    torch.testing.assert_close(KFold(k)(kernel, x, y, NUGGET, seeded()), expected)
    if k == 20:
        one = LeaveOneOut(loss="log_squared")(kernel, x, y, NUGGET, seeded())
        torch.testing.assert_close(one, expected)


@pytest.mark.parametrize(
    ("n", "n_fine", "even", "size"),
    [(21, None, False, 21), (21, None, True, 20), (22, None, True, 22), (21, 7, True, 6),
     (21, 7, False, 7), (21, 30, False, 21), (21, 22, True, 20)],
)  # fmt: skip
def test_a_batch_has_the_points_that_were_asked_for_each_once(n, n_fine, even, size):
    x, y = torch.arange(n)[:, None].double(), 10 * torch.arange(n)[:, None].double()
    drawn, labels = criteria._batch(x, y, n_fine, seeded(), even)
    assert len(drawn) == len(drawn.unique()) == size and torch.equal(labels, 10 * drawn)


def test_two_points_are_the_least_batch():
    assert Rho(2).n_fine == MarginalLikelihood(2).n_fine == 2


def test_an_odd_number_of_points_is_used_whole_but_for_halves():
    x, y = points(21)
    kernel = ARD(kflow.Gaussian, 3)
    gram = kernel(x) + 0.05 * torch.eye(21, dtype=torch.float64)
    energy = (y * torch.linalg.solve(gram, y)).sum(0)
    expected = 0.5 * ((energy / 21).log().mean() + torch.logdet(gram) / 21)
    torch.testing.assert_close(MarginalLikelihood()(kernel, x, y, NUGGET, seeded()), expected)


@pytest.mark.parametrize("criterion", [Rho(), HiddenHalf()], ids=repr)
def test_of_an_odd_number_of_points_one_is_left_out_where_halves_are_made(criterion):
    x, y = points(21)
    kernel, rng = ARD(kflow.Gaussian, 3), seeded()
    kept = torch.randperm(21, generator=rng)[:20]
    expected = criterion(kernel, x[kept], y[kept], NUGGET, rng)
    torch.testing.assert_close(criterion(kernel, x, y, NUGGET, seeded()), expected)


def several_halves(count, n=20, seed=0):
    rng = seeded(seed)
    orders = [torch.randperm(n, generator=rng) for _ in range(count)]
    return [(order[: n // 2], order[n // 2 :]) for order in orders]


def test_several_halves_are_averaged():
    x, y = points()
    kernel = ARD(kflow.Gaussian, 3).freeze()
    rho = [kflow.rho(kernel, x, y, kept, 0.05) for kept, _ in several_halves(3)]
    mean = torch.stack(rho).mean()
    torch.testing.assert_close(Rho(halves=3)(kernel, x, y, NUGGET, seeded()), mean)
    logarithm = Rho(halves=3, log=True)(kernel, x, y, NUGGET, seeded())
    torch.testing.assert_close(logarithm, mean.log())
    squares = [
        (refit(kernel, x, y, kept, hidden) - y[hidden]).square()
        for kept, hidden in several_halves(3)
    ]
    expected = torch.cat(squares).mean(0).log().mean()
    torch.testing.assert_close(HiddenHalf(halves=3)(kernel, x, y, NUGGET, seeded()), expected)


def test_the_native_norm_is_that_of_the_difference_of_interpolants():
    x, y = points()
    kernel = ARD(kflow.Matern32, 3).freeze()
    gram = kernel(x)
    fine = kflow.interpolate(kernel, x, y, 0.05).coefficients
    lost = []
    for kept, _ in several_halves(2):
        gap = fine.clone()
        gap[kept] -= kflow.interpolate(kernel, x[kept], y[kept], 0.05).coefficients
        lost.append(torch.trace(gap.mT @ gram @ gap))
    expected = torch.stack(lost).mean() / torch.trace(fine.mT @ gram @ fine)
    found = Rho(halves=2, norm="native")(kernel, x, y, NUGGET, seeded())
    torch.testing.assert_close(found, expected)


def test_a_batch_is_drawn_from_rng():
    x, y = points(50)
    kernel = ARD(kflow.Gaussian, 3)
    for criterion in (
        Rho(10),
        HiddenHalf(10),
        LeaveOneOut(10),
        KFold(2, 10),
        MarginalLikelihood(10),
    ):
        one, again, other = (criterion(kernel, x, y, NUGGET, seeded(s)) for s in (0, 0, 1))
        assert torch.equal(one, again) and not torch.equal(one, other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rho(1), "n_fine must be at least 2"),
        (lambda: Rho(halves=0), "halves must be at least 1"),
        (lambda: Rho(halves=10**6 + 1), "halves must be at most 1000000, not 1000001"),
        (lambda: Rho(norm="l2"), "norm must be one of 'energy', 'native', not 'l2'"),
        (lambda: LeaveOneOut(loss="squared"), "loss must be one of"),
        (lambda: KFold(1), "k must be at least 2"),
        (lambda: KFold(30)(ARD(kflow.Gaussian, 3), *points(), NUGGET, seeded()), "at most the 20"),
    ],
)
@pytest.mark.wrong_types
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
