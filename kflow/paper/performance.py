"""What a layer costs: the committed measurements as tables, and a plan for points on many machines.

`make bench` writes the record `performance`; `kflow.paper.read_record` reads it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kflow import checks

with checks.extra("notebooks"):
    import pandas as pd


def part(record: dict, name: str, **facts) -> pd.DataFrame:
    """The rows of one part of a record that have these facts.

    Raises ValueError, with the parts that there are, where there is no such row.
    """
    asked = facts | {"part": name}
    found = [row for row in record["rows"] if asked.items() <= row.items()]
    if not found:
        known = ", ".join(sorted({row["part"] for row in record["rows"]}))
        raise ValueError(f"the record has no rows of {name!r} with {facts}; its parts: {known}")
    return pd.DataFrame(found).drop(columns="part")


def flop(n: float, n_fine: int, d: int) -> float:
    """Multiplications and additions of a transport, 4 N N_f d: its two matrix products."""
    return 4.0 * n * n_fine * d


def exponent(sizes: Sequence[float] | np.ndarray, costs: Sequence[float] | np.ndarray) -> float:
    """The p of the power law cost ~ size^p, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


@dataclass(frozen=True)
class Machine:
    """One rank: what was measured on it, and the network that joins it to the others."""

    rate: float  # flop of the transport per second
    game: float  # seconds of one game
    hop: float  # seconds for a message to reach the next rank
    network: float  # bytes per second between two ranks


class Seconds(NamedTuple):
    """What one layer takes on every rank; the games and the exchange do not shrink with ranks."""

    transport: float
    ahead: float
    game: float
    exchange: float

    @property
    def total(self) -> float:
        """All of it, one after the other."""
        return sum(self)


@dataclass(frozen=True)
class Plan:
    """A flow of n points that `ranks` equal machines share, float32, L = lookahead."""

    n: float
    ranks: int = 1
    n_fine: int = 600
    d: int = 784
    outputs: int = 10
    lookahead: int = 10

    @property
    def sent(self) -> float:
        """Bytes that a rank receives per layer: the batch's points, and its labels in float64."""
        others = (self.ranks - 1) / self.ranks
        return others * self.n_fine * (4 * self.d + 8 * self.outputs)

    def bytes(self, copies: int = 3) -> float:
        """Memory of the points of a rank: so many copies in float32 (the caller's, the moving one,
        the result), and float64 labels.
        """
        return self.n / self.ranks * (4 * copies * self.d + 8 * self.outputs)

    def seconds(self, machine: Machine) -> Seconds:
        """What a layer takes.

        Each rank moves its own points and, for games played ahead, the batches of L layers. The
        exchange goes around in a ring, ranks - 1 hops once in L layers.
        """
        batches = (self.lookahead - 1) / 2 * self.n_fine  # a point moves until its last game
        hops = (self.ranks - 1) * machine.hop / self.lookahead
        return Seconds(
            transport=flop(self.n / self.ranks, self.n_fine, self.d) / machine.rate,
            ahead=flop(batches, self.n_fine, self.d) / machine.rate,
            game=machine.game,
            exchange=hops + self.sent / machine.network,
        )
