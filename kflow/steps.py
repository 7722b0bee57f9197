"""Step rules: how far one layer moves the points, read off the training batch alone."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks


def _bounded(name: str, value) -> float:
    """A positive number, at most as large as a coordinate may be."""
    return checks.number(name, value, above=0, most=checks.LARGEST)


@dataclass(frozen=True)
class Constant:
    """The same eps at every layer, in units of x^2 per unit of rho: the rule of the talk's ODE."""

    eps: float

    def __post_init__(self):
        object.__setattr__(self, "eps", _bounded("eps", self.eps))

    def __call__(self, z: Float[Tensor, "n d"], g: Float[Tensor, "n d"]) -> Tensor:
        """The scalar eps for the batch z with g = -grad rho."""
        return torch.full((), self.eps, dtype=g.dtype, device=g.device)


@dataclass(frozen=True)
class MaxDisplacement:
    """eps = delta / max_i |g_i|: the fastest batch point moves by delta, in the units of x.

    eps = 0 where |g|^2 is 0. With a nugget the move is K (K + nugget I)^-1 g, shorter than g.
    """

    delta: float

    def __post_init__(self):
        object.__setattr__(self, "delta", _bounded("delta", self.delta))

    def __call__(self, z: Float[Tensor, "n d"], g: Float[Tensor, "n d"]) -> Tensor:
        """The scalar eps for the batch z with g = -grad rho."""
        fastest = torch.linalg.vector_norm(g, dim=1).max()
        return torch.where(fastest > 0, self.delta / fastest, 0.0)


@dataclass(frozen=True)
class RelativeDisplacement:
    """eps = delta min_i |z_i| / |g_i|: no batch point moves by more than a share delta of its norm.

    The minimum is over g_i != 0, and eps = 0 where there is none. It depends on the origin of x.
    """

    delta: float

    def __post_init__(self):
        object.__setattr__(self, "delta", _bounded("delta", self.delta))

    def __call__(self, z: Float[Tensor, "n d"], g: Float[Tensor, "n d"]) -> Tensor:
        """The scalar eps for the batch z with g = -grad rho."""
        speed = torch.linalg.vector_norm(g, dim=1)
        times = torch.where(speed > 0, torch.linalg.vector_norm(z, dim=1) / speed, torch.inf)
        slowest = times.min()
        return torch.where(torch.isfinite(slowest), self.delta * slowest, 0.0)
