"""The moving points: a copy of the data in working precision, centred, without what stays."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kflow import checks
from kflow.engine.shards import Shards
from kflow.engine.transport import alignment

SEEN = 1001  # training points whose median is the centre
PART = 2**10


@dataclass(frozen=True)
class Frame:
    """Which columns move, around which centre, and where the training points stand in the others.

    A radial kernel sees differences alone. A column in which all training points agree never moves,
    and only adds a fixed offset to the squared distances of other points; and the origin may be put
    among the points, so that nothing is lost to rounding where the data's own origin is far away.
    """

    moving: Int[Tensor, " m"]
    resting: Int[Tensor, " s"]
    centre: Float[Tensor, " m"]  # float64 where the device has it
    still: Float[Tensor, " s"]
    dtype: torch.dtype
    fill: int  # columns of zeros, which nothing moves, that align the rows

    @classmethod
    def of(
        cls, x: Float[Tensor, "n d"], dtype: torch.dtype, radial: bool, shards: Shards
    ) -> "Frame":
        """The frame of the training points, of which x are this rank's.

        Its centre is a median, which few points far away do not move, of the same rows however
        they are shared. Only a radial kernel may be shown fewer columns, or another origin.
        """
        seen = (
            torch.arange(min(shards.total, SEEN), device="cpu")
            * shards.total
            // min(shards.total, SEEN)
        )
        (some,) = shards.rows([x], seen)
        moves = shards.any((x != some[0]).any(dim=0))
        if not radial or not moves.any():
            moves = torch.ones_like(moves)
        moving, resting = moves.nonzero()[:, 0], (~moves).nonzero()[:, 0]
        centre = checks.wide(some[:, moving]).sort(dim=0).values[len(some) // 2]
        align = alignment(dtype, x.device) if radial else 1
        return cls(
            moving, resting, centre if radial else torch.zeros_like(centre),
            some[0, resting].clone(), dtype, -len(moving) % align,
        )  # fmt: skip

    def take(self, x: Float[Tensor, "n d"]) -> "Cloud":
        """A copy of the points x in this frame."""
        still = x[:, self.resting]
        away = checks.wide(still - self.still).square().sum(1).to(self.dtype)
        points = x.new_zeros(len(x), len(self.moving) + self.fill, dtype=self.dtype)
        for part in _parts(len(x)):
            moved = checks.wide(x[part, self.moving]) - self.centre
            points[part, : len(self.moving)] = moved.to(points)
        return Cloud(self, points, away if away.any() else None, still, x.dtype)

    def placed(self, z: Float[Tensor, "n m"]) -> Float[Tensor, "n d"]:
        """Points of the frame where the caller has them: all columns, from the caller's origin."""
        out = self.spread(z[:, : len(self.moving)] + self.centre.to(z))
        return out.index_copy_(1, self.resting.to(z.device), self.still.to(z).expand(len(z), -1))

    def spread(self, g: Float[Tensor, "n m"]) -> Float[Tensor, "n d"]:
        """Vectors of the frame, in all columns of the caller; zero in those that rest."""
        out = g.new_zeros(len(g), len(self.moving) + len(self.resting))
        return out.index_copy_(1, self.moving.to(g.device), g[:, : len(self.moving)])


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
        """A fresh copy with all columns, where the caller has them, in the dtype they came in."""
        frame = self.frame
        out = self.still.new_empty(len(self), len(frame.moving) + len(frame.resting))
        for part in _parts(len(self)):
            moved = checks.wide(self.points[part, : len(frame.moving)]) + frame.centre
            out[part, frame.moving] = moved.to(out)
        out[:, frame.resting] = self.still
        return out


def _parts(n: int) -> list[slice]:
    """Rows that are taken to float64 at once."""
    return [slice(start, min(start + PART, n)) for start in range(0, n, PART)]
