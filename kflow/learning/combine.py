"""Kernels made of kernels: weighted, summed, multiplied, and of the features of a network."""

import math

import torch
from torch import Tensor, nn

from kflow import checks
from kflow.learning.parametric import ParametricKernel, Positive


class DeepFeatures(ParametricKernel):
    """kernel(net(x), net(z)) for any module `net` from (n, d) to (n, features); made float64."""

    def __init__(self, net: nn.Module, kernel: ParametricKernel):
        super().__init__()
        if not isinstance(net, nn.Module):
            raise TypeError(f"net must be a torch.nn.Module, not {type(net).__name__}")
        _kernels(kernel)
        self.net, self.kernel = net.to(torch.float64), kernel

    def gram(self, x, z):  # noqa: D102
        a = self.net(x.to(torch.float64))
        return self.kernel.gram(a, a if z is x else self.net(z.to(torch.float64)))

    def diagonal(self, x):  # noqa: D102
        return self.kernel.diagonal(self.net(checks.wide(x)))


class Weighted(ParametricKernel):
    """weight * kernel. The weight matters in a sum; the amplitude of a whole kernel does not."""

    def __init__(self, kernel: ParametricKernel, weight: float = 1.0, bounds=(1e-6, 1e6)):
        super().__init__()
        self.columns = _kernels(kernel)
        checks.number("weight", weight, above=0)
        self.kernel, self._weight = kernel, Positive("weight", weight, bounds)

    @property
    def weight(self) -> Tensor:
        """The positive factor."""
        return self._weight()

    def gram(self, x, z):  # noqa: D102
        return self.weight * self.kernel.gram(x, z)

    def diagonal(self, x):  # noqa: D102
        return self.weight * self.kernel.diagonal(x)


class Sum(ParametricKernel):
    """The sum of kernels."""

    def __init__(self, *terms: ParametricKernel):
        super().__init__()
        self.columns = _kernels(*terms)
        self.terms = nn.ModuleList(terms)

    def gram(self, x, z):  # noqa: D102
        return sum(term.gram(x, z) for term in self.terms)

    def diagonal(self, x):  # noqa: D102
        return sum(term.diagonal(x) for term in self.terms)


class Product(Sum):
    """The product of kernels, entry by entry."""

    def gram(self, x, z):  # noqa: D102
        return math.prod(term.gram(x, z) for term in self.terms)

    def diagonal(self, x):  # noqa: D102
        return math.prod(term.diagonal(x) for term in self.terms)


def _kernels(*kernels) -> int | None:
    """Refuse what are no kernels, or of different numbers of features; the number, if it is set."""
    if not kernels:
        raise ValueError("give at least one kernel")
    for kernel in kernels:
        if not isinstance(kernel, ParametricKernel):
            raise TypeError(
                f"a kernel with parameters is needed, as ARD(Gaussian, 3) is, not {kernel!r}"
            )
    columns = sorted({kernel.columns for kernel in kernels} - {None})
    if len(columns) > 1:
        raise ValueError(
            f"the kernels are made for {columns[0]} and {columns[1]} features; give one"
        )
    return columns[0] if columns else None
