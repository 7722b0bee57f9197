"""Squared distances of points: by a product of matrices where that holds, else pair by pair."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks

# from the centre, up to which a product of matrices keeps 2e-7 of a kernel, or 1e-3 in float32
HELD = {torch.float64: 1e4, torch.float32: 32.0}  # bandwidths


def squared_distances(
    x: Float[Tensor, "*b n d"], z: Float[Tensor, "*b m d"], unit: float = math.inf
):
    r"""$|x_i - z_j|^2$, (..., n, m); exactly zero on the diagonal if z is x.

    Points are centred first, so that the cancellation of the matrix product is relative to their
    spread; where that is many units (bandwidths) they are subtracted pair by pair instead.
    """
    centre = z.detach().mean(dim=-2, keepdim=True)
    a = x - centre
    return squared_distances_in(unit, x, z, a, a if x is z else z - centre)


def squared_distances_in(unit: float, x, z, a, b, norms_b=None):
    """`squared_distances` of points x and z whose centred are a and b.

    To be near a z that is far from the centre, an x must be far, too.
    """
    if unit < math.inf and _far(a, unit):
        return torch.cdist(x, z, compute_mode="donot_use_mm_for_euclid_dist").square()
    return squared_distances_of_centred(a, b, norms_b)


def _far(a: Tensor, unit: float) -> bool:
    """Whether a centred point is too many units away for its distances by a matrix product."""
    norms = torch.linalg.vector_norm(a.detach(), dim=-1)
    return bool(norms.numel()) and float(norms.max()) > HELD[a.dtype] * unit


def squared_distances_of_centred(
    a: Float[Tensor, "*b n d"],
    b: Float[Tensor, "*b m d"],
    norms_b: Float[Tensor, "*b m"] | None = None,
):
    """`squared_distances` of points that already are near the origin; norms_b are |b_j|^2."""
    norms_a = a.square().sum(-1)
    norms_b = b.square().sum(-1) if norms_b is None else norms_b
    r2 = norms_a.unsqueeze(-1) + norms_b.unsqueeze(-2)
    if r2.dim() == 2:  # in place: a large matrix more takes longer than these sums
        r2.addmm_(a, b.mT, alpha=-2)
    else:
        r2 -= 2 * a @ b.mT
    r2.clamp_min_(0)
    if a is b:
        r2.diagonal(dim1=-2, dim2=-1).zero_()
    return r2


def mean_squared_distance(x: Float[Tensor, "n d"]) -> float:
    """Mean squared distance over the pairs i != j: 2n/(n-1) times the total variance, exactly."""
    x = checks.wide(x.detach())
    return float(2 * x.var(dim=0, correction=1).sum())
