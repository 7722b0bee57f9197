"""Draws of a posterior's function that are told point after point, as an iteration needs them."""

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks
from kflow.interpolation import gram_of
from kflow.learning.posterior import Posterior, diagonal

DEPENDENT = 1e-13  # of k(x, x): a variance below it is rounding


class Draws:
    """Draws of a posterior's function, one for each path, each told point after point.

    `values(x, normal)` are those at x (m, d), where row i is the next point of path i, given all
    that the function of path i was at earlier: any two points of a path have the covariance of the
    posterior. normal (m, c) are standard normal. A path of h points takes 8 h (n + h) bytes.
    """

    def __init__(self, posterior: Posterior, paths: int, horizon: int):
        self.posterior, self.reached = posterior, 0
        labels = posterior.x
        self.points = labels.new_zeros(paths, horizon, labels.shape[1])
        self.halves = labels.new_zeros(paths, horizon, len(labels))  # L^-1 k(labels, point)
        self.roots = labels.new_zeros(paths, horizon, horizon)  # of the covariance of each path
        self.normals = labels.new_zeros(paths, horizon, posterior.y.shape[1])

    @torch.no_grad()
    def values(self, x: Float[Tensor, "m d"], normal: Float[Tensor, "m c"]):
        """The values of each path's function at its next point, (m, c), without noise."""
        posterior, t = self.posterior, self.reached
        x = checks.wide(x).to(posterior.x.device)
        k = gram_of(posterior.kernel, x, posterior.x)
        half = torch.linalg.solve_triangular(posterior.factor, k.mT, upper=False).mT
        whole = diagonal(posterior.kernel, x)
        left = whole - half.square().sum(1)
        root = self._root(x, half)
        left = left - root.square().sum(1)
        new = left > DEPENDENT * whole  # where it is not, the path has been here: no row for it
        self.points[:, t], self.halves[:, t], self.normals[:, t] = x, half, normal
        self.roots[:, t, :t] = root
        self.roots[:, t, t] = torch.where(new, left, 1.0).sqrt()
        drawn = (root.unsqueeze(1) @ self.normals[:, :t]).squeeze(1)
        drawn += torch.where(new, left, 0.0).sqrt()[:, None] * normal
        self.reached += 1
        return k @ posterior.coefficients + drawn * posterior.amplitude.sqrt()

    def _root(self, x, half):
        """The new row of the Cholesky factor of each path's covariance, but for its diagonal."""
        m, t = len(x), self.reached
        if not t:
            return x.new_zeros(m, 0)
        own = torch.arange(m, device=x.device)
        points = self.points[:, :t].reshape(m * t, -1)
        prior = gram_of(self.posterior.kernel, x, points).reshape(m, m, t)[own, own]
        covariance = prior - (self.halves[:, :t] @ half.unsqueeze(-1)).squeeze(-1)
        return torch.linalg.solve_triangular(
            self.roots[:, :t, :t], covariance.unsqueeze(-1), upper=False
        ).squeeze(-1)  # fmt: skip
