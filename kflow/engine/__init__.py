"""How a flow is carried out: its games, the transport of all points, memory, ranks, checkpoints.

`kflow.flow` is its only user in the library; what stands outside asks for what is named here.
"""

from kflow.engine import arithmetic, memory, shards, transport
from kflow.engine.frame import Frame
from kflow.engine.observation import State
from kflow.engine.run import Run, Task
from kflow.engine.shards import Group, Shards
from kflow.engine.transport import Layer

__all__ = [
    "Frame", "Group", "Layer", "Run", "Shards", "State", "Task",
    "arithmetic", "memory", "shards", "transport",
]  # fmt: skip
