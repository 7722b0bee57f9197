"""How a flow is carried out: its games, the transport of all points, memory, ranks, checkpoints.

`kflow.flow` is its only user in the library; what stands outside asks for what is named here.
"""

from kflow.engine import memory as memory
from kflow.engine import precisions as precisions
from kflow.engine import shards as shards
from kflow.engine import transport as transport
from kflow.engine.frame import Frame as Frame
from kflow.engine.observation import State as State
from kflow.engine.run import Run as Run
from kflow.engine.run import Task as Task
from kflow.engine.shards import Group as Group
from kflow.engine.shards import Shards as Shards
from kflow.engine.transport import Layer as Layer
