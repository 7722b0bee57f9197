"""Paths that a series may take: each follows one function of those that the past leaves open."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from kflow.estimators import KernelFlowRegressor
from kflow.learning.draws import Draws

TOGETHER = 32  # paths
BYTES = 2.5e8  # of the draws of paths together, where one path does not need more


def correlation_of(residuals: Float[torch.Tensor, "n c"]) -> Float[torch.Tensor, "c c"]:
    """The correlation of what was missed, about 0; a variable that was never missed has none."""
    sizes = residuals.square().sum(0).sqrt()
    scaled = residuals / torch.where(sizes > 0, sizes, 1.0)
    return (scaled.mT @ scaled).fill_diagonal_(1)


class Paths:
    """A regressor whose predictions, noise included, are draws: row i is the next one of path i."""

    def __init__(self, regressor: KernelFlowRegressor, normals: Float[torch.Tensor, "m h 2 c"]):
        self.regressor, (paths, horizon, *_) = regressor, normals.shape
        self.draws = Draws(regressor.posterior_, paths, horizon)
        self.normals = iter(normals.to(regressor.posterior_.x).unbind(1))

    def predict(self, X) -> ndarray:  # noqa: N803, scikit-learn's name
        """The next values, (m, c), in the units of the labels."""
        normals, posterior = next(self.normals), self.draws.posterior
        drawn = self.draws.values(self.regressor._new(X), normals[:, 0])
        drawn += (posterior.nugget * posterior.amplitude).sqrt() * normals[:, 1]
        return drawn.cpu().numpy() * self.regressor.y_scale_ + self.regressor.y_mean_


def drawn(
    regressor: KernelFlowRegressor,
    starts: Float[ndarray, "m w d"],
    horizon: int,
    iterate: Callable,
    correlation: Float[torch.Tensor, "c c"],
    rng: torch.Generator,
) -> Float[ndarray, "m h d"]:
    """A path from each of the starts, by `iterate(starts, predict)`; some of them at a time."""
    posterior = regressor.posterior_
    shape = (len(starts), horizon, 2, posterior.y.shape[1])
    normals = torch.randn(shape, generator=rng, dtype=torch.float64, device="cpu")
    values, vectors = torch.linalg.eigh(correlation.cpu())  # singular where variables are equal
    normals = normals @ (vectors * values.clamp_min(0).sqrt()).mT
    each = 8 * horizon * (len(posterior.x) + horizon)
    together = min(TOGETHER, max(1, int(BYTES / each)))
    blocks = zip(range(0, len(starts), together), normals.split(together), strict=True)
    return np.concatenate(
        [
            iterate(starts[first : first + together], Paths(regressor, part).predict)
            for first, part in blocks
        ]
    )
