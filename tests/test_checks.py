"""Points that are nowhere, or not where the others are, end in errors that name the cure."""

from fractions import Fraction

import numpy as np
import pytest
import torch

import kflow
from kflow import checks, data, learning
from kflow.engine import precisions

X, Y = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.ones(6, 1)
NOWHERE = torch.empty(6, 2, device="meta")
KERNEL = kflow.Gaussian(1.0)
FLOW = kflow.KernelFlow(KERNEL, 4, kflow.MaxDisplacement(0.1), nugget=0.1)
HALF = torch.arange(3)


def rng():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("x", lambda: FLOW.run(NOWHERE, Y, 1, rng())),
        ("y", lambda: FLOW.run(X, NOWHERE, 1, rng())),
        ("carry", lambda: FLOW.run(X, Y, 1, rng(), carry=NOWHERE)),
        ("x_new", lambda: FLOW.run(X, Y, 1, rng(), keep_layers=True).transform(NOWHERE)),
        ("z", lambda: kflow.rho(KERNEL, NOWHERE, Y, HALF)),
        ("y", lambda: kflow.rho_and_gradient(KERNEL, X, NOWHERE, HALF)),
        ("y", lambda: kflow.interpolate(KERNEL, X, NOWHERE)),
        ("x_new", lambda: kflow.interpolate(KERNEL, X, Y)(NOWHERE)),
        ("x_test", lambda: kflow.error_rate(KERNEL, X, Y, NOWHERE, Y, 2, rng())),
        ("x", lambda: kflow.Gaussian.for_points(NOWHERE)),
        ("z", lambda: KERNEL(X, NOWHERE)),
        ("y", lambda: kflow.EffectiveODE(KERNEL, NOWHERE, 2)),
    ],
)
def test_points_without_numbers_are_refused_by_name(name, call):
    with pytest.raises(ValueError, match=f"^{name} is on torch's device meta"):
        call()


def test_positions_without_numbers_are_refused():
    with pytest.raises(TypeError, match="coarse must be a vector of int64 positions"):
        kflow.rho(KERNEL, X, Y, HALF.to("meta"))


def test_tensors_apart_are_named_with_the_move_that_joins_them(accelerator):
    apart = X.to(accelerator)
    with pytest.raises(ValueError, match=r"y is on cpu but x is on .*; move one: y.to\(x.device\)"):
        FLOW.run(apart, Y, 1, rng())
    with pytest.raises(ValueError, match="carry is on .* but x is on cpu"):
        FLOW.run(X, Y, 1, rng(), carry=apart)
    with pytest.raises(ValueError, match="x_new is on .* but path.points is on cpu"):
        FLOW.run(X, Y, 1, rng(), keep_layers=True).transform(apart)
    with pytest.raises(ValueError, match="x_test is on .* but x is on cpu"):
        kflow.error_rate(KERNEL, X, Y, apart, Y.to(accelerator), 2, rng())


@pytest.mark.parametrize("asked", ["cuda:7", "gpu", "meta", "mps:3", "cpu:1", None, 0.5])
@pytest.mark.wrong_types
def test_a_device_that_is_not_there_is_refused_with_those_that_are(asked, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(ValueError, match=f"cpu, cuda:0, cuda:1, mps:0, not {asked!r}"):
        checks.device(asked)


def test_a_device_that_is_there_is_found_by_its_word_or_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for asked in ("cpu", "cuda", "cuda:1", "mps", torch.device("cuda", 0)):
        assert checks.device(asked) == torch.device(asked)


def test_the_classifier_refuses_a_device_that_is_not_there():
    model = kflow.KernelFlowClassifier(device="cuda:99")
    with pytest.raises(
        ValueError, match="device must be one of this machine's, cpu.* not 'cuda:99"
    ):
        model.fit(np.eye(4), [0, 1, 0, 1])


def test_the_classifier_works_on_every_device(anywhere):
    points, labels = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 2
    points[:, 0] += 6 * labels
    model = kflow.KernelFlowClassifier(layers=5, n_fine=20, device=str(anywhere))
    assert model.fit(points, labels).score(points, labels) == 1


def test_float64_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match='mps, which has no float64: take "float32"'):
        precisions.check_there("float64", torch.device("mps"))
    for precision, where in (("float32", "mps"), ("float64", "cuda"), ("float64", "cpu")):
        precisions.check_there(precision, torch.device(where))


@pytest.mark.wrong_types
def test_a_device_without_float64_plays_its_games_on_the_cpu():
    class OnMps:
        """What `wide` needs of a tensor there."""

        device = torch.device("mps")

        def cpu(self):
            return X

    assert checks.wide(OnMps()).dtype == torch.float64
    with pytest.warns(UserWarning, match="this mps has none, and the flow runs in float32"):
        assert not precisions.uses_mixed("mixed", torch.device("mps"))


def test_data_with_nothing_in_it_is_refused_with_its_shape():
    rng, labels = torch.Generator().manual_seed(0), torch.ones(6, 1)
    for x, y, said in (
        (torch.zeros(6, 0), labels, r"x has no columns, its shape is \(6, 0\)"),
        (torch.zeros(6, 2), torch.zeros(6, 0), r"y has no columns, its shape is \(6, 0\)"),
        (torch.zeros(0, 2), labels[:0], "at least 2 points, but x holds 0"),
        (torch.zeros(1, 2), labels[:1], "at least 2 points, but x holds 1"),
    ):
        with pytest.raises(ValueError, match=said):
            FLOW.run(x, y, 3, rng)
    with pytest.raises(ValueError, match="x holds no point"):
        kflow.interpolate(KERNEL, torch.zeros(0, 2), torch.zeros(0, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), float("nan")])
def test_labels_that_are_not_finite_are_refused_in_every_precision(dtype, bad):
    y = torch.tensor([[1.0], [bad]], dtype=dtype)
    with pytest.raises(ValueError, match="y must be finite, but row 1 holds NaN or infinity"):
        checks.matrix("y", y, largest=checks.LARGEST_LABEL)
    checks.matrix("y", torch.ones(2, 1, dtype=dtype), largest=checks.LARGEST_LABEL)


@pytest.mark.parametrize(
    "call",
    [
        lambda nugget: kflow.interpolate(KERNEL, X, Y, nugget)(X),
        lambda nugget: kflow.rho(KERNEL, X, Y, HALF, nugget),
        lambda nugget: kflow.rho_and_gradient(KERNEL, X, Y, HALF, nugget)[1],
        lambda nugget: learning.condition(KERNEL, X, Y, nugget).mean(X),
        lambda noise: data.swiss_roll(10, rng=rng(), noise=noise)[0],
    ],
)
@pytest.mark.wrong_types
def test_any_real_number_is_taken_as_a_float(call):
    assert torch.equal(call(Fraction(1, 8)), call(0.125))


@pytest.mark.parametrize(
    "call",
    [
        lambda kernel: learning.condition(kernel, X, Y, 0.1),
        lambda kernel: learning.loo_nugget(kernel, X, X, rng()),
        lambda kernel: kflow.interpolate(kernel, X, Y),
        lambda kernel: kflow.rho(kernel, X, Y, HALF),
    ],
)
@pytest.mark.wrong_types
def test_a_class_of_kernels_is_not_a_kernel(call):
    with pytest.raises(TypeError, match=r"must be a kernel, as Gaussian\(...\) is, not the class"):
        call(kflow.Gaussian)


def test_a_bound_is_not_rounded_to_the_precision_of_the_value():
    assert checks.number("dt", np.float32(0.5), above=0, most=1e100) == 0.5
    assert checks.number("n", np.float16(0.5), above=1e-300) == 0.5
    with pytest.raises(ValueError, match="must be at most 2049"):
        checks.number("n", np.float32(2049.5), most=2049)
