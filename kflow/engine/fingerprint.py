"""What must agree for two runs to be the same bits, so that one may take up the other's state."""

import platform
from dataclasses import is_dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from kflow.engine.checkpoint import digest
from kflow.engine.shards import Shards

BLOCK = 4096  # rows that are hashed at once


def of_settings(
    flow, mixed: bool, rng_start: Tensor, lookahead: int, device: torch.device
) -> dict[str, str]:
    """The settings of a run and the machine's, which all ranks must share."""
    return {
        "kernel": _name(flow.kernel),
        "n_fine": str(flow.n_fine),
        "step": _name(flow.step),
        "nugget": repr(flow.nugget),
        "precision": flow.precision + (" on bf16 units" if mixed else ""),
        "lookahead": str(lookahead),
        "generator": digest(rng_start),
        "device": device.type,
        "threads": str(torch.get_num_threads()),
        "versions": f"torch {torch.__version__}, python {platform.python_version()}",
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def of_rows(x: Float[Tensor, "n d"], shards: Shards) -> str:
    """A fingerprint of all the rows, the same however they are shared among ranks.

    Rows are hashed with their numbers and the hashes are added up, modulo 2^64: it finds
    accidents, not forgeries. All ranks call it.
    """
    total = shards.sum(_hash(x, shards.start))
    return f"{shards.total} rows of {x.shape[1]}, {x.dtype}, {total & (2**64 - 1):016x}"


def refuse_no_or_the_same_rows(x: Float[Tensor, "n d"], shards: Shards):
    """Raise ValueError where a rank has no points, or two the same, as if each was given all."""
    seen = {}
    for rank, found in enumerate(shards.texts(f"{len(x)} points, {_hash(x, 0)}")):
        if shards.first[rank] == shards.first[rank + 1]:
            raise ValueError(f"rank {rank} holds no points; start fewer ranks")
        if found in seen:
            raise ValueError(
                f"ranks {seen[found]} and {rank} hold the same {len(x)} points; give each its own "
                f"rows, x[kflow.shards.part(len(x), group)]"
            )
        seen[found] = rank


def _hash(x: Tensor, start: int) -> int:
    words = torch.int32 if x.dtype.itemsize >= 4 else torch.int16
    width = x.shape[1] * x.dtype.itemsize // words.itemsize
    rng = torch.Generator().manual_seed(0)
    weights = torch.randint(-(2**62), 2**62, (width,), generator=rng) | 1
    total = torch.zeros((), dtype=torch.int64)
    for first in range(0, len(x), BLOCK):
        rows = x[first : first + BLOCK].detach().cpu().contiguous().view(words).long()
        number = torch.arange(start + first + 1, start + first + 1 + len(rows))
        h = (rows * weights).sum(1) + number * -7046029254386353131
        h = (h ^ (h >> 29)) * -4658895280553007687
        total += (h ^ (h >> 32)).sum()
    return int(total)


def _name(rule) -> str:
    """A kernel or step rule as it is written, without the address that Python gives an object."""
    if is_dataclass(rule):
        return repr(rule)
    return f"{rule.__module__}.{getattr(rule, '__qualname__', type(rule).__qualname__)}"
