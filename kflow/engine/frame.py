"""The moving points: a copy of the data in working precision, without the columns that stay."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from kflow.engine.shards import Shards
from kflow.engine.transport import ALIGNED


@dataclass(frozen=True)
class Frame:
    """Which columns move, and where the training points stand in the others.

    A radial kernel's gradient is a sum of differences of training points: a column in which they
    all agree never moves, and only adds a fixed offset to the squared distances of other points.
    """

    moving: Bool[Tensor, " d"]
    still: Float[Tensor, " s"]
    dtype: torch.dtype
    fill: int  # columns of zeros, which nothing moves, that align the rows

    @classmethod
    def of(
        cls, x: Float[Tensor, "n d"], dtype: torch.dtype, radial: bool, shards: Shards
    ) -> "Frame":
        """The frame of the training points, of which x are this rank's.

        Only a radial kernel may be shown fewer columns.
        """
        (first,) = shards.rows([x], torch.tensor([0]))
        moving = shards.any((x != first).any(dim=0))
        if not radial or not moving.any():
            moving = torch.ones_like(moving)
        align = ALIGNED if radial and (dtype == torch.float64 or x.is_cuda) else 1
        return cls(moving, first[0, ~moving].clone(), dtype, -int(moving.sum()) % align)

    def take(self, x: Float[Tensor, "n d"]) -> "Cloud":
        """A copy of the points x in this frame."""
        still = x[:, ~self.moving]
        away = (still - self.still).square().sum(1).to(self.dtype)
        points = F.pad(x[:, self.moving].to(self.dtype, copy=True), (0, self.fill)).contiguous()
        return Cloud(self, points, away if away.any() else None, still, x.dtype)


@dataclass(frozen=True)
class Cloud:
    """Points on the move: `points` (n, moving columns) change in place, the rest is fixed."""

    frame: Frame
    points: Float[Tensor, "n m"]
    away: Float[Tensor, " n"] | None
    still: Float[Tensor, "n s"]
    dtype: torch.dtype

    def __len__(self):
        return len(self.points)

    def full(self) -> Float[Tensor, "n d"]:
        """A fresh copy with all columns, in the dtype that the data came in."""
        out = self.still.new_empty(len(self), len(self.frame.moving))
        out[:, self.frame.moving] = self.points[:, : int(self.frame.moving.sum())].to(out)
        out[:, ~self.frame.moving] = self.still
        return out
