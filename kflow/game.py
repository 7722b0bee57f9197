"""The interpolation game: rho, what is lost when half of the points are hidden; its gradient."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from kflow import checks
from kflow.interpolation import Kernel, cholesky, narrowed, whiten
from kflow.kernels import Radial, squared_distances_of_centred

MANY = 10**6  # points of which a draw no longer permutes all


class Sample(NamedTuple):
    """A draw of the game: `fine` are points of the data, `coarse` positions within `fine`."""

    fine: Int[Tensor, " n_fine"]
    coarse: Int[Tensor, " n_coarse"]

    def coarse_first(self) -> Int[Tensor, " n_fine"]:
        """The points of `fine`, those that are kept before those that are hidden."""
        hidden = torch.ones(len(self.fine), dtype=torch.bool, device="cpu")
        hidden[self.coarse] = False
        return torch.cat([self.fine[self.coarse], self.fine[hidden]])


def draw(n_points: int, n_fine: int, rng: torch.Generator) -> Sample:
    """Draw n_fine of n_points, then half of those; uniform, without replacement.

    Raises ValueError where n_fine is odd, below 2 or above n_points.
    """
    checks.integer("n_points", n_points, least=2, most=2**62)
    checks.batch_size(n_fine, n_points)
    checks.generator(rng)
    fine = _distinct(n_points, n_fine, rng)
    coarse = torch.randperm(n_fine, generator=rng, device="cpu")[: n_fine // 2]
    return Sample(fine, coarse)


def _distinct(n_points: int, size: int, rng: torch.Generator) -> Tensor:
    """Different numbers below n_points, uniform; of many points by drawing until enough differ.

    A permutation takes time and memory in proportion to n_points.
    """
    if n_points < MANY or 2 * size > n_points:
        return torch.randperm(n_points, generator=rng, device="cpu")[:size]
    found: dict[int, None] = {}
    while len(found) < size:
        found |= dict.fromkeys(
            torch.randint(n_points, (size,), generator=rng, device="cpu").tolist()
        )
    return torch.tensor(list(found)[:size], device="cpu")


def rho(
    kernel: Kernel,
    z: Float[Tensor, "n d"],
    y: Float[Tensor, "n c"],
    coarse: Int[Tensor, " m"],
    nugget: float = 0.0,
) -> Tensor:
    r"""Share of the energy lost by keeping the `coarse` points: $1 - \|v_c\|^2 / \|v_f\|^2$.

    A scalar in [0, 1] (Owhadi and Yoo, arXiv:1808.04475). K stands for
    K + nugget I in both terms and the outputs are summed (trace). Raises ValueError on bad
    arguments or zero labels, NotPositiveDefinite where points coincide and the nugget is 0.
    """
    _check(z, y, coarse, nugget)
    wide = checks.wide(z)
    y, coarse = y.to(wide), coarse.to(wide.device)
    energies = _energies(kernel(wide, wide), wide, y, coarse, nugget)
    return (1 - energies.coarse / energies.fine).to(z)


def rho_and_gradient(
    kernel: Kernel,
    z: Float[Tensor, "n d"],
    y: Float[Tensor, "n c"],
    coarse: Int[Tensor, " m"],
    nugget: float = 0.0,
) -> tuple[Tensor, Float[Tensor, "n d"]]:
    """rho and its gradient with respect to z, (n, d), per unit of z.

    In closed form for the radial kernels of `kflow.kernels`, by autograd for any other callable.
    Raises what `rho` raises.
    """
    _check(z, y, coarse, nugget)
    wide = checks.wide(z)
    if isinstance(kernel, Radial):
        wide = centred(wide)
    played = play(kernel, wide, y.to(wide), coarse.to(wide.device), nugget)
    return played.rho.to(z), narrowed("gradients", played.gradient, z)


def centred(z: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b n d"]:
    """z from the median of its points: radial kernels see the same, less is lost to rounding."""
    return z - z.median(dim=-2, keepdim=True).values


class Played(NamedTuple):
    """The outcome of a game: rho, its gradient, and the Cholesky factor of K + nugget I."""

    rho: Tensor
    gradient: Float[Tensor, "*b n d"]
    factor: Float[Tensor, "*b n n"]
    inverse: Float[Tensor, "*b n n"] | None = None

    def solve(self, b: Float[Tensor, "*b n d"]) -> Tensor:
        """(K + nugget I)^-1 b."""
        if self.inverse is None:
            return torch.cholesky_solve(b, self.factor)
        return self.inverse.mT @ (self.inverse @ b)


def play(kernel, z, y, coarse: Tensor | int, nugget, strict: bool = True) -> Played:
    """`rho_and_gradient` without checks of its arguments, which are float64.

    coarse are positions, or a number: then so many of the first points are kept, and one Cholesky
    factor serves both interpolants, for its leading block is the factor of theirs.

    A game that cannot be played raises; with strict=False all its results are NaN instead, so that
    nobody has to wait for the device to know.

    Radial kernels want the points near the origin (`centred`), which they do not see.
    They take leading batch dimensions, which broadcast: z (..., n, d), y (..., n, c),
    coarse (..., m). Many halves of one batch share its factor: z (1, n, d) and coarse (p, m).
    """
    if isinstance(kernel, Radial):
        return _play_radial(kernel, z, y, coarse, nugget, strict)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        energies = _energies(kernel(z, z), z, y, coarse, nugget, strict)
        value = 1 - energies.coarse / energies.fine
        (gradient,) = torch.autograd.grad(value, z)
    return Played(value.detach(), gradient, energies.factor.detach())


def _play_radial(kernel: Radial, z, y, coarse, nugget, strict) -> Played:
    r"""With $\hat Y = K_f^{-1} y$, $\hat Y_c = \pi^T K_c^{-1} \pi y$ and D the energy of all,
    $d\rho = \mathrm{tr}(W\, dK)$, $W = (\hat Y_c \hat Y_c^T - (1-\rho) \hat Y \hat Y^T) / D$."""
    r2 = squared_distances_of_centred(z, z)
    gram = kernel.of_squared(r2)
    energies = _energies(gram, z, y, coarse, nugget, strict)
    kept = (energies.coarse / energies.fine)[..., None, None]
    y_hat, z_hat = _coefficients(energies, coarse)
    w = torch.cat([z_hat, -kept * y_hat], -1) @ torch.cat([z_hat, y_hat.expand_as(z_hat)], -1).mT
    v = w.mul_(kernel.slope_beside(gram, r2)).mul_(4 / energies.fine[..., None, None])
    v.diagonal(dim1=-2, dim2=-1).zero_()  # else its rounding is all there is of points far apart
    gradient = v.sum(-1, keepdim=True) * z - v @ z
    return Played(1 - kept[..., 0, 0], gradient, energies.factor, energies.inverse)


class _Energies(NamedTuple):
    """Energies |L^-1 y|^2 of all points and of the coarse ones, the L and the L^-1 y."""

    fine: Tensor
    coarse: Tensor
    factor: Tensor
    white: Tensor
    factor_coarse: Tensor
    white_coarse: Tensor
    inverse: Tensor | None = None


def _energies(gram, z, y, coarse, nugget, strict=True) -> _Energies:
    factor, inverse = cholesky(gram, nugget, z if strict else None), None
    if isinstance(coarse, int):
        inverse = _inverse(factor)
        white = whiten(factor, y) if inverse is None else inverse @ y
        factor_coarse, white_coarse = factor[..., :coarse, :coarse], white[..., :coarse, :]
    else:
        rows = coarse.unsqueeze(-1)
        gram_coarse = gram.take_along_dim(rows, -2).take_along_dim(coarse.unsqueeze(-2), -1)
        z_coarse = z.take_along_dim(rows, -2) if strict else None
        white = whiten(factor, y)
        factor_coarse = cholesky(gram_coarse, nugget, z_coarse)
        white_coarse = whiten(factor_coarse, y.take_along_dim(rows, -2))
    fine, kept = (part.square().sum((-2, -1)) for part in (white, white_coarse))
    if strict and not (fine > 0).all():
        raise ValueError("y is zero on all of the drawn points, so rho is 0/0; label some of them")
    return _Energies(fine, kept, factor, white, factor_coarse, white_coarse, inverse)


def _inverse(factor: Tensor) -> Tensor | None:
    """L^-1 on a GPU, where products with it take a third of the time of triangular solves."""
    if not factor.is_cuda:
        return None
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, eye, upper=False)


def _coefficients(energies: _Energies, coarse: Tensor | int) -> tuple[Tensor, Tensor]:
    """Those of both interpolants, (..., n, c); of the coarse one they are 0 at hidden points."""
    white, short = energies.white, energies.white_coarse
    if isinstance(coarse, int):
        both = torch.cat([white, F.pad(short, (0, 0, 0, white.shape[-2] - coarse))], -1)
        if energies.inverse is None:
            both = torch.linalg.solve_triangular(energies.factor.mT, both, upper=True)
        else:
            both = energies.inverse.mT @ both
        y_hat, z_hat = both.tensor_split(2, -1)
        return y_hat, z_hat
    y_hat = torch.linalg.solve_triangular(energies.factor.mT, white, upper=True)
    solved = torch.linalg.solve_triangular(energies.factor_coarse.mT, short, upper=True)
    z_hat = solved.new_zeros(*solved.shape[:-2], *white.shape[-2:])
    return y_hat, z_hat.scatter(-2, coarse.unsqueeze(-1).expand_as(solved), solved)


def _check(z, y, coarse, nugget):
    checks.points_and_labels(z, y, "z", "y")
    checks.coarse_positions(coarse, len(z))
    checks.number("nugget", nugget, least=0)
