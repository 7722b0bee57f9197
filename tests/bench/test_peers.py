"""The peers that kflow is timed against do the same work: the same numbers up to rounding."""

import importlib.util
import shutil

import pytest
import torch

import kflow
from kflow.engine import transport
from kflow.engine.transport import Layer
from tests.bench.peers import numpy_layer, sklearn_classify, torch_layer
from tests.bench.problem import digits

NO_KEOPS = not (importlib.util.find_spec("pykeops") and shutil.which("c++"))


@pytest.fixture(scope="module")
def problem():
    return digits(400, width=100).to(torch.float64)


@pytest.fixture(scope="module")
def sample():
    return kflow.draw(400, 60, torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def moved(problem):
    flow = problem.flow(60, "float64")
    return flow.run(problem.x, problem.y, 1, torch.Generator().manual_seed(3)).points


def settings(problem):
    return problem.kernel.gamma, problem.step.delta, problem.nugget


def assert_same_motion(found, expected, start):
    length = (expected - start).norm(dim=1).max()
    assert float((found - expected).norm(dim=1).max()) < 1e-9 * float(length)


def test_the_layer_of_numpy_is_ours(problem, sample, moved):
    x, y, fine, coarse = (t.numpy() for t in (problem.x, problem.y, *sample))
    found = numpy_layer.layer(x, y, fine, coarse, *settings(problem))
    assert_same_motion(torch.from_numpy(found), moved, problem.x)


def test_the_obvious_layer_of_torch_is_ours(problem, sample, moved):
    found = torch_layer.layer(problem.x, problem.y, *sample, *settings(problem))
    assert_same_motion(found, moved, problem.x)


@pytest.mark.skipif(NO_KEOPS, reason="not run: pykeops or a C++ compiler is missing (make bench)")
def test_the_transport_of_keops_is_ours(problem, sample):
    from tests.bench.peers import keops_transport

    z = problem.x[sample.fine]
    c = torch.randn(z.shape, generator=torch.Generator().manual_seed(0), dtype=z.dtype)
    ours = problem.x.clone()
    transport.move(ours, None, [Layer(z, c)], problem.kernel)
    found = keops_transport.transport(problem.x, z, c, problem.kernel.gamma)
    assert_same_motion(found, ours, problem.x)


def test_kernel_ridge_of_scikit_learn_is_our_interpolant(problem):
    x, y, x_test, y_test = problem.x[:200], problem.y[:200], problem.x[200:], problem.y[200:]
    ours = kflow.interpolate(problem.kernel, x, y, problem.nugget)(x_test)
    arrays = [t.numpy() for t in (x, y, x_test)]
    found = sklearn_classify.values(*arrays, problem.kernel.gamma, problem.nugget)
    assert torch.allclose(torch.from_numpy(found), ours, rtol=0, atol=1e-9)
    rng = torch.Generator().manual_seed(0)
    sets = (x, y, x_test, y_test)
    rate = kflow.error_rate(problem.kernel, *sets, 200, rng, problem.nugget)
    arrays = [t.numpy() for t in sets]
    assert sklearn_classify.error_rate(*arrays, problem.kernel.gamma, problem.nugget) == rate
