"""The interpolation game: rho, what is lost when half of the points are hidden; its gradient."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kflow import checks
from kflow.energies import energies, gradient_of_rho, radial_energies, radial_gradient
from kflow.interpolation import Kernel, check_fit, gram_of, narrowed, with_nugget
from kflow.kernels import Radial

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
    arguments or zero labels, NotPositiveDefinite where `interpolate` does.
    """
    nugget = _checked(kernel, z, y, coarse, nugget)
    wide = checks.wide(z)
    y, coarse = y.to(wide), coarse.to(wide.device)
    gram = gram_of(kernel, wide, wide)
    found = energies(with_nugget(gram, nugget), nugget, wide, y, coarse)
    check_fit(gram, nugget, wide, y, torch.cholesky_solve(y, found.factor))
    return (1 - found.share).to(z)


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
    nugget = _checked(kernel, z, y, coarse, nugget)
    wide = checks.wide(z)
    if isinstance(kernel, Radial):
        wide = centred(wide)
    y = y.to(wide)
    played = play(kernel, wide, y, coarse.to(wide.device), nugget)
    with torch.no_grad():
        check_fit(gram_of(kernel, wide, wide), nugget, wide, y, played.solve(y))
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
        gram = with_nugget(gram_of(kernel, z, z), nugget)
        found = energies(gram, nugget, z if strict else None, y, coarse)
        value = 1 - found.share
        (gradient,) = torch.autograd.grad(value, z)
    return Played(value.detach(), gradient, found.factor.detach())


def _play_radial(kernel: Radial, z, y, coarse, nugget, strict) -> Played:
    found, beside = radial_energies(kernel, nugget, z, z if strict else None, y, coarse)
    gradient = radial_gradient(kernel, z, beside, *gradient_of_rho(found, coarse))
    return Played(1 - found.share, gradient, found.factor, found.inverse)


def _checked(kernel, z, y, coarse, nugget) -> float:
    """The nugget as a float; refuse arguments that make no game."""
    checks.kernel("kernel", kernel)
    checks.points_and_labels(z, y, "z", "y")
    checks.coarse_positions(coarse, len(z))
    return checks.number("nugget", nugget, least=0)
