"""Kernel ridge regression on more points than float64 has room for: one float32 matrix, in place.

The factor is float32 and the residuals are float64, so that a few steps of refinement give the
coefficients of the float64 problem. The matrix is 4 N^2 bytes, of which little more than the lower
half is ever touched: 60000 points took 10.3 GB at most.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks
from kflow.checks import NotPositiveDefinite
from kflow.interpolation import Kernel


class Ridge(NamedTuple):
    """Coefficients (n, c) of K(., x) in float64, and the relative residual after each solve."""

    coefficients: Float[Tensor, "n c"]
    residuals: list[float]


def fit(
    kernel: Kernel,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n c"],
    nugget: float,
    solves: int = 2,
    block: int = 1000,
) -> Ridge:
    """(K + nugget I)^-1 y, by a float32 factor and `solves` - 1 steps of refinement.

    Float32 wants a nugget of about 1e-2 or more. Raises NotPositiveDefinite where that is too
    little, and ValueError where refinement does not lower the residual.
    """
    checks.points_and_labels(x, y)
    checks.number("nugget", nugget, above=0)
    factor = factor_in_place(_gram(kernel, x.float(), nugget, block), block)
    y = checks.wide(y)
    coefficients, left, residuals = torch.zeros_like(y), y, []
    for _ in range(solves):
        coefficients += substitute(factor, left.float(), block)
        left = y - nugget * coefficients - predict(kernel, x, coefficients, x, block)
        residuals.append(float(left.norm() / y.norm()))
    if residuals != sorted(residuals, reverse=True):
        raise ValueError(f"refinement does not converge: {residuals}; take a larger nugget")
    return Ridge(coefficients, residuals)


def predict(kernel: Kernel, x, coefficients, x_new, block: int = 1000) -> Tensor:
    """K(x_new, x) coefficients in float64, a block of new points at a time."""
    x = checks.wide(x)
    return torch.cat([kernel(checks.wide(new), x) @ coefficients for new in x_new.split(block)])


def factor_in_place(gram: Tensor, block: int) -> Tensor:
    """Overwrite the lower triangle of gram by its Cholesky factor; what is above stays.

    Raises NotPositiveDefinite where float32 finds none.
    """
    n = len(gram)
    for k in range(0, n, block):
        here = slice(k, min(k + block, n))
        corner, info = torch.linalg.cholesky_ex(gram[here, here].double())
        if info > 0:
            raise NotPositiveDefinite(
                f"the float32 Gram matrix of {n} points fails at pivot {k + int(info) - 1}; "
                f"take a larger nugget, such as 1e-2"
            )
        gram[here, here] = corner = corner.to(gram)
        below = gram[here.stop :, here]
        below.copy_(torch.linalg.solve_triangular(corner, below.mT, upper=False).mT)
        for j in range(here.stop, n, block):
            gram[j:, j : j + block].addmm_(gram[j:, here], gram[j : j + block, here].mT, alpha=-1)
    return gram


def substitute(factor: Tensor, y: Tensor, block: int) -> Tensor:
    """L^-T L^-1 y for the factor that `factor_in_place` left."""
    y, starts = y.clone(), range(0, len(y), block)
    for k in starts:
        here, after = slice(k, k + block), slice(k + block, None)
        y[here] = torch.linalg.solve_triangular(factor[here, here].tril(), y[here], upper=False)
        y[after] -= factor[after, here] @ y[here]
    for k in reversed(starts):
        here, after = slice(k, k + block), slice(k + block, None)
        y[here] -= factor[after, here].mT @ y[after]
        y[here] = torch.linalg.solve_triangular(factor[here, here].tril().mT, y[here], upper=True)
    return y


def _gram(kernel: Kernel, x: Tensor, nugget: float, block: int) -> Tensor:
    """The lower triangle of K + nugget I, in the dtype of x; what is above is not set."""
    gram = x.new_empty(len(x), len(x))
    for k in range(0, len(x), block):
        gram[k : k + block, : k + block] = kernel(x[k : k + block], x[: k + block])
    gram.diagonal().add_(nugget)
    return gram
