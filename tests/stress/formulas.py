"""What kflow computes, from its definition alone: differences pair by pair, in long double."""

import numpy as np
import scipy.linalg
import torch

SHAPES = {
    "Gaussian": lambda r2, g, a: np.exp(-r2 / g**2),
    "Matern32": lambda r2, g, a: _matern(np.sqrt(3 * r2) / g, lambda s: 1 + s),
    "Matern52": lambda r2, g, a: _matern(np.sqrt(5 * r2) / g, lambda s: 1 + s + s**2 / 3),
    "RationalQuadratic": lambda r2, g, a: (1 + r2 / (a * g**2)) ** -a,
    "InverseMultiquadric": lambda r2, g, a: (1 + r2 / g**2) ** np.longdouble(-0.5),
}


def _matern(s, polynomial):
    s = np.minimum(s, 1e5)  # beyond it is nothing
    return polynomial(s) * np.exp(-s)


def wide(values) -> np.ndarray:
    """A tensor or array in long double."""
    if isinstance(values, torch.Tensor):
        values = values.detach().double().numpy()
    return np.asarray(values).astype(np.longdouble)


def squares(x, z) -> np.ndarray:
    """|x_i - z_j|^2."""
    return ((wide(x)[:, None] - wide(z)[None]) ** 2).sum(-1)


def gram(kernel, x, z) -> np.ndarray:
    """k(x_i, z_j) of a radial kernel of kflow, by its settings."""
    gamma, alpha = np.longdouble(kernel.gamma), np.longdouble(getattr(kernel, "alpha", 1))
    return SHAPES[type(kernel).__name__](squares(x, z), gamma, alpha)


def rounding(kernel, x, z, eps) -> float:
    """How far an entry may be from the formula, where distances are differences of squares.

    Their error is about eps times the squared size of the points, from the middle of z.
    """
    x, z = wide(x), wide(z)
    if not len(x) or not len(z):
        return 0.0
    centre = z.mean(0)
    size = max((((part - centre) ** 2).sum(1)).max() for part in (x, z))
    return float(eps * (40 + 40 * size / np.longdouble(kernel.gamma) ** 2))


class Kriging:
    """K + nugget I of some points, its solves, and how well they are conditioned."""

    def __init__(self, kernel, x, nugget):
        self.kernel, self.x = kernel, x
        self.matrix = gram(kernel, x, x).astype(float) + float(nugget) * np.eye(len(x))
        self.values = np.linalg.eigvalsh(self.matrix)
        least = max(self.values[0], 1e-300)
        spread = rounding(kernel, x, x, 2.3e-16) + 1e-15 * len(x) * self.values[-1]
        self.error = float(100 * len(x) * spread / least)  # relative, of a solve

    @property
    def trusted(self) -> bool:
        """Whether a solve in float64 has digits left."""
        return self.values[0] > 0 and self.error < 1e-3

    def solve(self, b):
        """(K + nugget I)^-1 b."""
        return scipy.linalg.solve(self.matrix, wide(b).astype(float), assume_a="sym")

    def energy(self, y):
        """tr y^T (K + nugget I)^-1 y."""
        y = wide(y).astype(float)
        return float((y * self.solve(y)).sum())


def rho(kernel, z, y, coarse, nugget):
    """1 - |v_c|^2 / |v_f|^2; None where float64 has no digits left."""
    fine, part = Kriging(kernel, z, nugget), Kriging(kernel, z[coarse], nugget)
    if not fine.trusted:
        return None, fine.error
    return 1 - part.energy(y[coarse]) / fine.energy(y), fine.error


def gradient(kernel, z, y, coarse, nugget):
    """The gradient of rho by autograd of its definition."""
    z = z.detach().double().clone().requires_grad_()
    y, nugget = y.detach().double().clone(), float(nugget)  # not in inference mode, as the call is

    def energy(points, labels):
        r2 = (points[:, None] - points[None]).square().sum(-1)
        k = PHI[type(kernel).__name__](r2, kernel.gamma, getattr(kernel, "alpha", 1.0))
        k = k + nugget * torch.eye(len(points), dtype=k.dtype)
        return (labels * torch.linalg.solve(k, labels)).sum()

    value = 1 - energy(z[coarse], y[coarse]) / energy(z, y)
    return torch.autograd.grad(value, z)[0].numpy()


def _root(r2):
    return torch.where(r2 > 0, torch.where(r2 > 0, r2, 1.0).sqrt(), 0.0)


PHI = {
    "Gaussian": lambda r2, g, a: torch.exp(-r2 / g**2),
    "Matern32": lambda r2, g, a: _exp(_root(r2) * 3**0.5 / g, lambda s: 1 + s),
    "Matern52": lambda r2, g, a: _exp(_root(r2) * 5**0.5 / g, lambda s: 1 + s + s**2 / 3),
    "RationalQuadratic": lambda r2, g, a: (1 + r2 / (a * g**2)) ** -a,
    "InverseMultiquadric": lambda r2, g, a: (1 + r2 / g**2) ** -0.5,
}


def _exp(s, polynomial):
    return polynomial(s) * torch.exp(-s)
