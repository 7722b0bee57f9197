"""The nugget of a given kernel by leaving one out, for all nuggets by one eigendecomposition."""

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from kflow import checks
from kflow.interpolation import gram_of
from kflow.learning.criteria import loo_loss

SMALLEST, LARGEST = 1e-9, 1e3  # of a nugget, relative to the mean of k(x, x)
ENOUGH = 2000  # points from which a nugget is taken: the decomposition grows as their cube


def loo_nugget(kernel, x, y, rng: torch.Generator, most=ENOUGH, loss="log_predictive") -> float:
    r"""The nugget of least leave-one-out loss, on at most so many of the points, drawn with rng.

    With $K = U \Lambda U^T$ the weights $(K + \nu I)^{-1} y$ and the diagonal of $(K + \nu I)^{-1}$
    cost n^2 for each further $\nu$. Raises ValueError on bad arguments.
    """
    checks.kernel("kernel", kernel)
    checks.points_and_labels(x, y)
    checks.integer("most", most, least=2)
    checks.generator(rng)
    checks.choice("loss", loss, ("log_squared", "log_predictive"))
    drawn = torch.randperm(len(x), generator=rng, device="cpu")[:most].to(x.device)
    x, y = checks.wide(x.detach())[drawn], checks.wide(y.detach())[drawn]
    y = y[:, (y != y[0]).any(0)]
    if y.shape[1] == 0:
        raise ValueError("the labels are constant, so no nugget can be learned from them")
    with torch.no_grad():
        gram = gram_of(kernel, x, x)
        unit = float(gram.diagonal().mean())
        if not 0 < unit < math.inf:
            raise ValueError(f"k(x, x) is {unit:g} on average; it must be positive and finite")
        values, vectors = torch.linalg.eigh(gram)
        values = values.clamp_min_(0)
        curve = _Curve(values, vectors.mT @ y, vectors, loss)
        grid = [unit * SMALLEST * (LARGEST / SMALLEST) ** (i / 36) for i in range(37)]
        losses = [curve(nugget) for nugget in grid]
        best = min(range(len(grid)), key=losses.__getitem__)
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        found = minimize_scalar(
            lambda e: curve(10**e),
            bounds=(math.log10(low), math.log10(high)), method="bounded", options={"xatol": 1e-3},
        )  # fmt: skip
    return grid[best] if losses[best] <= found.fun else float(10**found.x)


class _Curve:
    """The leave-one-out loss as a function of the nugget."""

    def __init__(self, values: Tensor, rotated: Tensor, vectors: Tensor, loss: str):
        self.values, self.rotated, self.vectors, self.loss = values, rotated, vectors, loss
        self.squares = vectors.square()

    def __call__(self, nugget: float) -> float:
        shrink = 1 / (self.values + nugget)
        weights = self.vectors @ (shrink[:, None] * self.rotated)
        variances = 1 / (self.squares @ shrink)[:, None]
        return float(loo_loss(weights * variances, variances, self.loss))
