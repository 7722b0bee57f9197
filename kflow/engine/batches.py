"""The batches of a block of layers, gathered at once: one copy, one exchange among ranks."""

from typing import NamedTuple

import torch
from torch import Tensor

from kflow.engine.memory import sent
from kflow.engine.shards import Shards
from kflow.game import Sample


class Batches(NamedTuple):
    """All points of a block's batches, their labels, and where each game finds its own.

    A game finds the points that it keeps before those that it hides.
    Games after the k-th need the first needed[k] of the points, and no others.
    """

    points: Tensor
    labels: Tensor
    at: Tensor
    labels_at: Tensor
    needed: list[int]


def gather(points: Tensor, labels: Tensor, draws: list[Sample], shards: Shards) -> Batches:
    """Copy what the drawn games need from points and labels, of which this rank holds its rows."""
    fine = torch.stack([sample.coarse_first() for sample in draws])
    union, at = torch.unique(fine, return_inverse=True)
    points, labels = shards.rows([points, labels], union)
    last = torch.zeros(len(union), dtype=torch.int64, device="cpu")
    for k, positions in enumerate(at):
        last[positions] = k
    order = last.argsort(descending=True, stable=True)  # the points needed longest come first
    at = order.argsort()[at]
    needed = [int((last > k).sum()) for k in range(len(draws))]
    here, wide = points.device, labels.device
    return Batches(
        points[sent(order, here)], labels[sent(order, wide)], sent(at, here), sent(at, wide), needed
    )
