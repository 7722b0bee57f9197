"""What is timed: real digits, as many and as wide as asked for, and the settings of the flow."""

import os
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

import kflow
from kflow import data

JITTER = 0.02  # grey values: the deviation of what is added to an image that is used again
NUGGET = 1e-2


class Problem(NamedTuple):
    """Points, labels, and the settings of a layer: gamma = s, the largest displacement 0.1 s."""

    x: Tensor
    y: Tensor
    kernel: kflow.Gaussian
    step: kflow.MaxDisplacement
    nugget: float = NUGGET

    @property
    def moving(self) -> Tensor:
        """Which columns move, true or false: a radial kernel never moves the others."""
        return (self.x != self.x[0]).any(0)

    @property
    def width(self) -> int:
        """How many columns move."""
        return int(self.moving.sum())

    def flow(self, n_fine: int, precision: str = "float32") -> kflow.KernelFlow:
        """The flow of this problem."""
        return kflow.KernelFlow(self.kernel, n_fine, self.step, self.nugget, precision)

    def to(self, dtype: torch.dtype) -> "Problem":
        """The same in another dtype."""
        return self._replace(x=self.x.to(dtype), y=self.y.to(dtype))


def digits(n: int, width: int | None = None, device="cpu", name: str = "mnist") -> Problem:
    """n images, all of each or the `width` columns that vary most.

    Where KFLOW_DATA names no folder with the full set, the 8000 embedded images are taken. More
    than there are: the same again with a little noise in the columns that move.
    """
    x, y = _images(name)
    if width is not None:
        x = x[:, x.var(0).argsort(descending=True)[:width]]
    times = -(-n // len(x))
    if times > 1:
        rng = torch.Generator().manual_seed(0)
        moving = (x != x[0]).any(0)
        again = x.repeat(times - 1, 1)
        x = torch.cat([x, again + JITTER * moving * torch.randn(again.shape, generator=rng)])
        y = y.repeat(times, 1)
    x, y = x[:n].clone(), y[:n].clone()
    kernel = kflow.Gaussian.for_points(x)
    step = kflow.MaxDisplacement(0.1 * kernel.gamma)
    return Problem(x.to(device), y.to(device), kernel, step)


def noise(n: int, width: int, device="cpu") -> Problem:
    """n uniform points: for the memory, which does not depend on what the points are."""
    x = torch.rand(n, width, generator=torch.Generator().manual_seed(0))
    y = F.one_hot(torch.arange(n) % 10, 10).float()
    kernel = kflow.Gaussian.for_points(x[:1000])
    step = kflow.MaxDisplacement(0.1 * kernel.gamma)
    return Problem(x.to(device), y.to(device), kernel, step)


def told() -> str:
    """The data in words, for the record."""
    if os.environ.get("KFLOW_DATA"):
        return "the full sets of images"
    return f"8000 embedded images, repeated with noise of {JITTER} where more are needed"


def _images(name: str) -> tuple[Tensor, Tensor]:
    load = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist}[name]
    found = load(full=bool(os.environ.get("KFLOW_DATA")))
    return torch.cat([found.x, found.x_test]), torch.cat([found.y, found.y_test])
