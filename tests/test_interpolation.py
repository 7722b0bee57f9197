import numpy as np
import pytest
import torch
from scipy.linalg import solve

import kflow
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
