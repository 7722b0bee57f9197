"""What must agree for two runs to be the same bits, so that one may take up the other's state."""

import platform
import re
from dataclasses import is_dataclass
from hashlib import blake2b

import torch
from jaxtyping import Float
from torch import Tensor

from kflow.engine.checkpoint import digest
from kflow.engine.contents import digest_of
from kflow.engine.sealed import in_bytes
from kflow.engine.shards import Shards

FORMAT = "3"  # raise it when the meaning of a fingerprint changes
BLOCK = 4096  # rows that are copied to the CPU at once


def of_settings(
    flow, mixed: bool, rng_start: Tensor, lookahead: int, device: torch.device
) -> dict[str, str]:
    """The settings of a run and the machine's, which all ranks must share."""
    return {
        "format": FORMAT,
        "kernel": _name(flow.kernel),
        "what the kernel holds": digest_of(flow.kernel),
        "n_fine": str(flow.n_fine),
        "step": _name(flow.step),
        "what the step rule holds": digest_of(flow.step),
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

    Rows are hashed with their numbers and the hashes are added up, modulo 2^64. All ranks call it.
    """
    total = shards.sum(_hash(x, shards.start))
    return f"{shards.total} rows of {x.shape[1]}, {x.dtype}, {total & (2**64 - 1):016x}"


def refuse_no_or_the_same_rows(x: Float[Tensor, "n d"], shards: Shards):
    """Raise ValueError where a rank has no points, or two the same, as if each was given all."""
    seen: dict[str, int] = {}
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
    """BLAKE2b of each row with its number, added up as a signed 64-bit integer."""
    total = 0
    for first in range(0, len(x), BLOCK):
        rows = in_bytes(x[first : first + BLOCK]).numpy()
        for number, row in enumerate(rows, start + first):
            salt = number.to_bytes(16, "little")
            total += int.from_bytes(blake2b(row, digest_size=8, salt=salt).digest(), "little")
    return (total + 2**63) % 2**64 - 2**63


def _name(rule) -> str:
    """A kernel or step rule as it is written, without the addresses that Python gives objects."""
    if is_dataclass(rule):
        return re.sub(" at 0x[0-9A-Fa-f]+", "", repr(rule))
    return f"{rule.__module__}.{getattr(rule, '__qualname__', type(rule).__qualname__)}"
