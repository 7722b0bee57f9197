import numpy as np
import pytest
import torch
from scipy.linalg import solve

import kflow
from kflow.estimators.pairs import tell_apart
from kflow.interpolation import cholesky, energy_of
from kflow.learning import condition
from tests import reference


@pytest.fixture
def data(rng):
    x = torch.randn(12, 2, generator=rng, dtype=torch.float64)
    return x, torch.randn(12, 3, generator=rng, dtype=torch.float64)


def test_the_interpolant_takes_the_labels_at_the_points(data, device):
    x, y = (part.to(device) for part in data)
    torch.testing.assert_close(kflow.interpolate(kflow.Gaussian(0.8), x, y)(x), y)


def test_the_interpolant_is_kriging(data, device):
    x, y = data
    new = torch.linspace(-2, 2, 10, dtype=torch.float64).reshape(5, 2)
    k = reference.gram("Matern52", x.numpy(), x.numpy(), 0.9) + 0.1 * np.eye(12)
    expected = reference.gram("Matern52", new.numpy(), x.numpy(), 0.9) @ solve(k, y.numpy())
    v = kflow.interpolate(kflow.Matern52(0.9), x.to(device), y.to(device), nugget=0.1)
    np.testing.assert_allclose(v(new.to(device)).cpu().numpy(), expected, rtol=1e-10)
    assert v.energy == pytest.approx(reference.energy("Matern52", x.numpy(), y.numpy(), 0.9, 0.1))


def test_no_other_interpolant_of_the_span_has_less_energy(data):
    # v + w with w = 0 at the points has energy |v|^2 + |w|^2: the norm is least, and orthogonal
    x, y = data
    kernel = kflow.Gaussian(0.8)
    extra = torch.cat([x, torch.tensor([[3.0, 3.0]], dtype=torch.float64)])
    v = kflow.interpolate(kernel, x, y)
    bent = torch.cat([y, v(extra[-1:]) + 0.5])
    assert kflow.interpolate(kernel, extra, bent).energy > v.energy
    unbent = torch.cat([y, v(extra[-1:])])
    assert kflow.interpolate(kernel, extra, unbent).energy == pytest.approx(v.energy, rel=1e-6)


def test_many_new_points_are_the_same_as_few(data, device):
    x, y = (part.to(device) for part in data)
    v = kflow.interpolate(kflow.Gaussian(0.8), x, y)
    rng = torch.Generator().manual_seed(1)
    new = torch.randn(5000, 2, dtype=torch.float64, generator=rng).to(device)
    torch.testing.assert_close(v(new)[4999:], v(new[4999:]))


def test_the_output_has_the_dtype_and_the_device_of_the_new_points(data, anywhere):
    x, y = (part.float().to(anywhere) for part in data)
    values = kflow.interpolate(kflow.Gaussian(0.8), x, y, nugget=1e-3)(x)
    assert values.dtype == torch.float32 and values.device == anywhere


def test_coincident_points_name_the_pair_and_the_nugget_to_try(data, device):
    x, y = (part.to(device) for part in data)
    x[7] = x[2]
    with pytest.raises(
        kflow.NotPositiveDefinite, match=r"points 2 and 7 are 0.0e\+00 apart.*1e-08"
    ):
        kflow.interpolate(kflow.Gaussian(0.8), x, y)
    kflow.interpolate(kflow.Gaussian(0.8), x, y, nugget=1e-8)


def test_coincident_points_far_from_the_origin_are_told_from_near_ones(data):
    x, y = data
    x += torch.tensor([5e5, 5.4e6], dtype=torch.float64)
    x[5], x[9] = x[1] + 0.02, x[3]
    with pytest.raises(kflow.NotPositiveDefinite, match=r"points 3 and 9 are 0.0e\+00 apart"):
        kflow.interpolate(kflow.Gaussian(0.1), x, y)


def test_an_interpolant_does_not_change_with_the_points_that_it_was_made_of(data):
    x, y = data
    v, new = kflow.interpolate(kflow.Gaussian(0.8), x, y), x + 0.1
    expected = v(new)
    x *= 2
    assert torch.equal(v(new), expected)


def test_no_new_points_have_no_values(data):
    v = kflow.interpolate(kflow.Gaussian(0.8), *data)
    assert v(data[0][:0]).shape == (0, 3)


def pair(pivot):
    """Two Gram matrices of two points; the second pivot of the second, squared, is given."""
    k = (1 - pivot) ** 0.5
    gram = torch.tensor([[[1.0, 0.5], [0.5, 1.0]], [[1.0, k], [k, 1.0]]], dtype=torch.float64)
    points = torch.tensor([[[0.0], [9.0]], [[0.0], [2.0]]], dtype=torch.float64)
    return gram, points


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_pivot_of_rounding_is_refused_and_names_the_points_of_its_matrix(scale):
    gram, points = pair(8e-14)  # a pivot is judged relative to the diagonal, at 1e-13
    with pytest.raises(
        kflow.NotPositiveDefinite, match=r"2 points fails at pivot 1 .* 0 and 1 are 2.0e\+00 apart"
    ):
        cholesky(scale * gram, 0.0, points)
    gram, points = pair(2e-13)
    factor = cholesky(scale * gram, 0.0, points)
    torch.testing.assert_close(factor @ factor.mT, scale * gram)


def test_energies_of_a_stack_are_those_of_each(rng):
    gram, _ = pair(0.3)
    y = torch.randn(2, 2, 4, generator=rng, dtype=torch.float64)
    found = energy_of(cholesky(gram, 0.0, None), y)
    expected = [np.trace(b.T @ solve(k, b)) for k, b in zip(gram.numpy(), y.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected)


def test_without_points_a_matrix_that_fails_is_filled_with_nan_and_no_other():
    factor = cholesky(pair(1e-14)[0], 0.0, None)
    assert torch.isfinite(factor[0]).all() and torch.isnan(factor[1]).all()
    factor = cholesky(pair(-0.5)[0], 0.0, None)
    assert torch.isfinite(factor[0]).all() and torch.isnan(factor[1]).all()


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.7, 1.0, 1.5])
def test_an_interpolant_takes_its_labels_or_is_refused(gamma, rng):
    accepted = 0
    for _ in range(60):
        x = torch.rand(10, 1, generator=rng, dtype=torch.float64)
        y = torch.randn(10, 1, generator=rng, dtype=torch.float64)
        try:
            v = kflow.interpolate(kflow.Gaussian(gamma), x, y)
        except kflow.NotPositiveDefinite as error:
            assert "pass a nugget" in str(error)
            continue
        accepted += 1
        torch.testing.assert_close(v(x), y, rtol=0, atol=2e-3 * float(y.abs().max()))
    assert accepted > 5 or gamma > 0.7


def ill_conditioned():
    """Ten points whose Gram matrix has a factor, with pivots above 1e-13, that solves nothing."""
    x = torch.linspace(0, 1, 10, dtype=torch.float64)[:, None]
    return kflow.Gaussian(1.1), x, (-1) ** torch.arange(10, dtype=torch.float64)[:, None]


def test_a_factor_of_rounding_is_refused_by_all_that_solve_with_it():
    kernel, x, y = ill_conditioned()
    cholesky(kernel(x, x), 0.0, x)
    coarse, says = torch.arange(5), r"a label by .* of the largest with nugget 0: points .* 1.1e-01"
    for act in (
        lambda nugget: kflow.interpolate(kernel, x, y, nugget),
        lambda nugget: kflow.rho(kernel, x, y, coarse, nugget),
        lambda nugget: kflow.rho_and_gradient(kernel, x, y, coarse, nugget),
        lambda nugget: condition(kernel, x, y, nugget),
        lambda nugget: tell_apart(kernel, x, (y[:, 0] > 0).long(), 2, nugget),
    ):
        with pytest.raises(kflow.NotPositiveDefinite, match=says):
            act(0.0)
        act(1e-8)


def test_labels_that_the_kernel_fits_are_interpolated_where_others_are_refused():
    kernel, x, _ = ill_conditioned()
    v, new = kflow.interpolate(kernel, x, x.sin()), x[:-1] + 0.05
    torch.testing.assert_close(v(new), new.sin(), rtol=0, atol=1e-5)
    with pytest.raises(kflow.NotPositiveDefinite, match="tell no amplitude; pass a larger nugget"):
        condition(kernel, x, x.sin(), 0.0)
    torch.testing.assert_close(condition(kernel, x, x.sin(), 0.0, 1.0).mean(new), v(new))


def test_a_kernel_that_is_not_symmetric_is_refused(data):
    def bent(x, z):
        return kflow.Gaussian(0.8)(x, z) * (1 + 0.1 * torch.tanh(x[:, :1] - z[:, 0]))

    with pytest.raises(ValueError, match=r"not symmetric: k\(x, z\) is .* for points \d+ and \d+"):
        kflow.interpolate(bent, *data, nugget=0.1)


def test_an_indefinite_kernel_names_its_pivot_and_a_larger_nugget(data):
    def indefinite(x, z):
        return (x[:, None] - z).norm(dim=-1)

    with pytest.raises(kflow.NotPositiveDefinite, match=r"pivot 1 .*nugget of about 1e-01"):
        kflow.interpolate(indefinite, *data, nugget=1e-3)
    with pytest.raises(kflow.NotPositiveDefinite, match=r"pivot 0 .*nugget of about 1e-08"):
        kflow.interpolate(indefinite, *data)
    with pytest.raises(kflow.NotPositiveDefinite, match="pivot 0 "):
        kflow.interpolate(lambda x, z: -kflow.Gaussian(1.0)(x, z), *data)
    with pytest.raises(kflow.NotPositiveDefinite, match="of one point is not positive"):
        kflow.interpolate(indefinite, *(part[:1] for part in data))


def test_points_that_are_not_finite_are_told_from_points_that_coincide(data):
    x, y = data
    x[3, 0] = torch.nan
    with pytest.raises(kflow.NotPositiveDefinite, match="holds NaN or infinity"):
        cholesky(torch.full((12, 12), torch.nan, dtype=x.dtype), 0.0, x)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x, y: (x, y[:, 0], 0.0), "y must be a matrix"),
        (lambda x, y: (x, y[:5], 0.0), "y must have 12 rows"),
        (lambda x, y: (x, y, -1.0), "nugget must be at least 0, not -1.0"),
        (lambda x, y: (x, y, float("inf")), "nugget must be finite"),
    ],
)
@pytest.mark.wrong_types
def test_bad_input_is_refused_by_name(change, says, data):
    x, y, nugget = change(*data)
    with pytest.raises(ValueError, match=says):
        kflow.interpolate(kflow.Gaussian(0.8), x, y, nugget)


def test_an_energy_is_a_number_where_the_points_carry_gradients():
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    v = kflow.interpolate(kflow.Gaussian(1.0), x.clone().requires_grad_(), x + 1)
    assert v.energy == kflow.interpolate(kflow.Gaussian(1.0), x, x + 1).energy
    assert v(x).requires_grad


def test_values_that_the_dtype_of_the_points_cannot_hold_are_refused():
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    found = kflow.interpolate(kflow.Gaussian(1.0), x, 1e5 * (1 - x))
    assert found(x.float())[0] == pytest.approx(1e5)
    with pytest.raises(ValueError, match=r"values of 1e\+05 are too large for torch.float16; give"):
        found(x.half())


def test_a_kernel_that_returns_a_narrower_dtype_is_taken_in_that_of_the_points(data):
    x, y = data

    def kernel(a, b):
        return kflow.Gaussian(0.8)(a.float(), b.float())

    expected = kflow.interpolate(kflow.Gaussian(0.8), x, y, 0.1)(x + 0.1)
    found = kflow.interpolate(kernel, x, y, 0.1)(x + 0.1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.wrong_types
def test_a_kernel_that_returns_no_matrix_of_new_points_is_refused(data):
    x, y = data
    for wrong, error, says in (
        (lambda k: k.numpy(), TypeError, "must return a torch.Tensor, not ndarray"),
        (lambda k: k.mT, ValueError, r"a matrix of 5 x 12 .* its shape is \(12, 5\)"),
    ):
        found = kflow.interpolate(
            lambda a, b, wrong=wrong: kflow.Gaussian(0.8)(a, b) if a is b else wrong(a @ b.mT), x, y
        )
        with pytest.raises(error, match=says):
            found(x[:5])


def test_any_callable_interpolates():
    x = torch.tensor([[0.5], [1.0]], dtype=torch.float64)
    found = kflow.interpolate(lambda a, b: (1 + a @ b.mT) ** 2, x, x.square())
    torch.testing.assert_close(found(x), x.square())


def test_groups_many_bandwidths_apart_are_interpolated_each_for_itself():
    x = 0.9137 * torch.arange(20, dtype=torch.float64)[:, None]
    kernel, y, far = kflow.Gaussian(1.0), torch.sin(1.3 * x), 2.0**25
    both = kflow.interpolate(kernel, torch.cat([x, x + far]), torch.cat([y, y]), 0.1)
    expected = kflow.interpolate(kernel, x, y, 0.1)(x + 0.2)
    for found in (both(x + 0.2), both(x + 0.2 + far)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)


def test_values_keep_their_digits_where_the_origin_is_far_away():
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    kernel, at, far = kflow.Gaussian(0.5), x[:-1] + 0.125, 2.0**20
    near = kflow.interpolate(kernel, x, x.sin())(at)
    found = kflow.interpolate(kernel, x + far, x.sin())(at + far)
    torch.testing.assert_close(found, near, rtol=0, atol=1e-9)
