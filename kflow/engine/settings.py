"""What the engine is told of a flow, besides its points."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from kflow.interpolation import Kernel


@runtime_checkable
class Settings(Protocol):
    """The fields of `kflow.KernelFlow`, which stands above the engine."""

    @property
    def kernel(self) -> Kernel:
        """k(x, z), a Gram matrix."""

    @property
    def n_fine(self) -> int:
        """Points that each game draws."""

    @property
    def step(self) -> Callable:
        """A rule of `kflow.steps`, or a function like it."""

    @property
    def nugget(self) -> float:
        """What is added to the diagonals of Gram matrices."""

    @property
    def precision(self) -> str:
        """One of `kflow.engine.precisions.PRECISIONS`."""
