"""Work for a CUDA GPU, submitted as a whole: a launch takes longer than most kernels run.

A layer of 70000 points is 380 launches; as graphs it is five, and takes half the time.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from kflow.engine import transport
from kflow.engine.transport import Prepared


def has_graphs(device: torch.device) -> bool:
    """Whether work on this device can be submitted as a graph."""
    return device.type == "cuda"


class Graphed:
    """A function of tensors whose shapes never change, submitted to the GPU as one graph.

    It is tried with zeros before it is captured: whatever it changes in place must not change by
    them. It must not wait for the device.
    """

    def __init__(self, function: Callable[..., Sequence[Tensor] | None]):
        self.function = function
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """What the function returns, in tensors of its own."""
        graph = self.graph or self._capture(inputs)
        for static, given in zip(self.inputs, inputs, strict=True):
            static.copy_(given)
        graph.replay()
        return [output.clone() for output in self.outputs or ()]

    def _capture(self, inputs: Sequence[Tensor]) -> torch.cuda.CUDAGraph:
        self.inputs = [torch.zeros_like(given) for given in inputs]
        beside, here = torch.cuda.Stream(), torch.cuda.current_stream()
        beside.wait_stream(here)
        with torch.cuda.stream(beside):  # what the libraries set up at a first call is not captured
            for _ in range(2):
                self.function(*self.inputs)
        graph = self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=beside):
            self.outputs = self.function(*self.inputs)
        return graph


class Graphs:
    """A layer in three graphs: the game, the motion of all points and that of a block's batches.

    `outcome(z, y)` is the game; `clouds` are all points, moved in place by `apply`.
    """

    def __init__(self, outcome: Callable[..., Sequence[Tensor]], clouds, apply, n_fine: int):
        self.clouds, self.apply, self.n_fine = clouds, apply, n_fine
        self.batches: Tensor | None = None
        self.outcome = Graphed(outcome)
        self._all = Graphed(self._move_all)

    def load(self, points: Tensor) -> Tensor:
        """The points, in the one place where `move_batches` moves them."""
        if self.batches is None or len(self.batches) < len(points):
            rows = transport.block_rows(points.shape[1], self.n_fine, points.device)
            self.batches = points.new_zeros(-(-len(points) // rows) * rows, points.shape[1])
            self._batches = Graphed(partial(self._move_batches, self.batches))
        self.batches[: len(points)] = points
        return self.batches[: len(points)]

    def move_all(self, layers: Sequence[Prepared]):
        """Move all points by the layers."""
        for layer in layers:
            self._all(layer.z, layer.bias, layer.c_t)

    def move_batches(self, layers: Sequence[Prepared]):
        """Move what was loaded by the layers."""
        for layer in layers:
            self._batches(layer.z, layer.bias, layer.c_t)

    def _move_all(self, *arrays: Tensor):
        for cloud in self.clouds:
            self.apply.move(cloud.points, cloud.away, [Prepared(*arrays)])

    def _move_batches(self, batches: Tensor, *arrays: Tensor):
        self.apply.move(batches, None, [Prepared(*arrays)])
