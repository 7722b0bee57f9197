"""The formulas once more, in NumPy and SciPy float64, written without a look at kflow."""

import numpy as np
from scipy.linalg import solve
from scipy.spatial.distance import cdist

PHI = {
    "Gaussian": lambda r, g: np.exp(-((r / g) ** 2)),
    "Matern32": lambda r, g: (1 + np.sqrt(3) * r / g) * np.exp(-np.sqrt(3) * r / g),
    "Matern52": lambda r, g: (
        (1 + np.sqrt(5) * r / g + 5 * r**2 / (3 * g**2)) * np.exp(-np.sqrt(5) * r / g)
    ),
    "RationalQuadratic": lambda r, g, alpha=1.0: (1 + r**2 / (alpha * g**2)) ** -alpha,
    "InverseMultiquadric": lambda r, g: 1 / np.sqrt(1 + (r / g) ** 2),
}


def gram_with(name, x, z, *parameters):
    return PHI[name](cdist(x, z), *parameters)


def gram(name, x, z, gamma):
    return gram_with(name, x, z, gamma)


def energy(name, x, y, gamma, nugget):
    k = gram(name, x, x, gamma) + nugget * np.eye(len(x))
    return np.trace(y.T @ solve(k, y, assume_a="pos"))


def rho(name, z, y, coarse, gamma, nugget):
    coarse_energy = energy(name, z[coarse], y[coarse], gamma, nugget)
    return 1 - coarse_energy / energy(name, z, y, gamma, nugget)


def gradient(name, z, y, coarse, gamma, nugget, h=1e-5):
    """Central differences of rho, one coordinate at a time."""
    g = np.zeros_like(z)
    for i in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[i] += h
        down[i] -= h
        g[i] = (
            rho(name, up, y, coarse, gamma, nugget) - rho(name, down, y, coarse, gamma, nugget)
        ) / (2 * h)
    return g


def layer(name, x, z, g, eps, gamma, nugget):
    """Every x moved by one layer: x + eps K(x, z) (K(z, z) + nugget I)^-1 g."""
    k = gram(name, z, z, gamma) + nugget * np.eye(len(z))
    return x + eps * gram(name, x, z, gamma) @ solve(k, g, assume_a="pos")
