"""Small problems that the tests of learning share."""

import torch

import kflow
from kflow.learning import ARD, DeepFeatures, Isotropic, Linear, Metric, Periodic, Polynomial

KERNELS = {
    "isotropic": lambda: Isotropic(kflow.Matern52, 1.2),
    "ard": lambda: ARD(kflow.Gaussian, 3, [0.8, 1.5, 3.0]),
    "ard rational": lambda: ARD(kflow.RationalQuadratic(1.0, 0.7), 3),
    "metric": lambda: Metric(kflow.InverseMultiquadric, 3, rank=2),
    "periodic": lambda: Periodic(2.3, 0.9),
    "polynomial": lambda: Polynomial(3, degree=3, gamma=[1.0, 2.0, 3.0]),
    "linear": lambda: Linear(3),
    "deep": lambda: DeepFeatures(net(), Isotropic(kflow.Gaussian)),
    "sum": lambda: 0.5 * ARD(kflow.Matern32, 3) + 2.0 * Linear(3),
    "product": lambda: ARD(kflow.Gaussian, 3) * Periodic(1.7) * 1.3,
}


def net():
    layers = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return layers


def points(n=20, d=3, c=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=rng, dtype=torch.float64)
    return x, torch.randn(n, c, generator=rng, dtype=torch.float64)


def relevance(n=300, d=10, seed=0, noise=0.1):
    """A function of the first three of d features, with noise, and noiseless values elsewhere."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n + 500, d, generator=rng, dtype=torch.float64)
    f = torch.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] / 2
    f = ((f - f.mean()) / f.std())[:, None]
    y = f + noise * torch.randn(f.shape, generator=rng, dtype=torch.float64)
    return x[:n], y[:n] - y[:n].mean(), x[n:], f[n:] - y[:n].mean()


def draw_from(kernel, x, nugget, size, seed=0):
    """Labels drawn from the Gaussian process of a kernel, with noise, (n, size)."""
    rng = torch.Generator().manual_seed(seed)
    gram = kernel(x, x) + nugget * torch.eye(len(x), dtype=torch.float64)
    normal = torch.randn(len(x), size, generator=rng, dtype=torch.float64)
    return torch.linalg.cholesky(gram.detach()) @ normal
