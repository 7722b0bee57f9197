import math

import numpy as np
import pytest
import torch

import kflow
from kflow import distances
from kflow.learning import ARD
from tests import reference

KERNELS = [
    kflow.Gaussian(0.7),
    kflow.Matern32(0.7),
    kflow.Matern52(0.7),
    kflow.RationalQuadratic(0.7, 1.5),
    kflow.InverseMultiquadric(0.7),
]


@pytest.fixture
def clouds(rng):
    x = torch.randn(7, 3, generator=rng, dtype=torch.float64)
    return x, torch.randn(5, 3, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_a_kernel_is_the_formula_of_the_textbook(kernel, clouds):
    x, z = clouds
    parameters = list(vars(kernel).values())
    expected = reference.gram_with(type(kernel).__name__, x.numpy(), z.numpy(), *parameters)
    np.testing.assert_allclose(kernel(x, z).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_a_kernel_has_one_value_with_autograd_and_without(kernel, clouds):
    x, z = clouds
    torch.testing.assert_close(
        kernel(x.requires_grad_(), z).detach(), kernel(x.detach(), z), rtol=1e-15, atol=0
    )


def test_a_kernel_derived_from_another_has_its_own_values_and_slope(clouds, rng):
    class Twice(kflow.Gaussian):
        def of_squared(self, r2):
            return 2 * super().of_squared(r2)  # and so has the slope, which is a multiple of it

    x, y = clouds[0], torch.randn(7, 1, generator=rng, dtype=torch.float64)
    kernel, coarse = Twice(0.7), torch.arange(3)
    once = kflow.Gaussian(0.7)
    torch.testing.assert_close(kernel(x, x), 2 * once(x, x))
    value = kflow.rho_and_gradient(kernel, x, y, coarse, nugget=0.2)
    expected = kflow.rho_and_gradient(once, x, y, coarse, nugget=0.1)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_a_point_is_at_distance_zero_from_itself(kernel, clouds):
    assert torch.equal(kernel(clouds[0], clouds[0]).diagonal(), torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_the_slope_is_the_derivative_with_respect_to_the_squared_distance(kernel):
    r2 = torch.linspace(0.01, 5, 40, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(kernel.of_squared(r2).sum(), r2)
    torch.testing.assert_close(kernel.slope(r2.detach()), expected, rtol=1e-12, atol=0)
    values, beside = kernel.of_squared_(r2.detach().clone())
    torch.testing.assert_close(values, kernel.of_squared(r2.detach()), rtol=4e-16, atol=0)
    found = kernel.times_slope_(torch.full_like(values, 3), beside)
    torch.testing.assert_close(found, 3 * expected, rtol=1e-12, atol=0)


def test_the_rational_quadratic_tends_to_the_gaussian(clouds):
    x, z = clouds
    near = kflow.RationalQuadratic(0.7, 1e6)(x, z)
    torch.testing.assert_close(near, kflow.Gaussian(0.7)(x, z), rtol=0, atol=1e-5)


def test_for_points_takes_the_mean_squared_distance_over_pairs(clouds):
    x, _ = clouds
    squared = reference.cdist(x.numpy(), x.numpy()) ** 2
    mean = squared.sum() / (7 * 6)
    assert kflow.Gaussian.for_points(x).gamma ** 2 == pytest.approx(mean, rel=1e-12)


def test_two_points_at_distance_one_have_bandwidth_one():
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert kflow.RationalQuadratic.for_points(x) == kflow.RationalQuadratic(1.0, 1.0)


def test_no_squared_distance_is_negative(rng):
    x = torch.randn(200, 3, generator=rng, dtype=torch.float64)
    assert float(distances.squared_distances(x, x.clone()).min()) == 0


def test_distances_of_a_stack_of_clouds_are_those_of_each(rng):
    x = torch.randn(2, 7, 3, generator=rng, dtype=torch.float64)
    z = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64)
    for a, b in ((x, z), (x, x)):
        expected = np.stack([reference.cdist(p, q) ** 2 for p, q in zip(a, b, strict=True)])
        np.testing.assert_allclose(distances.squared_distances(a, b), expected, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_where_points_coincide_the_derivative_is_finite(kernel):
    r2 = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(kernel.of_squared(r2).sum(), r2)
    assert torch.isfinite(slope).all()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's, of its own
@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_a_derivative_is_the_same_forward_and_backward(kernel):
    """Forward it was NaN where points coincide, or not to be had: r2 was overwritten."""
    x = torch.tensor([[1.0], [1.0], [2.0]], dtype=torch.float64)
    y, coarse = torch.ones(3, 1, dtype=torch.float64), torch.arange(1)
    for function in (
        lambda x: kernel(x, x),
        lambda x: kflow.rho_and_gradient(kernel, x, y, coarse, nugget=0.1)[1],
    ):
        forward, backward = (of(function)(x) for of in (torch.func.jacfwd, torch.func.jacrev))
        torch.testing.assert_close(forward, backward)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_values_and_slopes_in_place_hold_at_both_ends_and_nan_stays_nan(kernel, dtype):
    r2 = torch.tensor([0, 1e-30, 1e30, torch.inf, torch.nan], dtype=dtype)
    values, beside = kernel.of_squared_(r2.clone())
    slopes = kernel.times_slope_(torch.ones_like(r2), beside)
    for found in (values, kernel.of_squared(r2)):
        torch.testing.assert_close(found[:2], torch.ones(2, dtype=dtype))
        assert (found[2:4] <= 1e-14).all() and found[4].isnan()
    torch.testing.assert_close(slopes[:2], kernel.slope(r2)[:2])
    assert (slopes[2:4].abs() <= 1e-40).all() and slopes[4].isnan()


def test_far_from_the_origin_distances_stay_exact():
    x = torch.tensor([[1e6, 0.0], [1e6 + 1e-3, 0.0]], dtype=torch.float64)
    expected = math.exp(-1e-6)
    assert float(kflow.Gaussian(1.0)(x, x[:1])[1, 0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
@pytest.mark.parametrize("span", [10, 100, 1e4])
def test_float32_keeps_its_digits_however_many_bandwidths_the_points_span(kernel, span, rng):
    t = (span * torch.rand(300, 2, generator=rng, dtype=torch.float64)).float()
    near = t + 0.1 * torch.randn(300, 2, generator=rng)
    for z in (t, near):
        expected = kernel(t.double(), z.double())
        torch.testing.assert_close(kernel(t, z).double(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("far", [1e3, 3e8, 1e15])
def test_a_point_far_from_all_others_does_not_change_what_they_feel(far):
    x = torch.tensor([[0.0], [1.0], [far]], dtype=torch.float64)
    for kernel in (kflow.Gaussian(1.0), ARD(kflow.Gaussian, 1, 1.0).freeze()):
        for found in (kernel(x, x), kernel(x, x.clone())):
            torch.testing.assert_close(found, torch.exp(-((x - x.mT) ** 2)), rtol=1e-9, atol=0)


def test_the_derivative_of_a_kernel_is_its_own_where_points_span_many_bandwidths(clouds):
    groups = torch.cat([clouds[0], clouds[0] + 2.0**20]).requires_grad_()
    weights = torch.arange(196.0, dtype=torch.float64).reshape(14, 14)
    (found,) = torch.autograd.grad((weights * kflow.Gaussian(0.7)(groups, groups)).sum(), groups)
    expected = []
    for part in (slice(0, 7), slice(7, 14)):
        x = clouds[0].clone().requires_grad_()
        near = (weights[part, part] * kflow.Gaussian(0.7)(x, x)).sum()
        expected += torch.autograd.grad(near, x)
    torch.testing.assert_close(found, torch.cat(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "reach", "kept"), [(torch.float32, 32, 1e-3), (torch.float64, 1e4, 2e-7)]
)
def test_points_within_reach_see_those_beyond_it_as_they_are(dtype, reach, kept, rng):
    """The points x alone decide whether distances are taken from a product of matrices."""
    z = torch.randn(40, 3, generator=rng, dtype=torch.float64)
    z /= z.norm(dim=1, keepdim=True)
    x, z = (reach - 0.1) * z, (reach + torch.linspace(0, 5, 40, dtype=torch.float64)[:, None]) * z
    x, z = x.to(dtype), torch.cat([z, -z]).to(dtype)
    exact = np.exp(-(reference.cdist(x.double().numpy(), z.double().numpy()) ** 2))
    found = kflow.Gaussian(1.0)(x, z)
    assert exact.max() > 0.9
    np.testing.assert_allclose(found, exact, rtol=0, atol=kept)


def test_distances_do_not_depend_on_the_origin(clouds):
    x, z = clouds
    far = distances.squared_distances(x + 1e6, z + 1e6)
    torch.testing.assert_close(far, distances.squared_distances(x, z), rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: kflow.Gaussian(0), "gamma must be above 0, not 0"),
        (lambda x: kflow.Gaussian(-2.0), "above 0"),
        (lambda x: kflow.Gaussian(math.nan), "gamma must be finite"),
        (lambda x: kflow.RationalQuadratic(1.0, 0.0), "alpha must be above 0"),
        (lambda x: kflow.RationalQuadratic(1.0, 1e7), r"alpha must be at most 1000000.0, not"),
        (lambda x: kflow.RationalQuadratic(1.0, 9e-7), "alpha must be at least 1e-06, not 9e-07"),
        (lambda x: kflow.Gaussian(1e-300), "gamma must be at least 1e-18, not 1e-300"),
        (lambda x: kflow.Gaussian(1e300), r"gamma must be at most 1e\+18, not 1e\+300"),
        (lambda x: kflow.Gaussian(10**400), "gamma must be finite"),
        (
            lambda x: kflow.Gaussian(1.0)(x, x.index_fill(0, torch.tensor([2]), 1e200)),
            r"z must be at most 1e\+16, but row 2 holds 1e\+200, too large to be squared",
        ),
        (lambda x: kflow.Gaussian(1.0)(x, x[:, :2]), "z must have 3 columns"),
        (lambda x: kflow.Gaussian(1.0)(x * math.nan, x), "x must be finite, but row 0"),
        (lambda x: kflow.Gaussian.for_points(x[:1]), "at least 2 points"),
        (lambda x: kflow.Gaussian.for_points(x[[0, 0]]), "all points of x coincide"),
        *[  # of some of these the mean is rounded
            (
                lambda x, n=n: kflow.Gaussian.for_points(
                    torch.full_like(x[:1, :1], 0.7).expand(n, 1)
                ),
                "all points of x coincide",
            )
            for n in range(3, 13)
        ],
    ],
)
@pytest.mark.wrong_types
def test_a_bad_value_is_named_with_its_cure(make, says, clouds):
    with pytest.raises(ValueError, match=says):
        make(clouds[0])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: kflow.Gaussian("wide"), "gamma must be a number, not 'wide'"),
        (lambda x: kflow.Gaussian(1.0)(x.numpy(), x), "torch.as_tensor"),
        (lambda x: kflow.Gaussian(1.0)(x.long(), x), "floating point"),
        (lambda x: kflow.Gaussian(1.0)(x.to(torch.float8_e4m3fn), x), "floating point"),
        (lambda x: kflow.Gaussian(1.0)(x.to_sparse(), x), r"x must be a dense tensor; x.to_dense"),
        (lambda x: kflow.Gaussian(1.0)(x, x.float()), r"z is torch.float32 but x is torch.float64"),
    ],
)
@pytest.mark.wrong_types
def test_a_wrong_type_is_named_with_its_cure(make, says, clouds):
    with pytest.raises(TypeError, match=says):
        make(clouds[0])


@pytest.mark.parametrize("kernel", [kflow.Matern32(1e-6), kflow.Matern52(1e-6)])
def test_points_that_are_astronomically_far_do_not_feel_each_other(kernel):
    x = torch.tensor([[0.0], [1e15]])  # float32, in which the distance in bandwidths is infinite
    assert torch.equal(kernel(x, x), torch.eye(2))
    assert torch.isfinite(kernel.slope(torch.tensor([0.0, 1e30]))).all()


def test_a_rational_quadratic_of_a_large_power_is_the_gaussian_in_single_precision_too():
    x = torch.linspace(0, 2, 5)[:, None]
    found = kflow.RationalQuadratic(1.0, alpha=1e6)(x, x)
    torch.testing.assert_close(found, kflow.Gaussian(1.0)(x, x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype):
    x = torch.tensor([[0.0, 255.0], [255.0, 0.0], [250.0, 4.0]], dtype=dtype)  # pixels
    found, exact = kflow.Gaussian(100.0)(x, x), kflow.Gaussian(100.0)(x.double(), x.double())
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, atol=4e-3, rtol=0)


def test_a_bandwidth_is_found_of_points_that_carry_gradients(clouds):
    x = clouds[0]
    assert kflow.Gaussian.for_points(x.clone().requires_grad_()) == kflow.Gaussian.for_points(x)


@pytest.mark.wrong_types
def test_a_bandwidth_that_is_a_float32_tensor_costs_no_digits(clouds):
    x = clouds[0]
    for kernel in (kflow.Matern52, kflow.RationalQuadratic):
        assert torch.equal(kernel(torch.tensor(0.5))(x, x), kernel(0.5)(x, x))
    assert kflow.MaxDisplacement(torch.tensor(0.5)) == kflow.MaxDisplacement(0.5)
