"""Prediction with error bars: the Gaussian process of a kernel, given labels with noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks
from kflow.checks import NotPositiveDefinite
from kflow.interpolation import BLOCK, Kernel, gram_of, solve
from kflow.kernels import Radial
from kflow.learning.parametric import ParametricKernel, numbers

LOST = 1e-3  # of a variance, to rounding: an amplitude is then right within about one percent
MOST = 290  # the power of ten of an amplitude, or of its inverse, that a variance is a share of


def diagonal(kernel, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """k(x_i, x_i) of any kernel, (n,)."""
    if isinstance(kernel, Radial):
        return torch.ones(len(x), dtype=x.dtype, device=x.device)
    if hasattr(kernel, "diagonal"):
        return kernel.diagonal(x).to(x)
    return torch.cat([gram_of(kernel, part, part).diagonal() for part in x.split(64)])


@dataclass(frozen=True)
class Posterior:
    r"""The Gaussian process with covariance amplitude k and noise amplitude nugget, given labels.

    Made by `condition`. The variance of output c at a new point is
    $a_c\,(k(x,x) - k_x^T (K + \nu I)^{-1} k_x\;[+\;\nu])$, the bracket with noise=True: noise=False
    is the uncertainty of the function, noise=True that of a new label.
    """

    kernel: Kernel
    x: Float[Tensor, "n d"]
    y: Float[Tensor, "n c"]
    nugget: float
    coefficients: Float[Tensor, "n c"]
    factor: Float[Tensor, "n n"]
    amplitude: Float[Tensor, " c"]

    def mean(self, x_new: Float[Tensor, "m d"]) -> Float[Tensor, "m c"]:
        """The mean at new points, which is `interpolate`'s."""
        return self._blocks(x_new, lambda k, _: k @ self.coefficients)

    def std(self, x_new: Float[Tensor, "m d"], noise: bool = False) -> Float[Tensor, "m c"]:
        """The standard deviation at new points; of a new label with noise=True."""
        checks.flag("noise", noise)

        def variance(k, block):
            half = torch.linalg.solve_triangular(self.factor, k.mT, upper=False)
            left = (diagonal(self.kernel, block) - half.square().sum(0)).clamp_min(0)
            return (left + noise * self.nugget)[:, None] * self.amplitude

        return self._blocks(x_new, variance).sqrt()

    def covariance(self, x_new: Float[Tensor, "m d"], noise: bool = False) -> Tensor:
        """The covariance of the values at new points, (c, m, m); of labels with noise=True."""
        checks.matrix("x_new", x_new, columns=self.x.shape[1])
        checks.flag("noise", noise)
        x_new = checks.wide(x_new).to(self.x.device)
        half = torch.linalg.solve_triangular(
            self.factor, gram_of(self.kernel, self.x, x_new), upper=False
        )
        left = gram_of(self.kernel, x_new, x_new) - half.mT @ half
        left.diagonal().add_(noise * self.nugget)
        return self.amplitude[:, None, None] * left

    def sample(self, x_new, size: int, rng: torch.Generator, noise=False) -> Tensor:
        """Draws of the values (of labels with noise=True) at new points, (size, m, c)."""
        checks.integer("size", size, least=1, most=10**9)
        checks.generator(rng)
        mean, covariance = self.mean(x_new), self.covariance(x_new, noise)
        values, vectors = torch.linalg.eigh(covariance)  # singular where a new point is an old one
        root = vectors * values.clamp_min(0).sqrt().unsqueeze(-2)
        normal = torch.randn(
            size, *root.shape[:2], generator=rng, dtype=torch.float64, device="cpu"
        )
        return mean + (root @ normal.to(root.device).unsqueeze(-1)).squeeze(-1).mT

    def leave_one_out(self) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
        """The mean and the standard deviation of each label, noise included, given all others."""
        variances = 1 / torch.cholesky_inverse(self.factor).diagonal()[:, None]
        return self.y - self.coefficients * variances, (variances * self.amplitude).sqrt()

    def leave_out(self, parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The mean and the standard deviation, noise included, of each label given other parts'.

        parts are the numbers of the rows of each (int64), and hold every row once; ValueError or
        TypeError where they do not. Both results are (n, c).
        """
        _check_parts(parts, len(self.x))
        mean, variances = torch.empty_like(self.y), torch.empty_like(self.y[:, :1])
        for part in (part.to(self.x.device) for part in parts):
            first = int(part.min())  # the columns of L^-1 are zero above it
            columns = self.factor.new_zeros(len(self.x) - first, len(part))
            columns[part - first, torch.arange(len(part), device=part.device)] = 1
            columns = torch.linalg.solve_triangular(
                self.factor[first:, first:], columns, upper=False
            )
            root = torch.linalg.qr(columns, mode="r").R
            unit = torch.eye(len(part), dtype=root.dtype, device=root.device)
            root = torch.linalg.solve_triangular(root, unit, upper=True)
            mean[part] = self.y[part] - root @ (root.mT @ self.coefficients[part])
            variances[part] = root.square().sum(1, keepdim=True)
        return mean, (variances * self.amplitude).sqrt()

    def residuals(self, parts: Sequence[Tensor]) -> Float[Tensor, "n c"]:
        """What `leave_out` misses each label by, at amplitude 1 in units of its deviation."""
        mean, std = replace(self, amplitude=torch.ones_like(self.amplitude)).leave_out(parts)
        return (self.y - mean) / std

    def calibrated(self, parts: Sequence[Tensor]) -> "Posterior":
        """With the amplitude at which leaving out parts has squared errors as large as variances.

        For rows that resemble those of their own part more than new ones: neighbours in time, say.
        """
        return replace(self, amplitude=_mean_square(self.residuals(parts), self.y))

    def log_likelihood(self, amplitude: Tensor | None = None) -> Float[Tensor, " c"]:
        """The logarithm of the marginal likelihood of each output, at this or another amplitude.

        It is infinite for an output whose labels are all 0, at the amplitude 0 that fits them.
        """
        amplitude = self.amplitude if amplitude is None else _amplitude(amplitude, self.y)
        n = len(self.x)
        energy = (self.y * self.coefficients).sum(0) / torch.where(amplitude > 0, amplitude, 1.0)
        log_determinant = 2 * self.factor.diagonal().log().sum() + n * amplitude.log()
        return -0.5 * (energy + log_determinant + n * math.log(2 * math.pi))

    def _blocks(self, x_new, value) -> Tensor:
        checks.matrix("x_new", x_new, columns=self.x.shape[1])
        x_new = checks.wide(x_new).to(self.x.device)
        with torch.no_grad():
            return torch.cat(
                [value(gram_of(self.kernel, b, self.x), b) for b in x_new.split(BLOCK)]
            )


def condition(
    kernel, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"], nugget: float, amplitude=None
) -> Posterior:
    """The Gaussian process given labels y at x, for any kernel; computed in float64.

    The amplitude (c,) is by default the one that leaving one out calibrates: the mean of squared
    residuals in units of their variance. Raises what `interpolate` raises, and ValueError where
    labels are so small or so large that float64 does not hold the amplitude, NotPositiveDefinite
    where K + nugget I is so ill-conditioned that rounding is more than 1e-3 of those variances.
    """
    if isinstance(kernel, ParametricKernel):
        kernel = kernel.freeze()  # what its owner learns later is not what was solved
    with torch.no_grad():
        x, y, factor, coefficients = solve(kernel, x, y, nugget)
    if amplitude is None:
        inverse = torch.cholesky_inverse(factor).diagonal()[:, None]
        _check_inverse(inverse, factor, float(nugget))
        amplitude = _mean_square(coefficients / inverse.sqrt(), y)
    else:
        amplitude = _amplitude(amplitude, y)
    return Posterior(kernel, x, y, float(nugget), coefficients, factor, amplitude)


def _check_inverse(inverse: Float[Tensor, "n 1"], factor: Float[Tensor, "n n"], nugget: float):
    """Refuse to take an amplitude from variances that are rounding by more than LOST."""
    lost = torch.finfo(factor.dtype).eps * float(inverse.max() * factor.square().sum(1).max())
    if lost > LOST:
        raise NotPositiveDefinite(
            f"the Gram matrix is so ill-conditioned with nugget {nugget:g} that rounding is "
            f"{lost:.1g} of the variance of a label, given the others, so that the labels tell no "
            "amplitude; pass a larger nugget, or the amplitude"
        )


def _mean_square(residuals: Tensor, y: Float[Tensor, "n c"]) -> Float[Tensor, " c"]:
    """An amplitude, which the square root of a variance in its units must not underflow."""
    found = residuals.square().mean(0)
    lost = (y != 0).any(0) & ~found.log10().abs().le(MOST)
    if lost.any():
        output = int(lost.nonzero()[0])
        raise ValueError(
            f"the amplitude of output {output}, whose labels reach "
            f"{float(y[:, output].abs().max()):.3g}, is beyond 1e-{MOST} to 1e{MOST}; use other "
            "units for the labels, or a smaller nugget"
        )
    return found


def _check_parts(parts: Sequence[Tensor], n: int):
    """Refuse parts that do not hold each of n rows once."""
    for part in parts:
        if not isinstance(part, Tensor) or part.dtype != torch.int64 or part.ndim != 1:
            raise TypeError(f"each part must be a vector of int64 numbers of rows, not {part!r}")
        if not len(part):
            raise ValueError("a part is empty; leave it out")
    rows = torch.cat([torch.arange(0, device="cpu"), *(part.cpu() for part in parts)])
    outside = rows[(rows < 0) | (rows >= n)]
    if len(outside):
        raise ValueError(f"parts must hold rows 0 to {n - 1}, not {int(outside[0])}")
    times = rows.bincount(minlength=n)
    if (times != 1).any():
        row = int((times != 1).nonzero()[0])
        raise ValueError(f"parts must hold each row once, but row {row} {int(times[row])} times")


def _amplitude(value, y: Float[Tensor, "n c"]) -> Float[Tensor, " c"]:
    """A number for each output, from 1e-100 to 1e100; or 0, of labels that are all 0."""
    found = numbers("amplitude", value).reshape(-1).to(y, copy=True)
    outputs = y.shape[1]
    if found.numel() in (1, outputs):
        found = found.expand(outputs)
        nothing = (found == 0) & (y == 0).all(0)
        if (nothing | found.log10().abs().le(100)).all():
            return found
    raise ValueError(
        f"amplitude must be one number from 1e-100 to 1e100, or {outputs}, one for each output, "
        f"not {value!r}"
    )
