"""What a process has set for all of torch changes nothing here: device, dtype, mode."""

import ast
import contextlib

import numpy as np
import pytest
import torch

import kflow
from kflow import data
from tests.site import ROOT

MAKERS = {
    "tensor", "zeros", "ones", "empty", "full", "arange", "randperm", "randint", "rand", "randn",
    "eye", "linspace",
}  # fmt: skip
LIBRARY = [
    path
    for path in sorted((ROOT / "kflow").rglob("*.py"))
    if path.relative_to(ROOT / "kflow").parts[0] not in ("figures", "reproduce", "paper")
]


@contextlib.contextmanager
def default(get, put, value):
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


def deterministic():
    return default(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    )


DEFAULTS = {
    "device": lambda: default(torch.get_default_device, torch.set_default_device, "meta"),
    "dtype": lambda: default(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "deterministic": deterministic,
    "inference": torch.inference_mode,
}


def everything():
    """Numbers of all that the library does, from the same seeds."""
    x, y = data.swiss_roll(40, rng=torch.Generator().manual_seed(0))
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), 10, kflow.MaxDisplacement(0.02), 1e-3)
    rng = torch.Generator().manual_seed(1)
    path = flow.run(x, y, 6, rng, carry=x[:3] + 0.1, keep_layers=True, lookahead=2)
    found = [path.points, path.carried, path.rho, path.transform(x[:5])]
    two = torch.Generator().manual_seed(2)
    found.append(kflow.error_rate(kflow.Gaussian(1.0), x, y, x, y, 10, two))
    ode = kflow.EffectiveODE(kflow.Gaussian(1.0), y[:6], 4, 1e-3)
    found += [ode.velocity(x[:6]), ode.rho(x[:6])]
    features, labels = x.numpy(), (y[:, 0] > 0).numpy()
    model = kflow.KernelFlowRegressor(steps=5).fit(features, features[:, 0])
    found += [model.predict(features), model.sample(features[:2], 2)]
    found.append(kflow.KernelFlowClassifier(layers=3).fit(features, labels).predict(features))
    return [np.asarray(part) for part in found]


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_of_the_process_change_nothing(name):
    plain = everything()
    with DEFAULTS[name]():
        other = everything()
    for one, two in zip(plain, other, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.name)
def test_every_tensor_that_is_made_names_its_device(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    made = [call for call in calls if ast.unparse(call.func) in {f"torch.{m}" for m in MAKERS}]
    unnamed = [call for call in made if "device" not in {word.arg for word in call.keywords}]
    assert [f"{path.name}:{call.lineno} {ast.unparse(call)}" for call in unnamed] == []
