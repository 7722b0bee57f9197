"""The energies of the two interpolants of a game, and how their share answers to the kernel."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from kflow.distances import squared_distances_in
from kflow.interpolation import factorise, whiten, with_nugget
from kflow.kernels import Radial, followed


class Energies(NamedTuple):
    """Energies |L^-1 y|^2 of all points and of the coarse ones, the L and the L^-1 y."""

    fine: Tensor
    coarse: Tensor
    factor: Tensor
    white: Tensor
    factor_coarse: Tensor
    white_coarse: Tensor
    inverse: Tensor | None = None

    @property
    def share(self) -> Tensor:
        """The share of the energy that the coarse points keep, 1 - rho."""
        return self.coarse / self.fine


def energies(
    gram: Float[Tensor, "*b n n"],
    nugget: float,
    x: Float[Tensor, "*b n d"] | None,
    y: Float[Tensor, "*b n c"],
    coarse: Tensor | int,
) -> Energies:
    """The energies under a Gram matrix of the points x that the nugget was added to.

    coarse are positions, or a number: then so many of the first points are kept, and one Cholesky
    factor serves both interpolants, for its leading block is the factor of theirs. Raises where the
    game cannot be played; with x = None all its results are NaN instead. Leading dimensions
    broadcast.
    """
    factor, inverse = factorise(gram, nugget, x), None
    if isinstance(coarse, int):
        inverse = _inverse(factor)
        white = whiten(factor, y) if inverse is None else inverse @ y
        factor_coarse, white_coarse = factor[..., :coarse, :coarse], white[..., :coarse, :]
    else:
        rows = coarse.unsqueeze(-1)
        gram_coarse = gram.take_along_dim(rows, -2).take_along_dim(coarse.unsqueeze(-2), -1)
        x_coarse = None if x is None else x.take_along_dim(rows, -2)
        white = whiten(factor, y)
        factor_coarse = factorise(gram_coarse, nugget, x_coarse)
        white_coarse = whiten(factor_coarse, y.take_along_dim(rows, -2))
    fine, kept = (part.square().sum((-2, -1)) for part in (white, white_coarse))
    if x is not None and not (fine > 0).all():
        raise ValueError(
            "y is zero on all of the drawn points, or its squares are, so rho is 0/0; label some "
            "of them, or take other units"
        )
    return Energies(fine, kept, factor, white, factor_coarse, white_coarse, inverse)


def _inverse(factor: Tensor) -> Tensor | None:
    """L^-1 on a GPU, where products with it take a third of the time of triangular solves."""
    if not factor.is_cuda:
        return None
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, eye, upper=False)


def gradient_of_rho(found: Energies, coarse: Tensor | int) -> tuple[Tensor, Tensor]:
    r"""Two (..., n, 2c) whose product $W = A B^T$ has $d\rho = \mathrm{tr}(W\, dK)$.

    With $\hat Y = K_f^{-1} y$, $\hat Y_c = \pi^T K_c^{-1} \pi y$ and D the energy of all,
    $W = (\hat Y_c \hat Y_c^T - (1-\rho) \hat Y \hat Y^T) / D$.
    """
    y_hat, z_hat = _coefficients(found, coarse)
    kept = found.share[..., None, None]
    a = torch.cat([z_hat, -kept * y_hat], -1) / found.fine[..., None, None]
    return a, torch.cat([z_hat, y_hat.expand_as(z_hat)], -1)


def _coefficients(found: Energies, coarse: Tensor | int) -> tuple[Tensor, Tensor]:
    """Those of both interpolants, (..., n, c); of the coarse one they are 0 at hidden points."""
    white, short = found.white, found.white_coarse
    if isinstance(coarse, int):
        both = torch.cat([white, F.pad(short, (0, 0, 0, white.shape[-2] - coarse))], -1)
        if found.inverse is None:
            both = torch.linalg.solve_triangular(found.factor.mT, both, upper=True)
        else:
            both = found.inverse.mT @ both
        y_hat, z_hat = both.tensor_split(2, -1)
        return y_hat, z_hat
    y_hat = torch.linalg.solve_triangular(found.factor.mT, white, upper=True)
    solved = torch.linalg.solve_triangular(found.factor_coarse.mT, short, upper=True)
    z_hat = solved.new_zeros(*solved.shape[:-2], *white.shape[-2:])
    return y_hat, z_hat.scatter(-2, coarse.unsqueeze(-1).expand_as(solved), solved)


def radial_energies(
    kernel: Radial, nugget: float, z: Float[Tensor, "*b n d"], x, y, coarse
) -> tuple[Energies, Tensor]:
    """The energies under a radial kernel of z, and what `radial_gradient` takes beside them.

    The points z are near the origin, which the kernel does not see; x, y and coarse as above.
    """
    unit = math.inf if x is None else kernel.gamma  # without points no device waits for them
    r2 = squared_distances_in(unit, z, z, z, z)
    if followed(r2):  # autograd wants what would be overwritten: the equation's Jacobian
        gram, beside = with_nugget(kernel.of_squared(r2), nugget), kernel.slope(r2)
    else:
        gram, beside = kernel.of_squared_(r2)
        gram.diagonal(dim1=-2, dim2=-1).add_(nugget)  # which `radial_gradient` does not read
    return energies(gram, nugget, x, y, coarse), beside


def radial_gradient(
    kernel: Radial, z: Float[Tensor, "*b n d"], beside: Tensor, a: Tensor, b: Tensor
) -> Tensor:
    """The gradient of tr(a b^T K) with respect to the points z, for a symmetric a b^T.

    The leading dimensions of a and b may be more than those of z, (..., n, d).
    """
    v = a @ b.mT
    v = v * beside if followed(beside) else kernel.times_slope_(v, beside)
    v.diagonal(dim1=-2, dim2=-1).zero_()  # else its rounding is all there is of points far apart
    return 4 * (v.sum(-2).unsqueeze(-1) * z - (z.mT @ v).mT)  # both of columns: v is rounded
