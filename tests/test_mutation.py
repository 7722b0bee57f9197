"""The mutator of tests/stress changes formulas, and a check of their values notices."""

import json
import random
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from kflow.kernels import Gaussian
from tests import reference
from tests.site import ROOT
from tests.stress.mutants import mutants


def test_the_mutants_of_a_formula():
    source = "def f(x: int | None, y=0.5):\n    'a + b'\n    return -x.mT[:3] @ y if y < 2 else 0\n"
    found = mutants(source)
    assert [(m.becomes, m.function) for m in found] == [
        ("def f(x: int | None, y=0.25):", None),
        ("return -x.mT[:3] @ y if y <= 2 else 0", "f"),
        ("return -x.mT[:3] @ y if y < 3 else 0", "f"),
        ("return y @ -x.mT[:3] if y < 2 else 0", "f"),
        ("return x.mT[:3] @ y if y < 2 else 0", "f"),
        ("return -x[:3] @ y if y < 2 else 0", "f"),
        ("return -x.mT[:] @ y if y < 2 else 0", "f"),
        ("return -x.mT[:4] @ y if y < 2 else 0", "f"),
        ("return -x.mT[:3] @ y if y < 2 else 1", "f"),
    ]
    assert all(m.source.count("\n") == 3 and "'a + b'" in m.source for m in found)


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("a - b * c", ["a + b * c", "a - b / c"]),
        ("a / b**2", ["a * b ** 2", "a / (b * 2)", "a / b**3"]),
        ("not a or b", ["(not a and b)", "a or b"]),
        ("a is None", ["a is not None"]),
        ("a.sum(1)", ["a.mean(1)", "a.sum(0)"]),
        ("math.sqrt(a + b)", ["(a + b)", "math.sqrt(a - b)"]),
        ("a.max(b, strict=True)", ["a.min(b, strict=True)", "a.max(b, strict=False)"]),
        ("print(f'{a + b}')", []),
        ("raise ValueError(a + b)", []),
        ("warnings.warn(a, stacklevel=2)", []),
    ],
)
def test_each_kind_of_change(line, becomes):
    assert [m.becomes for m in mutants(line + "\n")] == becomes


def module_of(source):
    module = types.ModuleType("mutated")
    exec(compile(source, "mutated", "exec"), vars(module))
    return module


def draws(n, d, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)))


def kernels(module):
    r2 = torch.linspace(0.1, 4, 9, dtype=torch.float64)
    for name in reference.PHI:
        kernel = getattr(module, name)(0.7)
        expected = reference.PHI[name](r2.sqrt().numpy(), 0.7)
        np.testing.assert_allclose(kernel.of_squared(r2), expected, rtol=1e-10)
        h = 1e-5
        slope = (kernel.of_squared(r2 + h) - kernel.of_squared(r2 - h)) / (2 * h)
        np.testing.assert_allclose(kernel.slope(r2), slope, rtol=1e-6)


def energies(module):
    def played(z, y, kept):
        found, beside = module.radial_energies(kernel, 0.1, z, z, y, kept)
        factors = module.gradient_of_rho(found, kept)
        return 1 - found.share, module.radial_gradient(kernel, z, beside, *factors)

    kernel, z, y = Gaussian(1.3), draws(6, 2, 0), draws(6, 2, 1)
    arguments = ("Gaussian", z.numpy(), y.numpy(), np.arange(3), 1.3, 0.1)
    for kept in (3, torch.arange(3)):
        rho, gradient = played(z, y, kept)
        np.testing.assert_allclose(rho, reference.rho(*arguments), rtol=1e-10)
        np.testing.assert_allclose(gradient, reference.gradient(*arguments), atol=1e-7)
    both = played(torch.stack([z, z]), torch.stack([y, y]), 3)[1]
    torch.testing.assert_close(both, torch.stack([gradient, gradient]))


def steps(module):
    z, g = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[0.0, 2.0], [0.5, 0.0]])
    assert float(module.MaxDisplacement(0.5)(z, g)) == pytest.approx(0.25)
    assert float(module.RelativeDisplacement(0.2)(z, g)) == pytest.approx(0.4)
    assert float(module.RelativeDisplacement(0.2)(z, 0 * g)) == 0


@pytest.mark.parametrize(
    ("check", "functions"),
    [
        (kernels, ("of_squared", "slope")),
        (energies, ("radial_energies", "radial_gradient", "gradient_of_rho")),
        (steps, ("RelativeDisplacement.__call__",)),
    ],
)
def test_a_mutant_fails_where_the_formula_passes(check, functions):
    source = (ROOT / f"kflow/{check.__name__}.py").read_text()
    check(module_of(source))
    found = [m for m in mutants(source) if (m.function or "").endswith(functions)]
    for mutant in random.Random(0).sample(found, 5):
        try:
            check(module_of(mutant.source))
        except (ArithmeticError, AssertionError, IndexError, RuntimeError, TypeError):
            continue
        pytest.fail(f"nothing noticed {mutant.becomes}")


def test_mutants_are_tried_on_the_tests_of_their_module(tmp_path):
    record = tmp_path / "mutation.json"
    command = [sys.executable, "-m", "tests.stress.mutation", "steps", "--share", "0.4"]
    done = subprocess.run(
        [*command, "--record", record], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(record.read_text())["modules"]["steps"]
    assert found["killed"] == found["mutants"] == round(0.4 * found["of"]) > 5
