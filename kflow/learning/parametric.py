"""Kernels with parameters: modules called as k(x, z), whose positive parameters are logarithms."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kflow import checks


def numbers(name: str, value) -> Tensor:
    """One number or several as a float64 tensor; TypeError where they are none."""
    try:
        if not (isinstance(value, Tensor) and value.is_complex()):
            return torch.as_tensor(value, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    raise TypeError(f"{name} must be a number or a list of numbers, not {value!r}")


class Positive(nn.Module):
    """A positive parameter, or a vector of them: learned as its logarithm, kept within bounds."""

    low: Tensor  # the logarithms of the bounds
    high: Tensor

    def __init__(self, name: str, value, bounds: tuple[float, float], size: int | None = None):
        super().__init__()
        try:
            low, high = bounds
        except (TypeError, ValueError):
            raise ValueError(
                f"the bounds of {name} must be two numbers, (low, high), not {bounds!r}"
            ) from None
        checks.number(f"the lower bound of {name}", low, above=0)
        checks.number(f"the upper bound of {name}", high, above=low)
        value = numbers(name, value).detach().clone()
        if size is not None:
            if value.ndim > 1 or value.numel() not in (1, size):
                raise ValueError(
                    f"{name} must be one number or {size}, one for each feature, but its shape is "
                    f"{checks.shape(value)}"
                )
            value = value.reshape(-1).expand(size).clone()
        if not (value.isfinite().all() and (value >= low).all() and (value <= high).all()):
            raise ValueError(
                f"{name} must lie within its bounds {low:g} and {high:g}, not {value.tolist()}; "
                "give other bounds or another start"
            )
        self.log = nn.Parameter(value.log())
        self.register_buffer("low", torch.tensor(low, dtype=torch.float64, device="cpu").log())
        self.register_buffer("high", torch.tensor(high, dtype=torch.float64, device="cpu").log())

    def forward(self) -> Tensor:
        """The positive value."""
        return self.log.exp()

    def clamp(self):
        """Bring the parameter back within its bounds, after a step of an optimiser."""
        with torch.no_grad():
            self.log.clamp_(self.low, self.high)

    def at_bounds(self, name: str) -> list[str]:
        """Which entries are at a bound, in words."""
        found = []
        for bound, word in ((self.low, "lower"), (self.high, "upper")):
            at = ((self.log.detach() - bound).abs() < 1e-9).reshape(-1).nonzero()[:, 0].tolist()
            for i in at:
                entry = name if self.log.ndim == 0 else f"{name}[{i}]"
                found.append(f"{entry} at its {word} bound {bound.exp():g}")
        return found


class ParametricKernel(nn.Module, ABC):
    """A kernel with parameters, float64; `kernel(x)` and `kernel(x, z)` are Gram matrices.

    Kernels add, multiply, and are weighted by a learned positive number that starts at the given
    one: `0.5 * k1 + k2 * k3`. A subclass defines `gram` and `diagonal`, and makes its positive
    parameters by `Positive`, in attributes that begin with an underscore.
    """

    columns: int | None = None  # how many features it is made for, where it is made for so many

    def forward(self, x: Float[Tensor, "n d"], z: Float[Tensor, "m d"] | None = None) -> Tensor:
        """k(x_i, z_j), (n, m); without z, k(x_i, x_j).

        Raises ValueError or TypeError where x and z are not finite matrices of equal width, or of
        another number of features than the kernel was made for.
        """
        checks.matrix("x", x, columns=self.columns)
        if z is None or z is x:
            x = checks.wide(x)
            return self.gram(x, x)
        x = checks.wide(x)
        checks.matrix("z", z, columns=x.shape[1])
        checks.same_place("z", z, "x", x)
        return self.gram(checks.wide(x), checks.wide(z))

    @abstractmethod
    def gram(self, x: Tensor, z: Tensor) -> Tensor:
        """k(x_i, z_j). Where z is x (the same tensor) the distances of the diagonal are zero."""

    @abstractmethod
    def diagonal(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """k(x_i, x_i)."""

    def positives(self) -> Iterator[tuple[str, Positive]]:
        """The positive parameters by name."""
        for path, module in self.named_modules():
            if isinstance(module, Positive):
                yield path.replace("._", ".").removeprefix("_"), module

    def values(self) -> dict[str, Tensor]:
        """The positive parameters as they are now, detached."""
        return {name: positive().detach() for name, positive in self.positives()}

    def at_bounds(self) -> list[str]:
        """Which parameters are at a bound, in words."""
        return [said for name, positive in self.positives() for said in positive.at_bounds(name)]

    def freeze(self) -> "Frozen":
        """A copy that no longer learns, for `interpolate`, `rho` and `KernelFlow`."""
        kernel = copy.deepcopy(self).eval()
        return Frozen(kernel.requires_grad_(False))

    def extra_repr(self) -> str:
        """The parameters, for the representation of the module."""
        return _shown({k: v for k, v in self.values().items() if "." not in k})

    def __add__(self, other):
        from kflow.learning.combine import Sum

        return Sum(self, other) if isinstance(other, ParametricKernel) else NotImplemented

    def __mul__(self, other):
        from kflow.learning.combine import Product, Weighted

        if isinstance(other, ParametricKernel):
            return Product(self, other)
        return Weighted(self, other)

    __rmul__ = __mul__


@dataclass(frozen=True)
class Frozen:
    """A learned kernel as a plain function of points; made by `ParametricKernel.freeze`."""

    kernel: ParametricKernel

    def __call__(self, x: Float[Tensor, "n d"], z: Float[Tensor, "m d"] | None = None) -> Tensor:
        """k(x_i, z_j), (n, m)."""
        return self.kernel(x, z)

    def diagonal(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """k(x_i, x_i)."""
        return self.kernel.diagonal(x)

    @property
    def columns(self) -> int | None:
        """How many features it is made for, where it is made for so many."""
        return self.kernel.columns

    def values(self) -> dict[str, Tensor]:
        """The positive parameters by name."""
        return self.kernel.values()

    def __repr__(self):
        return f"{type(self.kernel).__name__}({_shown(self.values())})"


def _shown(values: dict[str, Tensor]) -> str:
    def text(value):
        numbers = [f"{v:.3g}" for v in value.reshape(-1).tolist()]
        if len(numbers) > 6:
            numbers = [*numbers[:3], "...", *numbers[-2:]]
        return numbers[0] if value.ndim == 0 else f"[{', '.join(numbers)}]"

    return ", ".join(f"{name}={text(value)}" for name, value in values.items())
