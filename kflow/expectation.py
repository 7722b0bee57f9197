"""The expectation over games: all of them, or as many as were drawn once.

Both give the same kind of thing, equally likely games (X, pi), over which the effective equation
takes its mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import torch
from jaxtyping import Int
from torch import Tensor

from kflow import checks
from kflow.game import draw

CHUNK = 2**22  # entries of the Gram matrices of the games that are played at once: 32 MB


@dataclass(frozen=True)
class Games:
    """Equally likely games: s batches, and p halves of each."""

    fine: Int[Tensor, "s n_fine"]
    coarse: Int[Tensor, "s p n_coarse"]  # positions within the batch

    def __len__(self) -> int:
        return self.coarse.shape[0] * self.coarse.shape[1]

    def chunks(self) -> Iterator["Games"]:
        """The same games, in pieces that fit in memory."""
        gram, halves = self.fine.shape[1] ** 2, self.coarse.shape[1]
        batches = max(1, CHUNK // (gram * halves))
        for fine, coarse in zip(self.fine.split(batches), self.coarse.split(batches), strict=True):
            for some in coarse.split(max(1, CHUNK // (gram * len(fine))), dim=1):
                yield Games(fine, some)

    def pick(self, which: Int[Tensor, " r"]) -> "Games":
        """The games of these numbers, one half for each batch."""
        halves = self.coarse.shape[1]
        batch = which // halves
        return Games(self.fine[batch], self.coarse[batch, which % halves][:, None])


@dataclass(frozen=True)
class Exact:
    """The expectation over all batches and all halves of each, enumerated."""

    max_terms: int = 100_000

    def games(self, n: int, n_fine: int) -> Games:
        """Every (X, pi); ValueError above `max_terms` of them."""
        checks.integer("max_terms", self.max_terms, least=1)
        terms = comb(n, n_fine) * comb(n_fine, n_fine // 2)
        if terms > self.max_terms:
            raise ValueError(
                f"{n} points have {terms} batches of {n_fine} with their halves, more than "
                f"max_terms = {self.max_terms}; use MonteCarlo(samples, rng) or fewer points"
            )
        fine = torch.tensor(list(combinations(range(n), n_fine)), device="cpu")
        coarse = torch.tensor(list(combinations(range(n_fine), n_fine // 2)), device="cpu")
        return Games(fine, coarse.expand(len(fine), -1, -1))


@dataclass(frozen=True)
class MonteCarlo:
    """The mean over `samples` games, drawn once and then kept, so that the velocity is smooth."""

    samples: int
    rng: torch.Generator

    def games(self, n: int, n_fine: int) -> Games:
        """A batch and a half of it for each sample; if a batch is everything, halves alone."""
        checks.integer("samples", self.samples, least=1, most=10**7)
        checks.generator(self.rng)
        fine, coarse = zip(*(draw(n, n_fine, self.rng) for _ in range(self.samples)), strict=True)
        if n_fine == n:
            halves = torch.stack([f[c] for f, c in zip(fine, coarse, strict=True)])
            return Games(torch.arange(n, device="cpu")[None], halves[None])
        return Games(torch.stack(fine), torch.stack(coarse)[:, None])
