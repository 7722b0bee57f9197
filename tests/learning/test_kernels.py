"""Kernels with parameters: their values, derivatives, combinations, frozen copies."""

import math

import pytest
import torch

import kflow
from kflow.learning import (
    ARD,
    DeepFeatures,
    Isotropic,
    Linear,
    Metric,
    ParametricKernel,
    Periodic,
    Polynomial,
    Positive,
    Sum,
)
from kflow.learning.gram import radial_gram
from tests.learning.problems import KERNELS, points


@pytest.fixture(params=KERNELS, ids=str)
def kernel(request):
    return KERNELS[request.param]()


def parameters_as_inputs(kernel, function):
    """function() as a function of all parameters of the kernel, for gradcheck."""
    named = dict(kernel.named_parameters())

    def call(*values):
        replaced = dict(zip(named, values, strict=True))
        return torch.func.functional_call(kernel, replaced, function)

    return call, tuple(p.detach().clone().requires_grad_() for p in named.values())


def test_the_gradient_of_a_gram_matrix_is_that_of_finite_differences(kernel):
    x, _ = points(6)
    z, _ = points(4, seed=1)
    for arguments in ((x,), (x, z)):
        call, values = parameters_as_inputs(kernel, arguments)
        assert torch.autograd.gradcheck(call, values)
    assert torch.autograd.gradcheck(lambda z: kernel(x, z), z.requires_grad_())
    assert torch.autograd.gradcheck(kernel, x.requires_grad_())


@pytest.mark.parametrize("base", [kflow.Gaussian(1.0), kflow.Matern52(1.0)], ids=repr)
def test_each_side_of_a_gram_matrix_has_its_own_gradient(base):
    a, b = (points(n, seed=n)[0] for n in (5, 4))
    for learned, given in ((a, b), (b, a)):
        moving = learned.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda m, g=given: radial_gram(base, m, g), moving)
        assert torch.autograd.gradcheck(lambda m, g=given: radial_gram(base, g, m), moving)
        assert torch.autograd.gradcheck(lambda m: radial_gram(base, m, m), moving)


def test_a_gram_matrix_is_symmetric_and_positive_semi_definite(kernel):
    x, _ = points(30)
    gram = kernel(x).detach()
    assert torch.allclose(gram, gram.mT, atol=1e-13)
    assert torch.linalg.eigvalsh(gram).min() > -1e-10 * gram.diagonal().max()


def test_between_two_sets_it_is_a_block_of_the_gram_matrix_of_both(kernel):
    x, _ = points(9)
    torch.testing.assert_close(kernel(x[:6], x[6:]), kernel(x)[:6, 6:], rtol=1e-9, atol=1e-12)


def test_the_diagonal_is_that_of_the_gram_matrix(kernel):
    x, _ = points()
    torch.testing.assert_close(kernel.diagonal(x), kernel(x).diagonal(), rtol=1e-12, atol=0)


def test_a_frozen_kernel_has_the_bits_of_the_module_and_no_longer_learns(kernel):
    x, y = points()
    frozen = kernel.freeze()
    assert torch.equal(frozen(x, x), kernel(x, x))
    before = frozen(x, x)
    for parameter in kernel.parameters():
        parameter.data.add_(0.1)
    assert torch.equal(frozen(x, x), before) and not before.requires_grad
    assert not torch.equal(kernel(x, x), before)
    value, gradient = kflow.rho_and_gradient(frozen, x, y, torch.arange(10), 0.1)
    assert 0 < value < 1 and gradient.abs().max() > 0


def test_ard_with_equal_bandwidths_is_the_radial_kernel():
    x, _ = points()
    z, _ = points(7, seed=1)
    for kernel in (ARD(kflow.Matern32, 3, 1.7), Isotropic(kflow.Matern32, 1.7)):
        torch.testing.assert_close(kernel(x, z), kflow.Matern32(1.7)(x, z))
    torch.testing.assert_close(Metric(kflow.Matern32, 3)(x, z), kflow.Matern32(math.sqrt(3))(x, z))


def test_each_bandwidth_scales_its_feature():
    x, _ = points()
    widths = torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)
    torch.testing.assert_close(
        ARD(kflow.Gaussian, 3, widths)(x), kflow.Gaussian(1.0)(*[x / widths] * 2)
    )


def test_a_phase_that_float64_does_not_hold_is_refused():
    """1e15 periods away the kernel was 0.24 in place of exp(-1), in silence."""
    kernel, apart = Periodic(period=0.3), torch.tensor([[0.25], [0.0]], dtype=torch.float64)
    expected = math.exp(-4 * math.sin(math.pi * 0.25 / 0.3) ** 2)
    assert kernel(apart)[0, 1].item() == pytest.approx(expected, rel=1e-12)
    assert kernel(apart + 2.0**33)[0, 1].item() == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match=r"3e\+14 from the origin, more than 1e\+11 periods"):
        kernel(apart + 3e14)


def test_the_periodic_kernel_repeats_and_is_the_formula():
    x, _ = points(d=1)
    kernel = Periodic(period=0.7, gamma=1.3)
    torch.testing.assert_close(kernel(x, x + 2.1), kernel(x, x.clone()))
    angles = math.pi * (x - x.mT) / 0.7
    torch.testing.assert_close(kernel(x), torch.exp(-4 * angles.sin() ** 2 / 1.3**2))


def test_polynomials_are_powers_of_the_linear_kernel():
    x, _ = points()
    linear = Linear(3, gamma=2.0)
    torch.testing.assert_close(linear(x), 1 + x @ x.mT / 4)
    torch.testing.assert_close(Polynomial(3, 3, gamma=2.0)(x), linear(x) ** 3)


def test_sums_products_and_weights_are_those_of_the_matrices():
    x, _ = points()
    a, b = ARD(kflow.Gaussian, 3), Linear(3)
    torch.testing.assert_close((a + b)(x), a(x) + b(x))
    torch.testing.assert_close((a * b)(x), a(x) * b(x))
    torch.testing.assert_close((0.5 * a + b * 3.0)(x), 0.5 * a(x) + 3 * b(x))


def test_parameters_are_named_and_shown():
    kernel = 0.5 * ARD(kflow.Gaussian, 2) + Periodic()
    names = {"terms.0.weight", "terms.0.kernel.gamma", "terms.1.period", "terms.1.gamma"}
    assert set(kernel.values()) == names
    assert "gamma=[1.41, 1.41]" in repr(ARD(kflow.Gaussian, 2).freeze())


def test_a_parameter_at_its_bound_is_named():
    kernel = ARD(kflow.Gaussian, 2, gamma=[1.0, 5.0], bounds=(0.1, 5.0))
    assert kernel.at_bounds() == ["gamma[1] at its upper bound 5"]
    assert Isotropic(gamma=0.1, bounds=(0.1, 5.0)).at_bounds() == ["gamma at its lower bound 0.1"]


def test_a_parameter_may_start_at_its_bounds_and_is_brought_back_to_them():
    parameter = Positive("p", [0.5, 2.0, 6.0], (0.5, 6.0), 3)
    parameter.log.data += torch.tensor([-1.0, 0.1, 1.0])
    parameter.clamp()
    expected = torch.tensor([0.5, 2.0 * math.exp(0.1), 6.0], dtype=torch.float64)
    torch.testing.assert_close(parameter(), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("start", [[1.0, 2.0, 7.0], [0.1, 2.0, 3.0], [1.0, math.nan, 2.0]])
def test_every_entry_must_start_within_the_bounds(start):
    with pytest.raises(ValueError, match="p must lie within its bounds 0.5 and 6"):
        Positive("p", start, (0.5, 6.0), 3)


@pytest.mark.parametrize("start", [[[1.0, 2.0, 3.0]], [[1.0]], [[[1.0]]], [1.0, 2.0]])
def test_a_parameter_for_each_feature_is_a_vector(start):
    with pytest.raises(ValueError, match="p must be one number or 3"):
        Positive("p", start, (0.5, 6.0), 3)


@pytest.mark.parametrize(
    ("gamma", "shown"),
    [
        (2.0, "gamma=2"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "gamma=[1, 2, 3, 4, 5, 6]"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], "gamma=[1, 2, 3, ..., 6, 7]"),
    ],
)
def test_many_numbers_are_shown_by_the_first_and_the_last(gamma, shown):
    kernel = ARD(kflow.Gaussian, len(gamma), gamma) if isinstance(gamma, list) else Isotropic()
    if gamma == 2.0:
        kernel = Isotropic(gamma=2.0)
    assert repr(kernel.freeze()).endswith(f"({shown})") and shown in repr(kernel)
    assert "gamma" not in (0.5 * kernel).extra_repr()


def test_defaults_of_bandwidths_and_kinds_of_bases():
    root = math.sqrt(5)
    for kernel in (ARD(kflow.Gaussian(1.0), 5), Polynomial(5), Linear(5)):
        assert kernel.gamma.tolist() == pytest.approx([root] * 5)
    torch.testing.assert_close(
        Metric(kflow.Gaussian, 5, 2).matrix.detach(), torch.eye(5, 2, dtype=torch.float64) / root
    )
    assert ARD(kflow.Gaussian, 1).gamma.item() == 1
    assert Metric(kflow.Gaussian, 1, 1).matrix.item() == 1 and Polynomial(1, 1).degree == 1
    for make in (ARD, Metric):
        with pytest.raises(ValueError, match="n_features must be at least 1"):
            make(kflow.Gaussian, 0)
    for wrong in (
        lambda: Polynomial(0),
        lambda: Polynomial(2, 0),
        lambda: Metric(kflow.Gaussian, 2, 0),
    ):
        with pytest.raises(ValueError, match="must be at least 1"):
            wrong()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ARD(kflow.Gaussian(2.0), 3), "gamma = 1, not 2"),
        (lambda: ARD(kflow.Gaussian, 3, gamma=[1.0, 2.0]), "gamma must be one number or 3"),
        (lambda: ARD(kflow.Gaussian, 3, gamma=-1.0), "within its bounds"),
        (lambda: Positive("p", 1.0, (2.0, 1.0)), "upper bound of p must be above"),
        (lambda: Metric(kflow.Gaussian, 3, rank=4), "rank must be at most 3"),
        (lambda: Sum(), "at least one kernel"),
    ],
)
def test_bad_values_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ARD("gaussian", 3),
        lambda: DeepFeatures(lambda x: x, Isotropic()),
        lambda: Sum(kflow.Gaussian(1.0)),
    ],
)
def test_wrong_types_are_refused(make):
    with pytest.raises(TypeError, match="not"):
        make()


def test_a_kernel_that_lacks_its_diagonal_is_refused_when_it_is_made():
    class Half(ParametricKernel):
        def gram(self, x, z):
            return x @ z.mT

    with pytest.raises(TypeError, match="Half.*diagonal"):
        Half()


X = torch.ones(5, 3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ARD(kflow.Gaussian, 2)(X), r"x must have 2 columns, but its shape is \(5, 3\)"),
        (lambda: (0.5 * Metric(kflow.Gaussian, 2) + Linear(2))(X), "x must have 2 columns"),
        (lambda: Polynomial(3)(X, X[:, :2]), "z must have 3 columns"),
        (lambda: ARD(kflow.Gaussian, 3).freeze()(X * math.nan), "x must be finite"),
        (lambda: ARD(kflow.Gaussian, 2) + Linear(3), "made for 2 and 3 features"),
        (lambda: Polynomial(3, 400)(100 * X), "too large for degree 400: .* to that power"),
        (lambda: Polynomial(3, 401)(100 * X, -100 * X), "too large for degree 401: "),
        (lambda: Polynomial(3, 402)(torch.cat([0 * X, 100 * X])), "too large for degree 402: "),
        (lambda: Polynomial(3, 10**30), "degree must be at most 1000"),
        (lambda: ARD(kflow.Gaussian, 2**63), "n_features must be at most 1000000"),
        (lambda: ARD(kflow.Gaussian, 10**6 + 1), "n_features must be at most 1000000"),
        (lambda: Isotropic(bounds=(1,)), r"bounds of gamma must be two numbers.* not \(1,\)"),
        (lambda: Isotropic(bounds=None), "bounds of gamma must be two numbers.* not None"),
    ],
)
@pytest.mark.wrong_types
def test_a_kernel_refuses_what_it_was_not_made_for(make, says):
    with pytest.raises(ValueError, match=says):
        make()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ARD(kflow.Gaussian, 3, "wide"), "gamma must be a number or a list of numbers"),
        (lambda: ARD(kflow.Gaussian, 3, 1j), "gamma must be a number or a list of numbers"),
        (lambda: Isotropic(gamma=[1.0, 2.0]), "gamma must be a number"),
        (lambda: Periodic(gamma=torch.ones(3)), "gamma must be a number"),
        (lambda: Periodic(period=[1.0]), "period must be a number"),
        (lambda: Linear(3) * 1j, "weight must be a number"),
        (lambda: Linear(3)(X.long()), "x must be floating point"),
        (lambda: Linear(3)(X.numpy()), "x must be a torch.Tensor"),
    ],
)
@pytest.mark.wrong_types
def test_a_kernel_refuses_what_is_no_number(make, says):
    with pytest.raises(TypeError, match=says):
        make()


def test_a_kernel_is_float64_whatever_its_points_are(kernel):
    x, _ = points(4)
    low = x.float()
    assert kernel(low).dtype == kernel(low, x).dtype == kernel(low, low[:2]).dtype == torch.float64
    assert torch.equal(kernel(x, low), kernel(x, low.double()))


def test_a_kernel_takes_points_that_were_made_in_inference_mode(kernel):
    x, _ = points(4)
    with torch.inference_mode():
        made = x.clone()
    assert torch.equal(kernel(made), kernel(x))
    assert torch.equal(kernel.diagonal(made), kernel.diagonal(x))
