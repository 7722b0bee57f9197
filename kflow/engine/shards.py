"""Points shared over processes by torch.distributed: each rank holds a block of consecutive rows.

Every rank plays the same games on the same batches and moves its own points; what they exchange is
the batches' points. `joined` starts what torchrun has launched, `part` says which rows to load.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from kflow import checks
from kflow.engine.memory import sent
from kflow.engine.ranks import Group, RankLost, World, exchange, torchs

__all__ = ["RankLost", "World", "joined", "on_all", "part"]  # what a user calls
T = TypeVar("T")


@contextlib.contextmanager
def joined(device: str | torch.device | None = None, timeout: float = 1800.0) -> Iterator[tuple]:
    """The group of the processes that torchrun launched, and this one's device.

    NCCL joins GPUs, gloo joins CPUs. Without a device it is this rank's GPU where there is one. A
    rank that has not answered for `timeout` seconds counts as lost: the others end in RankLost
    (on GPUs NCCL ends them). Raises RuntimeError outside torchrun.
    """
    checks.number("timeout", timeout, above=0, most=1e6)
    if "RANK" not in os.environ:
        raise RuntimeError("this process has no rank; start it by torchrun --nproc-per-node 2 ...")
    if device is None:
        local = os.environ.get("LOCAL_RANK", "0")
        device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
    device = checks.device(device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    waits = timedelta(seconds=float(timeout))
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=waits)
    try:
        yield World(), device
    finally:
        dist.destroy_process_group()


def part(n: int, group: Group) -> slice:
    """The rows of n that this rank should hold: consecutive, as many as the others' or one more."""
    rank, world = dist.get_rank(torchs(group)), dist.get_world_size(torchs(group))
    return slice(n * rank // world, n * (rank + 1) // world)


def on_all(observe: Callable, group: Group) -> Callable:
    """An observer written for one process, as one for ranks: it sees all points, on rank 0."""

    def look(state):
        shown = {}
        for name in ("points", "carried"):
            own = getattr(state, name)
            shown[name] = None if own is None else Shards.of(len(own), group).gather(own)
        return observe(state._replace(**shown)) if dist.get_rank(torchs(group)) == 0 else None

    return look


@dataclass(frozen=True)
class Shards:
    """Whose rows are whose: rank r holds the rows from first[r] up to first[r + 1] of them all.

    Without a group there is one rank, and nothing is exchanged.
    """

    group: Group | None
    rank: int
    first: tuple[int, ...]

    @classmethod
    def of(cls, n: int, group: Group | None) -> "Shards":
        """The shards where this rank holds n rows. All ranks call it."""
        if group is None:
            return cls(None, 0, (0, n))
        if not isinstance(group, Group):
            raise TypeError(f"group must be what shards.joined() gives, not {group!r}")
        rank, world = dist.get_rank(torchs(group)), dist.get_world_size(torchs(group))
        unknown = cls(group, rank, (0,) * (world + 1))
        sizes = unknown._gather(torch.tensor([n], device=unknown.device))[:, 0]
        return cls(group, rank, (0, *sizes.cumsum(0).tolist()))

    @property
    def device(self) -> torch.device:
        """Where the group exchanges tensors: NCCL on this rank's GPU, gloo on the CPU."""
        on_gpu = self.group is not None and "nccl" in dist.get_backend(torchs(self.group))
        return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    @property
    def total(self) -> int:
        """Rows of all ranks together."""
        return self.first[-1]

    @property
    def world(self) -> int:
        """The number of ranks."""
        return len(self.first) - 1

    @property
    def start(self) -> int:
        """The number, among all rows, of this rank's first."""
        return self.first[self.rank]

    @property
    def stop(self) -> int:
        """One more than the number of this rank's last row."""
        return self.first[self.rank + 1]

    def rows(self, parts: list[Tensor], index: Tensor) -> list[Tensor]:
        """Rows `index` (ascending, among all) of tensors that are shared alike, on every rank.

        One exchange of bytes, so that the rows arrive to the bit. All ranks call it.
        """
        if self.group is None:
            return [whole[sent(index, whole.device)] for whole in parts]
        bounds = torch.searchsorted(index, torch.tensor(self.first, device="cpu"))
        counts = bounds.diff().tolist()
        mine = index[bounds[self.rank] : bounds[self.rank + 1]] - self.start
        packed = [_bytes(own[sent(mine, own.device)]).to(self.device) for own in parts]
        widths = [p.shape[1] for p in packed]
        short = max(counts) - counts[self.rank]
        gathered = self._gather(F.pad(torch.cat(packed, 1), (0, 0, 0, short)))
        rows = torch.cat([found[:n] for found, n in zip(gathered, counts, strict=True)])
        return [
            cut.contiguous().view(own.dtype).to(own.device)
            for cut, own in zip(rows.split(widths, dim=1), parts, strict=True)
        ]

    def gather(self, own: Tensor) -> Tensor:
        """All rows of a matrix of which this rank holds `own`. All ranks call it."""
        return self.rows([own], torch.arange(self.total, device="cpu"))[0]

    def any(self, flags: Tensor) -> Tensor:
        """Element by element, whether a rank has it true."""
        return self.largest(flags.to(torch.int32)).bool()

    def largest(self, values: Tensor) -> Tensor:
        """Element by element, the largest of all ranks. All ranks call it."""
        if self.group is None:
            return values
        found = values.to(self.device, copy=True)
        with exchange():
            dist.all_reduce(found, dist.ReduceOp.MAX, group=torchs(self.group))
        return found.to(values.device)

    def sum(self, number: int) -> int:
        """The ranks' 64-bit integers added up, modulo 2^64."""
        return int(self._gather(torch.tensor([number], device=self.device)).sum())

    def texts(self, text: str) -> list[str]:
        """The texts of all ranks, in order."""
        if self.group is None:
            return [text]
        raw = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.device)
        sizes = self._gather(torch.tensor([len(raw)], device=self.device))[:, 0].tolist()
        padded = self._gather(F.pad(raw, (0, max(*sizes, 1) - len(raw))))
        rows = zip(padded.cpu(), sizes, strict=True)
        return [bytes(found[:n].tolist()).decode() for found, n in rows]

    def agree(self, facts: dict[str, str]):
        """Raise ValueError on every rank, naming what differs, where a rank has other facts."""
        found = [json.loads(text) for text in self.texts(json.dumps(facts))]
        for rank, other in enumerate(found):
            for name in facts:
                if other[name] != found[0][name]:
                    raise ValueError(
                        f"the ranks disagree: {name} is {found[0][name]} on rank 0, but "
                        f"{other[name]} on rank {rank}; start them all with the same"
                    )

    def together(self, act: Callable[[], T]) -> T:
        """What act() returns; where it fails on one rank it fails on all, by the same words."""
        own = None
        try:
            done = act()
        except (OSError, ValueError, TypeError, ArithmeticError) as error:
            own = error
        if self.group is not None:
            for rank, said in enumerate(self.texts("" if own is None else str(own))):
                if said and own is None:
                    raise RuntimeError(f"rank {rank} stopped: {said}")
        if own is not None:
            raise own
        return done

    def _gather(self, own: Tensor) -> Tensor:
        """The equal-sized tensors of all ranks, stacked."""
        if self.group is None:
            return own.unsqueeze(0)
        gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor  # older
        out = own.new_empty(self.world * len(own), *own.shape[1:])
        with exchange():
            gather(out, own.contiguous(), group=torchs(self.group))
        return out.view(self.world, len(own), *own.shape[1:])


def _bytes(matrix: Tensor) -> Tensor:
    return matrix.contiguous().view(torch.uint8)
