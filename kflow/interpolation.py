"""Kriging: the interpolant of least norm, and its squared norm, the energy."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks
from kflow.checks import NotPositiveDefinite
from kflow.distances import squared_distances_in
from kflow.kernels import Radial

Kernel = Callable[[Tensor, Tensor], Tensor]
BLOCK = 512  # new points handled at once: what is made of them stays in the cache
SMALLEST_PIVOT = 1e-13  # relative; below it a pivot in float64 is rounding, not information
MISSED = 1e-3  # of the largest label: what a solution that is no mere rounding misses one by


@dataclass(frozen=True)
class Interpolant:
    """v = K(., x) coefficients. Made by `interpolate`; call it on new points.

    It has its own copy of the points. A kernel with parameters stays the caller's, so that
    gradients reach them; `freeze` it where it goes on learning.
    """

    kernel: Kernel
    x: Float[Tensor, "n d"]
    coefficients: Float[Tensor, "n c"]
    energy: float

    def __call__(self, x_new: Float[Tensor, "m d"]) -> Float[Tensor, "m c"]:
        """Values at new points, (m, c), in the dtype and on the device of x_new."""
        checks.matrix("x_new", x_new, columns=self.x.shape[1])
        checks.same_place("x_new", checks.wide(x_new[:0]), "x", self.x)
        k = kernel_to(self.kernel, self.x)
        blocks = [k(checks.wide(block)) @ self.coefficients for block in x_new.split(BLOCK)]
        return narrowed("values", torch.cat(blocks), x_new)


def narrowed(name: str, values: Tensor, like: Tensor) -> Tensor:
    """Values in the dtype of like, and where it is; ValueError where they are too large for it."""
    found = values.to(like.dtype)
    if found.dtype != values.dtype:
        lost = torch.isfinite(values) & ~torch.isfinite(found)
        if lost.any():
            raise ValueError(
                f"{name} of {float(values[lost].abs().max()):.3g} are too large for "
                f"{found.dtype}; give the points in a wider dtype"
            )
    return found.to(like.device)


def kernel_to(kernel: Kernel, x: Float[Tensor, "n d"]) -> Callable[[Tensor], Tensor]:
    """k(., x) for points x that were checked; a radial kernel centres them once, not every time."""
    if not isinstance(kernel, Radial):
        return lambda block: gram_of(kernel, block, x)
    centre = x.detach().mean(dim=0)
    centred = x - centre
    norms = centred.square().sum(1)
    return lambda block: kernel.of_own_squared(
        squared_distances_in(kernel.gamma, block, x, block - centre, centred, norms)
    )


def interpolate(
    kernel: Kernel, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"], nugget: float = 0.0
) -> Interpolant:
    r"""The interpolant $v = K(\cdot, x)\,(K + \text{nugget}\, I)^{-1} y$; solved in float64.

    Its `energy`, $\mathrm{tr}\, y^T (K + \text{nugget}\, I)^{-1} y$, is the squared norm of v if
    the nugget is 0. Raises NotPositiveDefinite where the Gram matrix has no Cholesky factor, or is
    so ill-conditioned that $(K + \text{nugget}\, I)$ times the coefficients misses a label by more
    than 1e-3 of the largest; ValueError where that is because the kernel is not symmetric.
    """
    solved = solve(kernel, x, y, nugget)
    energy = float(energy_of(solved.factor, solved.y).detach())
    return Interpolant(kernel, solved.x, solved.coefficients, energy)


class Solved(NamedTuple):
    """Copies of points and labels in float64, the factor of K + nugget I, its inverse times y."""

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "n c"]
    factor: Float[Tensor, "n n"]
    coefficients: Float[Tensor, "n c"]


def solve(kernel: Kernel, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"], nugget) -> Solved:
    """The equation of `interpolate`, with all that it asks of its arguments."""
    checks.kernel("kernel", kernel)
    checks.points_and_labels(x, y)
    if not len(x):
        raise ValueError("x holds no point, so there is nothing to interpolate; give at least one")
    nugget = checks.number("nugget", nugget, least=0)
    x, y = checks.wide(x).clone(), checks.wide(y).clone()
    gram = gram_of(kernel, x, x)
    factor = cholesky(gram, nugget, x)
    coefficients = torch.cholesky_solve(y, factor)
    check_fit(gram, nugget, x, y, coefficients)
    return Solved(x, y, factor, coefficients)


@torch.no_grad()
def check_fit(gram: Float[Tensor, "n n"], nugget: float, x, y, coefficients):
    """Refuse coefficients that miss a label by more than MISSED: they are rounding, not data."""
    missed = (gram @ coefficients).add_(coefficients, alpha=nugget).sub_(y).abs_().amax(0)
    largest = y.abs().amax(0)
    if (missed <= MISSED * largest).all():  # NaN is not
        return
    bent = (gram - gram.mT).abs_()
    if bent.max() > MISSED * gram.abs().max():
        i, j = divmod(int(bent.argmax()), len(x))
        raise ValueError(
            f"the kernel is not symmetric: k(x, z) is {float(gram[i, j]):g} and k(z, x) is "
            f"{float(gram[j, i]):g} for points {i} and {j}; give a symmetric one"
        )
    share = float((missed / torch.where(largest > 0, largest, 1.0)).max())
    why = f"is so ill-conditioned that the solution misses a label by {share:.1g} of the largest"
    raise _not_positive_definite(why, nugget, x)


def energy_of(factor: Float[Tensor, "*b n n"], y: Float[Tensor, "*b n c"]) -> Tensor:
    """The energy as a sum of squares, hence never negative: |L^-1 y|^2 where the Gram is L L^T."""
    return whiten(factor, y).square().sum((-2, -1))


def whiten(factor: Float[Tensor, "*b n n"], y: Float[Tensor, "*b n c"]) -> Tensor:
    """L^-1 y, whose columns have the identity for their covariance where those of y have L L^T."""
    return torch.linalg.solve_triangular(factor, y, upper=False)


def gram_of(kernel: Kernel, x: Float[Tensor, "n d"], z: Float[Tensor, "m d"]) -> Tensor:
    """kernel(x, z), (n, m), in the dtype of x; TypeError or ValueError where it is no matrix."""
    found = kernel(x, z)
    if not isinstance(found, Tensor):
        raise TypeError(f"the kernel must return a torch.Tensor, not {type(found).__name__}")
    if found.shape != (len(x), len(z)):
        raise ValueError(
            f"the kernel must return a matrix of {len(x)} x {len(z)} for as many points, "
            f"but its shape is {checks.shape(found)}"
        )
    return found.to(x.dtype)


def with_nugget(gram: Float[Tensor, "*b n n"], nugget: float) -> Tensor:
    """gram + nugget I."""
    if nugget:
        gram = gram.clone()
        gram.diagonal(dim1=-2, dim2=-1).add_(nugget)
    return gram


def cholesky(
    gram: Float[Tensor, "*b n n"], nugget: float, x: Float[Tensor, "*b n d"] | None
) -> Tensor:
    """The lower factor of gram + nugget I; raises as `factorise` does."""
    return factorise(with_nugget(gram, nugget), nugget, x)


def factorise(
    gram: Float[Tensor, "*b n n"], nugget: float, x: Float[Tensor, "*b n d"] | None
) -> Tensor:
    """The lower factor of a Gram matrix that the nugget was added to.

    Raises NotPositiveDefinite, naming the closest two of the points x, where there is none. With
    x = None it fills that factor with NaN instead, which no device has to wait for.
    """
    factor, info = torch.linalg.cholesky_ex(gram)
    pivots = factor.detach().diagonal(dim1=-2, dim2=-1).square()
    negligible = pivots <= SMALLEST_PIVOT * gram.detach().diagonal(dim1=-2, dim2=-1)
    failed = (info > 0) | (negligible | pivots.isnan()).any(-1)
    if x is None:
        return factor.masked_fill(failed[..., None, None], torch.nan)
    if failed.any():
        which = tuple(failed.nonzero()[0])
        if torch.isfinite(x).all() and not torch.isfinite(gram).all():
            raise NotPositiveDefinite("the kernel is NaN or infinite at some pair of these points")
        pivot = int(info[which]) - 1
        if pivot < 0:
            pivot = int(negligible[which].nonzero()[0])
        why = f"fails at pivot {pivot}"
        raise _not_positive_definite(why, nugget, x[which] if which else x)
    return factor


def _not_positive_definite(why: str, nugget: float, x: Tensor) -> NotPositiveDefinite:
    if not torch.isfinite(x).all():
        return NotPositiveDefinite("the Gram matrix holds NaN or infinity, as the points do")
    n = len(x)
    if n < 2:
        return NotPositiveDefinite("the Gram matrix of one point is not positive: check the kernel")
    x = x.detach()
    # without a product of matrices, which takes points far from the origin for one
    distances = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(float("inf"))
    i, j = divmod(int(distances.argmin()), n)
    suggestion = max(1e-8, 100 * nugget)
    return NotPositiveDefinite(
        f"the Gram matrix of {n} points {why} with nugget {nugget:g}: points {i} and {j} are "
        f"{float(distances[i, j]):.1e} apart; drop one, or pass a nugget of about {suggestion:.0e}",
        (i, j),
        x[[i, j]],
    )


@contextlib.contextmanager
def rows_of(x: Float[Tensor, "n d"]):
    """Around what takes some of the points x: a NotPositiveDefinite then names their rows in x."""
    try:
        yield
    except NotPositiveDefinite as error:
        if error.pair is None or error.points is None:
            raise
        same = (checks.wide(x.detach()) == point for point in error.points)
        first, second = (each.all(1).nonzero()[:, 0].tolist() for each in same)
        if not (first and second):
            raise
        pair = (first[0], second[-1])  # the first and the last of those that coincide
        said = "points {} and {} are".format
        message = str(error).replace(said(*error.pair), said(*pair))
        raise NotPositiveDefinite(message, pair, error.points) from None
