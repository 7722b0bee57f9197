"""Criteria: ways to judge a kernel by the data alone. Each is a number to make small.

All are called as criterion(kernel, x, y, nugget, rng), with x and y in float64, and draw n_fine
points from rng (at most all of them; None means all). None depends on the scale of the labels, but
for a constant, so no amplitude of the kernel is learned. Squared errors enter by their logarithm:
as they are, their gradient vanishes with the error. Several outputs are averaged; rho alone sums
their energies, as its definition does.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kflow import checks
from kflow.interpolation import gram_of
from kflow.learning.gram import energies_and_log_determinant, inverse, solve, weights_and_diagonal
from kflow.learning.rho import rho


def _batch(x, y, n_fine, rng, even=False):
    """n_fine of the points, drawn; all where there are fewer; an even number where asked."""
    n = len(x) if n_fine is None else min(n_fine, len(x))
    n -= n % 2 if even else 0
    if n == len(x):
        return x, y
    drawn = torch.randperm(len(x), generator=rng, device="cpu")[:n].to(x.device)
    lost = (y[drawn] == 0).all(0)
    if lost.any():
        raise FloatingPointError(
            f"all labels of output {int(lost.nonzero()[0])} are 0 among the {n} points of a batch, "
            f"which judge no kernel; pass a larger n_fine, of {len(x)} points at most, or centre "
            "the labels"
        )
    return x[drawn], y[drawn]


def _halves(n, halves, rng, device):
    """Pairs (kept, hidden) of positions, each half of n."""
    for _ in range(halves):
        order = torch.randperm(n, generator=rng, device="cpu").to(device)
        yield order[: n // 2], order[n // 2 :]


def _mean_log(squares: Tensor) -> Tensor:
    """The mean over outputs of the logarithm of the mean square."""
    return squares.mean(0).log().mean()


@dataclass(frozen=True)
class Rho:
    r"""The energy lost with half of the points, $1 - \|v_c\|^2/\|v_f\|^2$, averaged over `halves`.

    It is no proper score: for labels drawn from the kernel's own Gaussian process it is 1/2 on
    average, whatever the kernel, and it takes a nugget far too large; `learn` refits that
    afterwards. norm="native" takes the squared norm of v_f - v_c in the space of K alone, with the
    nugget in the solves only. log=True takes the logarithm.
    """

    n_fine: int | None = 200
    halves: int = 1
    norm: Literal["energy", "native"] = "energy"
    log: bool = False

    def __post_init__(self):
        _check_draws(self)
        checks.choice("norm", self.norm, ("energy", "native"))

    def __call__(self, kernel, x, y, nugget, rng) -> Tensor:
        """The criterion on one batch."""
        x, y = _batch(x, y, self.n_fine, rng, even=True)
        halves = list(_halves(len(x), self.halves, rng, x.device))
        coarse = torch.stack([kept for kept, _ in halves])
        if self.norm == "native":
            value = self._native(gram_of(kernel, x, x), nugget, x, y, coarse)
        elif self.halves > 1:
            value = rho(kernel, nugget, x, y, coarse)
        else:  # those that are kept before those that are hidden
            order = torch.cat(halves[0])
            value = rho(kernel, nugget, x[order], y[order], len(coarse[0]))
        return value.log() if self.log else value

    @staticmethod
    def _native(gram, nugget, x, y, coarse):
        fine = solve(gram, nugget, y, x)
        total = 0
        for c in coarse:
            kept = solve(gram[c][:, c], nugget, y[c], x[c])
            gap = fine - torch.zeros_like(fine).index_add(0, c, kept)
            total = total + (gap * (gram @ gap)).sum()
        return total / (len(coarse) * (fine * (gram @ fine)).sum())


@dataclass(frozen=True)
class HiddenHalf:
    """The logarithm of the mean squared error at the hidden half, from the kept half."""

    n_fine: int | None = 200
    halves: int = 1

    def __post_init__(self):
        _check_draws(self)

    def __call__(self, kernel, x, y, nugget, rng) -> Tensor:
        """The criterion on one batch."""
        x, y = _batch(x, y, self.n_fine, rng, even=True)
        gram, squares = gram_of(kernel, x, x), []
        for c, h in _halves(len(x), self.halves, rng, x.device):
            predicted = gram[h][:, c] @ solve(gram[c][:, c], nugget, y[c], x[c])
            squares.append((y[h] - predicted).square())
        return _mean_log(torch.cat(squares))


@dataclass(frozen=True)
class LeaveOneOut:
    """Each point predicted from all others, in closed form.

    loss="log_squared" is the logarithm of the mean squared error; "log_predictive" minus the mean
    logarithm of the predictive density at the best amplitude (but for a constant).
    """

    n_fine: int | None = None
    loss: Literal["log_squared", "log_predictive"] = "log_predictive"

    def __post_init__(self):
        _check_draws(self)
        checks.choice("loss", self.loss, ("log_squared", "log_predictive"))

    def __call__(self, kernel, x, y, nugget, rng) -> Tensor:
        """The criterion on one batch."""
        x, y = _batch(x, y, self.n_fine, rng)
        weights, diagonal = weights_and_diagonal(gram_of(kernel, x, x), nugget, y, x)
        variances = 1 / diagonal[:, None]
        return loo_loss(weights * variances, variances, self.loss)


def loo_loss(residuals: Tensor, variances: Tensor, loss: str, dim: int = 0) -> Tensor:
    """The loss of leave-one-out residuals and their variances, both with the points in dim."""
    if loss == "log_squared":
        return residuals.square().mean(dim).log().mean()
    amplitude = (residuals.square() / variances).mean(dim)
    return 0.5 * (amplitude.log() + variances.log().mean(dim)).mean()


@dataclass(frozen=True)
class KFold:
    """The logarithm of the mean squared error of k folds, each predicted from all others."""

    k: int = 5
    n_fine: int | None = None

    def __post_init__(self):
        checks.integer("k", self.k, least=2)
        _check_draws(self)

    def __call__(self, kernel, x, y, nugget, rng) -> Tensor:
        """The criterion on one batch."""
        x, y = _batch(x, y, self.n_fine, rng)
        if self.k > len(x):
            raise ValueError(f"k must be at most the {len(x)} points of a batch, not {self.k}")
        p = inverse(gram_of(kernel, x, x), nugget, x)
        weights, order = p @ y, torch.randperm(len(x), generator=rng, device="cpu").to(x.device)
        folds = order.tensor_split(self.k)
        residuals = [torch.linalg.solve(p[i][:, i], weights[i]) for i in folds]
        return _mean_log(torch.cat(residuals).square())


@dataclass(frozen=True)
class MarginalLikelihood:
    """Minus the logarithm of the marginal likelihood per point, at the best amplitude."""

    n_fine: int | None = None

    def __post_init__(self):
        _check_draws(self)

    def __call__(self, kernel, x, y, nugget, rng) -> Tensor:
        """The criterion on one batch."""
        x, y = _batch(x, y, self.n_fine, rng)
        energy, log_determinant = energies_and_log_determinant(gram_of(kernel, x, x), nugget, y, x)
        return 0.5 * ((energy / len(x)).log().mean() + log_determinant / len(x))


def _check_draws(criterion):
    if criterion.n_fine is not None:
        checks.integer("n_fine", criterion.n_fine, least=2)
    if hasattr(criterion, "halves"):
        checks.integer("halves", criterion.halves, least=1, most=10**6)
