"""rho as a function of the parameters of a kernel: the game of `kflow.energies`, differentiable."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from kflow import checks
from kflow.energies import Energies, energies, gradient_of_rho, radial_energies, radial_gradient
from kflow.interpolation import gram_of, with_nugget
from kflow.learning.kernels import RadialOfFeatures


class _OfGram(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gram, nugget, x, y, coarse):
        value = float(nugget)
        gram, x, y = _stacked(coarse, with_nugget(gram, value), x, y)
        ctx.found, ctx.coarse = energies(gram, value, x, y, coarse), coarse
        return 1 - ctx.found.share.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        a, b = _gradient(ctx.found, ctx.coarse, g)
        return a @ b.mT, (a * b).sum(), None, None, None


class _OfFeatures(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z, nugget, x, y, coarse, base):
        z = z - z.mean(0)
        stacks = _stacked(coarse, z, x, y)
        ctx.found, beside = radial_energies(base, float(nugget), *stacks, coarse)
        ctx.save_for_backward(z, beside)
        ctx.base, ctx.coarse = base, coarse
        return 1 - ctx.found.share.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        z, beside = ctx.saved_tensors
        a, b = _gradient(ctx.found, ctx.coarse, g)
        gradient = radial_gradient(ctx.base, z, beside.squeeze(0), a, b)
        return gradient, (a * b).sum(), None, None, None, None


def _stacked(coarse: Tensor | int, *parts: Tensor) -> tuple[Tensor, ...]:
    """The parts, with a dimension that many halves broadcast over."""
    return parts if isinstance(coarse, int) else tuple(part[None] for part in parts)


def _gradient(found: Energies, coarse: Tensor | int, g: Tensor) -> tuple[Tensor, Tensor]:
    """Two (n, k) whose product is g times the gradient of the mean with respect to the Gram."""
    a, b = gradient_of_rho(found, coarse)
    if isinstance(coarse, int):
        return g * a, b
    return g * a.movedim(0, 1).flatten(1) / len(coarse), b.movedim(0, 1).flatten(1)


def rho(kernel, nugget: Tensor, x: Float[Tensor, "n d"], y: Float[Tensor, "n c"], coarse) -> Tensor:
    """`kflow.rho` of a kernel with parameters, and its mean over the halves (p, m) of positions.

    With a number in place of positions so many of the first points are kept, which takes one
    Cholesky factor. A radial kernel of features takes the gradient of its game. The labels have
    no gradient.
    """
    if isinstance(kernel, RadialOfFeatures) and type(kernel).gram is RadialOfFeatures.gram:
        checks.matrix("x", x, columns=kernel.columns)
        return _OfFeatures.apply(kernel.features(x), nugget, x, y, coarse, kernel.base)
    return _OfGram.apply(gram_of(kernel, x, x), nugget, x, y, coarse)
