import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kflow
from kflow import energies, game
from kflow.game import play
from kflow.interpolation import factorise
from tests import reference

RADIAL = [
    kflow.Gaussian,
    kflow.Matern32,
    kflow.Matern52,
    kflow.RationalQuadratic,
    kflow.InverseMultiquadric,
]


def batch(seed, n=10, d=3, c=2, device="cpu"):
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(n, d, generator=rng, dtype=torch.float64)
    y = torch.randn(n, c, generator=rng, dtype=torch.float64)
    return z.to(device), y.to(device), torch.randperm(n, generator=rng)[: n // 2]


def test_rho_of_two_points_by_hand(device):
    # k(x1, x2) = 1/2, y = (1, 0), the first is kept: energies 1 and 4/3, so rho = 1/4
    z = torch.tensor([[0.0], [1.0]], dtype=torch.float64, device=device)
    y = torch.tensor([[1.0], [0.0]], dtype=torch.float64, device=device)
    kernel = kflow.Gaussian(1 / math.sqrt(math.log(2)))
    value, gradient = kflow.rho_and_gradient(kernel, z, y, torch.tensor([0]))
    assert float(value) == pytest.approx(1 / 4, abs=1e-14)
    # energy of both is 1/(1 - k^2), so rho = k^2; d(k^2)/dz = 2k dk/dz, and dk/dx1 = 2 log(2) k
    assert float(gradient[0]) == pytest.approx(4 * math.log(2) / 4, abs=1e-14)
    assert float(gradient[1]) == pytest.approx(-4 * math.log(2) / 4, abs=1e-14)


def test_a_game_of_groups_many_bandwidths_apart_is_that_of_each(rng):
    z = torch.randn(10, 2, generator=rng, dtype=torch.float64)
    y = torch.randn(10, 1, generator=rng, dtype=torch.float64)
    both, labels = torch.cat([z, z + 2.0**25]), torch.cat([y, y])
    coarse = torch.tensor([0, 1, 2, 3, 4, 10, 11, 12, 13, 14])
    rho, gradient = kflow.rho_and_gradient(kflow.Gaussian(1.0), both, labels, coarse, 0.1)
    one, expected = kflow.rho_and_gradient(kflow.Gaussian(1.0), z, y, coarse[:5], 0.1)
    torch.testing.assert_close(rho, one, rtol=1e-6, atol=0)
    expected = torch.cat([expected, expected]) / 2
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", RADIAL)
@pytest.mark.parametrize("nugget", [0.0, 1e-2])
def test_rho_and_gradient_equal_the_independent_formula(make, nugget, device):
    z, y, coarse = batch(1, device=device)
    value, gradient = kflow.rho_and_gradient(make(1.3), z, y, coarse, nugget)
    arguments = (make.__name__, z.cpu().numpy(), y.cpu().numpy(), coarse.numpy(), 1.3, nugget)
    assert float(value) == pytest.approx(reference.rho(*arguments), rel=1e-9)
    assert float(kflow.rho(make(1.3), z, y, coarse, nugget)) == pytest.approx(float(value))
    np.testing.assert_allclose(gradient.cpu().numpy(), reference.gradient(*arguments), atol=2e-7)


@pytest.mark.parametrize("make", RADIAL)
def test_the_closed_form_equals_autograd(make, device):
    z, y, coarse = batch(2, n=40, d=5, device=device)
    kernel = make(1.3)
    fast = kflow.rho_and_gradient(kernel, z, y, coarse, 1e-3)
    slow = kflow.rho_and_gradient(lambda a, b: kernel(a, b), z, y, coarse, 1e-3)
    torch.testing.assert_close(fast[0], slow[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(fast[1], slow[1], rtol=1e-9, atol=1e-12)


def test_rho_passes_gradcheck(device):
    z, y, coarse = batch(3, n=6, device=device)
    assert torch.autograd.gradcheck(
        lambda z: kflow.rho(kflow.Gaussian(1.3), z, y, coarse), z.requires_grad_()
    )


@pytest.mark.parametrize("make", RADIAL)
def test_the_gradient_of_a_radial_kernel_can_be_differentiated_again(make, device):
    z, y, coarse = batch(3, n=6, d=2, device=device)

    def gradient(z):
        return kflow.rho_and_gradient(make(1.3), z, y, coarse, nugget=0.1)[1]

    torch.autograd.gradcheck(gradient, z.requires_grad_(), eps=1e-5)


def test_any_callable_is_a_kernel(device):
    z, y, coarse = batch(4, device=device)

    def linear(a, b):
        return a @ b.mT + 1

    value, gradient = kflow.rho_and_gradient(linear, z, y, coarse, 0.5)
    step = 1e-6 * gradient / gradient.norm()
    difference = kflow.rho(linear, z + step, y, coarse, 0.5) - value
    assert float(difference) == pytest.approx(1e-6 * float(gradient.norm()), rel=1e-4)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.sampled_from([2, 4, 10, 30]),
    nugget=st.sampled_from([0.0, 1e-6, 1e-2, 1.0]),
    make=st.sampled_from(RADIAL),
)
def test_rho_lies_between_0_and_1(seed, n, nugget, make):
    z, y, coarse = batch(seed, n)
    assert -1e-9 <= float(kflow.rho(make(0.7), z, y, coarse, nugget)) <= 1


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), a=st.floats(0.01, 100))
def test_rho_does_not_change_when_kernel_and_nugget_are_scaled(seed, a):
    z, y, coarse = batch(seed)
    kernel = kflow.Gaussian(0.9)
    scaled = kflow.rho(lambda x, w: a * kernel(x, w), z, y, coarse, a * 0.1)
    assert float(scaled) == pytest.approx(float(kflow.rho(kernel, z, y, coarse, 0.1)), rel=1e-9)


def test_rho_is_zero_when_nothing_is_hidden_and_one_when_the_kept_labels_are_zero(
    device,
):
    z, y, coarse = batch(5, device=device)
    kernel = kflow.Gaussian(0.9)
    assert float(kflow.rho(kernel, z, y, torch.arange(10))) == pytest.approx(0, abs=1e-12)
    y[coarse] = 0
    assert float(kflow.rho(kernel, z, y, coarse)) == 1


@pytest.mark.parametrize("apart", [4.0, 8.0, 20.0])
def test_the_gradient_of_points_far_apart_keeps_its_digits(apart, device):
    z = torch.tensor([[3.0, 1.0], [3.0 + apart, 1.0]], dtype=torch.float64, device=device)
    a, b = 2.0, 3.0
    k = math.exp(-(apart**2))
    energy = (a**2 + b**2 - 2 * k * a * b) / (1 - k**2)
    slope = 2 * a**2 * (k * (a**2 + b**2 - 2 * k * a * b) - a * b * (1 - k**2))
    slope /= (energy * (1 - k**2)) ** 2  # of rho = 1 - a^2 / energy, by k
    y = torch.tensor([[a], [b]], dtype=torch.float64, device=device)
    coarse = torch.tensor([0], device=device)
    _, gradient = kflow.rho_and_gradient(kflow.Gaussian(1.0), z, y, coarse)
    assert float(gradient[1, 0]) == pytest.approx(slope * -2 * apart * k, rel=1e-12, abs=0)
    assert float(gradient[0, 0]) == pytest.approx(-float(gradient[1, 0]), rel=1e-14, abs=0)


def test_the_gradient_pushes_nothing_as_a_whole(device):
    # a radial kernel sees differences only, so the gradients sum to zero
    z, y, coarse = batch(6, device=device)
    _, gradient = kflow.rho_and_gradient(kflow.Gaussian(0.9), z, y, coarse, 1e-3)
    assert float(gradient.sum(0).abs().max()) < 1e-12


def test_a_batch_of_games_is_played_as_each_alone(device):
    games = [batch(seed, device=device) for seed in range(4)]
    z, y, coarse = (torch.stack(parts) for parts in zip(*games, strict=True))
    kernel = kflow.Gaussian(0.9)
    together = play(kernel, z, y, coarse.to(device), 1e-2)
    for k, one in enumerate(games):
        value, gradient = kflow.rho_and_gradient(kernel, *one, 1e-2)
        torch.testing.assert_close(together.rho[k], value)
        torch.testing.assert_close(together.gradient[k], gradient)


def halves(seed=0, count=3):
    """A stack of games whose first points are kept, and as positions."""
    z, y, _ = (torch.stack(parts) for parts in zip(*map(batch, range(count)), strict=True))
    return z, y, torch.arange(5).expand(count, -1)


def test_keeping_the_first_points_is_keeping_their_positions(device):
    z, y, coarse = (part.to(device) for part in halves())
    first, positions = (play(kflow.Gaussian(0.9), z, y, k, 1e-2) for k in (5, coarse))
    torch.testing.assert_close(first.rho, positions.rho, rtol=1e-10, atol=0)
    torch.testing.assert_close(first.gradient, positions.gradient, rtol=1e-9, atol=1e-12)
    gram = kflow.Gaussian(0.9)(z[1], z[1]) + 1e-2 * torch.eye(10).to(z)
    for played in (first, positions):
        torch.testing.assert_close(gram @ played.solve(z)[1], z[1])


@pytest.mark.parametrize("make", RADIAL)
def test_a_game_without_autograd_overwrites_nothing_that_matters(make, device):
    z, y, coarse = (part.to(device) for part in halves())
    for kept in (5, coarse):
        followed = play(make(0.9), z.clone().requires_grad_(), y, kept, 1e-2)
        found = play(make(0.9), z, y, kept, 1e-2)
        torch.testing.assert_close(found.rho, followed.rho.detach(), rtol=1e-13, atol=0)
        expected = followed.gradient.detach()
        torch.testing.assert_close(found.gradient, expected, rtol=1e-11, atol=1e-14)


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU, where products with L^-1 take the place of solves."""

    is_cuda = True


def test_a_game_by_the_inverse_factor_is_the_game_by_solves(monkeypatch):
    z, y, _ = halves()
    expected = play(kflow.Gaussian(0.9), z, y, 5, 1e-2)
    assert expected.inverse is None
    monkeypatch.setattr(energies, "factorise", lambda *given: factorise(*given).as_subclass(OnGpu))
    found = play(kflow.Gaussian(0.9), z, y, 5, 1e-2)
    identity = torch.eye(10, dtype=z.dtype).expand(3, -1, -1)
    for one, other in (
        (found.inverse @ expected.factor, identity),
        (found.rho, expected.rho),
        (found.gradient, expected.gradient),
        (found.solve(z), expected.solve(z)),
    ):
        torch.testing.assert_close(one.as_subclass(torch.Tensor), other, rtol=1e-9, atol=1e-12)


def test_a_game_that_cannot_be_played_is_nan_where_nobody_asked_to_raise(device):
    z, y, _ = (part.to(device) for part in halves())
    z[1, 1], y[2] = z[1, 0], 0
    played = play(kflow.Gaussian(0.9), z, y, 5, 0.0, strict=False)
    assert played.rho.isnan().tolist() == [False, True, True]
    assert torch.isfinite(played.gradient[0]).all() and played.gradient[1].isnan().all()
    with pytest.raises(kflow.NotPositiveDefinite, match="points 0 and 1 are 0.0e"):
        play(kflow.Gaussian(0.9), z, y, 5, 0.0)
    with pytest.raises(ValueError, match="rho is 0/0"):
        play(kflow.Gaussian(0.9), z[[0, 2]], y[[0, 2]], 5, 0.0)


def test_any_unit_of_the_labels_is_good_enough(device):
    z, y, coarse = batch(9, device=device)
    kernel = kflow.Gaussian(0.9)
    small, large = (kflow.rho(kernel, z, a * y, coarse, 1e-2) for a in (1e-6, 1e6))
    assert float(small) == pytest.approx(float(large), rel=1e-9)


def test_the_points_of_a_game_from_their_median(rng):
    z = torch.randn(2, 5, 3, generator=rng)
    expected = np.median(z.numpy(), axis=1, keepdims=True)
    np.testing.assert_array_equal(game.centred(z), z.numpy() - expected)


def test_the_kept_points_come_first():
    sample = game.Sample(torch.tensor([7, 3, 9, 5]), torch.tensor([2, 0]))
    assert sample.coarse_first().tolist() == [9, 7, 3, 5]


def test_a_draw_has_as_many_points_as_asked_and_half_of_them(rng):
    sample = kflow.draw(50, 12, rng)
    assert len(sample.fine) == len(sample.fine.unique()) == 12
    assert len(sample.coarse) == len(sample.coarse.unique()) == 6 and int(sample.coarse.max()) < 12


def test_a_gradient_that_the_dtype_of_the_points_cannot_hold_is_refused():
    z = torch.tensor([[0.0], [1.0], [2.0], [4.0]], dtype=torch.float64) * 1e-5
    y, kept = torch.tensor([[1.0], [-1.0], [1.0], [0.5]], dtype=torch.float64), torch.tensor([0, 2])
    _, gradient = kflow.rho_and_gradient(kflow.Gaussian(1e-6), z / 10, y, kept, 1e-3)
    assert gradient.abs().max() > 65504
    with pytest.raises(ValueError, match="gradients of .* are too large for torch.float16"):
        kflow.rho_and_gradient(kflow.Gaussian(1e-6), (z / 10).half(), y.half(), kept, 1e-3)


def test_more_points_than_can_be_drawn_from_are_refused(rng):
    with pytest.raises(ValueError, match="n_points must be at most 4611686018427387904, not"):
        kflow.draw(2**62 + 1, 2, rng)


def test_a_game_may_be_of_two_points(rng):
    sample = kflow.draw(2, 2, rng)
    assert sorted(sample.fine.tolist()) == [0, 1] and len(sample.coarse) == 1


def test_many_points_are_drawn_in_rounds_until_enough_differ(rng, monkeypatch):
    monkeypatch.setattr("kflow.game.MANY", 1)
    again = torch.Generator().manual_seed(0)
    for _ in range(20):
        seen = []
        while len(set(seen)) < 4:
            seen += torch.randint(9, (4,), generator=again).tolist()
        assert kflow.draw(9, 4, rng).fine.tolist() == list(dict.fromkeys(seen))[:4]
        torch.randperm(4, generator=again)  # the half
        assert torch.equal(rng.get_state(), again.get_state())


def test_outputs_have_the_dtype_and_the_device_of_the_points(anywhere):
    z, y, coarse = batch(7)
    expected = kflow.rho_and_gradient(kflow.Gaussian(0.9), z.float(), y.float(), coarse, 1e-2)
    z, y = z.float().to(anywhere), y.float().to(anywhere)
    value, gradient = kflow.rho_and_gradient(kflow.Gaussian(0.9), z, y, coarse, 1e-2)
    assert value.dtype == gradient.dtype == torch.float32
    assert value.device == gradient.device == anywhere
    torch.testing.assert_close((value.cpu(), gradient.cpu()), expected)


def test_a_draw_is_uniform_without_replacement():
    rng = torch.Generator().manual_seed(0)
    seen, kept = torch.zeros(6), torch.zeros(6)
    for _ in range(3000):
        sample = kflow.draw(6, 4, rng)
        assert len(sample.fine.unique()) == 4 and len(sample.coarse.unique()) == 2
        seen[sample.fine] += 1
        kept[sample.fine[sample.coarse]] += 1
    # binomial standard deviations are 26 and 26 at means 2000 and 1000: five of them
    assert (seen - 2000).abs().max() < 130 and (kept - 1000).abs().max() < 130


def test_a_draw_of_many_points_is_uniform_without_replacement(rng, monkeypatch):
    monkeypatch.setattr("kflow.game.MANY", 1)
    counts = torch.zeros(4, 9)
    for _ in range(3000):
        fine = kflow.draw(9, 4, rng).fine
        assert len(fine.unique()) == 4
        counts[torch.arange(4), fine] += 1
    # each place holds each point in 3000 / 9 draws, with a standard deviation of 17
    assert float((counts - 3000 / 9).abs().max()) < 5 * 17.3


def test_a_draw_takes_no_memory_in_proportion_to_the_points(rng):
    fine = kflow.draw(10**15, 600, rng).fine
    assert len(fine.unique()) == 600 and 0 <= int(fine.min()) < int(fine.max()) < 10**15


def test_the_same_seed_draws_the_same_game():
    one, other = (kflow.draw(50, 10, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.fine, other.fine) and torch.equal(one.coarse, other.coarse)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(n_fine=5), "even"),
        (dict(n_fine=0), "n_fine must be at least 2, not 0"),
        (dict(n_fine=12), "n_fine must be at most 10, not 12"),
        (dict(coarse=torch.tensor([0, 0])), "twice"),
        (dict(coarse=torch.tensor([0, 10])), "must lie in 0 .. 9"),
        (dict(y=torch.zeros(10, 2)), "rho is 0/0"),
        (dict(y=torch.ones(10)), "y must be a matrix"),
        (dict(z=torch.full((10, 3), math.inf)), "z must be finite"),
        (dict(nugget=-0.1), "nugget must be at least 0"),
        (dict(z=torch.zeros(10, 3)), "points 0 and 1 are 0.0e"),
    ],
)
@pytest.mark.wrong_types
def test_bad_input_is_refused_by_name(change, says, rng):
    z, y, coarse = batch(8)
    given = dict(z=z, y=y, coarse=coarse, nugget=0.0) | change
    n_fine = given.pop("n_fine", 10)
    with pytest.raises(ValueError, match=says):
        kflow.draw(10, n_fine, rng)
        kflow.rho_and_gradient(kflow.Gaussian(1.0), **given)


def test_rho_alone_refuses_what_it_refuses_with_its_gradient():
    z, y, coarse = batch(8)
    with pytest.raises(ValueError, match="rho is 0/0"):
        kflow.rho(kflow.Gaussian(1.0), z, 0 * y, coarse)
    with pytest.raises(kflow.NotPositiveDefinite, match="points 0 and 1 are 0.0e"):
        kflow.rho(kflow.Gaussian(1.0), 0 * z, y, coarse)


@pytest.mark.wrong_types
def test_a_wrong_generator_is_refused():
    with pytest.raises(TypeError, match="torch.Generator"):
        kflow.draw(10, 4, 0)
