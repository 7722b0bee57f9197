"""Classes told apart two by two, by kriging with a constant that the data choose."""

from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kflow import checks
from kflow.interpolation import BLOCK, Kernel, check_fit, cholesky, gram_of, kernel_to


@dataclass(frozen=True)
class Pairs:
    """For each pair of classes an interpolant of +1 and -1: constant + K(., x) coefficients."""

    kernel: Kernel
    x: Float[Tensor, "n d"]
    coefficients: Float[Tensor, "n pairs"]
    constants: Float[Tensor, " pairs"]
    classes: int
    nugget: float

    def __post_init__(self):
        n, pairs = len(self.x), self.classes * (self.classes - 1) // 2
        shapes = [tuple(part.shape) for part in (self.coefficients, self.constants)]
        if self.x.ndim != 2 or shapes != [(n, pairs), (pairs,)]:
            raise ValueError(
                f"{n} points and {self.classes} classes need coefficients {(n, pairs)} and "
                f"constants {(pairs,)}, not {shapes[0]} and {shapes[1]}"
            )

    def __call__(self, x_new: Float[Tensor, "m d"]) -> Float[Tensor, "m pairs"]:
        """The value of each pair, positive for its first class."""
        k = kernel_to(self.kernel, self.x)
        parts = [
            k(checks.wide(block)) @ self.coefficients + self.constants
            for block in x_new.split(BLOCK)
        ]
        return torch.cat(parts) if parts else self.coefficients[:0]

    def votes(self, x_new: Float[Tensor, "m d"]) -> Float[Tensor, "m classes"]:
        """How many pairs each class wins, and by how much: a sum that is always below a half."""
        values = self(x_new)
        won, by = values.new_zeros(len(values), self.classes), torch.zeros_like(values[:, :1])
        by = by.expand(-1, self.classes).clone()
        for p, (i, j) in enumerate(combinations(range(self.classes), 2)):
            won[:, i] += values[:, p] > 0
            won[:, j] += values[:, p] <= 0
            by[:, i] += values[:, p]
            by[:, j] -= values[:, p]
        return won + by / (2 * (by.abs() + 1))


def tell_apart(
    kernel: Kernel, x: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, nugget: float
) -> Pairs:
    r"""Ordinary kriging of each pair's labels $y = \pm 1$, from the points of its two classes.

    The constant is $m = 1^T P y / 1^T P 1$ with $P = (K + \nu I)^{-1}$: what
    is predicted far from all points. Without it a class that lies around another is lost there, and
    with one interpolant for each class one that lies between two others is, too.
    """
    x = checks.wide(x)
    gram = gram_of(kernel, x, x)
    pairs = list(combinations(range(classes), 2))
    coefficients, constants = x.new_zeros(len(x), len(pairs)), x.new_zeros(len(pairs))
    for p, (i, j) in enumerate(pairs):
        at = ((labels == i) | (labels == j)).nonzero()[:, 0]
        y = (labels[at] == i).to(x)[:, None] * 2 - 1
        own, both = gram[at][:, at], torch.cat([y, torch.ones_like(y)], dim=1)
        solved = torch.cholesky_solve(both, cholesky(own, nugget, x[at]))
        check_fit(own, nugget, x[at], both, solved)
        constants[p] = solved[:, 0].sum() / solved[:, 1].sum()
        coefficients[at, p] = solved[:, 0] - constants[p] * solved[:, 1]
    return Pairs(kernel, x, coefficients, constants, classes, nugget)
