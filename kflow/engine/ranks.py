"""The processes that share a flow's points, and what happens where one of them goes."""

import contextlib
from typing import TYPE_CHECKING

import torch.distributed as dist


class World:
    """All processes that torchrun launched, as a group to pass on.

    It stands for torch's own group without holding it: one that outlives `joined`, in a variable,
    ends the interpreter by an abort.
    """


if TYPE_CHECKING:
    Group = dist.ProcessGroup | World
else:
    Group = getattr(dist, "ProcessGroup", object) | World  # some builds of torch have none


class RankLost(ConnectionError):
    """Another rank stopped answering."""


@contextlib.contextmanager
def exchange():
    """Around what all ranks do together: RankLost where another has gone."""
    try:
        yield
    except RuntimeError as error:  # what gloo and nccl raise where a peer is gone
        raise RankLost(f"another rank stopped answering ({str(error).splitlines()[0]})") from error


def torchs(group: Group):
    """The group as torch takes it: None is all processes."""
    return None if isinstance(group, World) else group
