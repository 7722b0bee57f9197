"""Argument checks: every error names the value that was seen and the cure."""

import contextlib
import math
from numbers import Integral, Real

import torch
from torch import Tensor

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
LARGEST = 1e16  # of a coordinate: what is squared and summed is then finite in float32
LARGEST_LABEL = 1e100  # its square is finite in float64, in which labels are used
BANDWIDTHS = (1e-18, 1e18)  # the squares of these are finite and not zero in float32


class NotPositiveDefinite(ValueError):
    """A Gram matrix has no factor that float64 can solve with: the nugget is too small.

    `pair` holds the positions of the two closest points, and `points` these, (2, d).
    """

    def __init__(
        self, message: str, pair: tuple[int, int] | None = None, points: Tensor | None = None
    ):
        super().__init__(message)
        self.pair, self.points = pair, points


@contextlib.contextmanager
def extra(name: str):
    """Around imports of what kflow itself does not need: say which extra brings what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed; pip install 'kflow[{name}]' brings it", name=error.name
        ) from error


def matrix(name: str, value: Tensor, *, columns=None, rows=None, largest: float = LARGEST):
    """Refuse what is not a finite floating-point matrix (of so many rows or columns)."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor, not {type(value).__name__}; "
            f"torch.as_tensor({name}) converts an array"
        )
    if value.layout != torch.strided or value.is_nested:
        raise TypeError(f"{name} must be a dense tensor; {name}.to_dense() converts a sparse one")
    if value.ndim != 2:
        raise ValueError(
            f"{name} must be a matrix (2 dimensions), but its shape is {tuple(value.shape)}; "
            f"a column is {name}[:, None]"
        )
    if value.dtype not in DTYPES:
        raise TypeError(
            f"{name} must be floating point, but its dtype is {value.dtype}; use {name}.float()"
        )
    if value.shape[1] == 0:
        raise ValueError(f"{name} has no columns, its shape is {shape(value)}; give at least one")
    if columns is not None and value.shape[1] != columns:
        raise ValueError(f"{name} must have {columns} columns, but its shape is {shape(value)}")
    if rows is not None and value.shape[0] != rows:
        raise ValueError(f"{name} must have {rows} rows, but its shape is {shape(value)}")
    if value.is_meta:
        raise ValueError(
            f"{name} is on torch's device meta, which holds no numbers; make it on cpu"
        )
    _finite(name, value.detach(), largest)


def _finite(name: str, value: Tensor, largest: float):
    """Refuse NaN, infinity, and numbers so large that their squares would be infinite."""
    if not len(value) or float(torch.stack(value.aminmax()).abs().max()) <= largest:
        return  # NaN is not
    bad = ~torch.isfinite(value)
    if bad.any():
        row = int(bad.any(dim=1).nonzero()[0])
        raise ValueError(
            f"{name} must be finite, but row {row} holds NaN or infinity; drop or repair that row"
        )
    row = int((value.abs() > largest).any(dim=1).nonzero()[0])
    raise ValueError(
        f"{name} must be at most {largest:g}, but row {row} holds "
        f"{float(value[row].abs().max()):g}, too large to be squared; take other units"
    )


def shape(value: Tensor) -> str:
    """The shape as a message shows it."""
    return str(tuple(value.shape))


def same_place(name: str, value: Tensor, other_name: str, other: Tensor):
    """Refuse two tensors on different devices."""
    if value.device != other.device:
        raise ValueError(
            f"{name} is on {value.device} but {other_name} is on {other.device}; "
            f"move one: {name}.to({other_name}.device)"
        )


def same_dtype(name: str, value: Tensor, other_name: str, other: Tensor):
    """Refuse two tensors of different dtypes."""
    if value.dtype != other.dtype:
        raise TypeError(
            f"{name} is {value.dtype} but {other_name} is {other.dtype}; "
            f"convert one: {name}.to({other_name}.dtype)"
        )


def device(asked: str | torch.device) -> torch.device:
    """The device that a user names; ValueError, with those that there are, where it is missing."""
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    there += ["mps:0"] if torch.backends.mps.is_available() else []
    try:
        found = torch.device(asked)
    except (RuntimeError, TypeError):  # no such word
        found = None
    if found is None or not any(str(found) in (name, name.partition(":")[0]) for name in there):
        raise ValueError(f"device must be one of this machine's, {', '.join(there)}, not {asked!r}")
    return found


def points_and_labels(x: Tensor, y: Tensor, x_name="x", y_name="y", width=None, outputs=None):
    """Refuse points and labels that do not belong together, or have other columns than given."""
    matrix(x_name, x, columns=width)
    matrix(y_name, y, columns=outputs, rows=len(x), largest=LARGEST_LABEL)
    same_place(y_name, y, x_name, x)


def number(name: str, value, *, above=None, least=None, most=None) -> float:
    """A finite real number above (or at least) a bound, as a float; refuse any other."""
    if isinstance(value, Tensor) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        finite = False
    if not finite:
        raise ValueError(f"{name} must be finite, not {value!r}")
    found = float(value)  # NumPy takes a bound to the precision of the value, and may overflow
    if above is not None and not found > above:
        raise ValueError(f"{name} must be above {above}, not {value!r}")
    if least is not None and not found >= least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    if most is not None and not found <= most:
        raise ValueError(f"{name} must be at most {most}, not {value!r}")
    return found


def flag(name: str, value):
    """Refuse what is not True or False."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):  # NumPy's
        raise TypeError(f"{name} must be True or False, not {value!r}")


def integer(name: str, value, *, least=None, most=None) -> int:
    """An integer between two bounds, as Python's own; refuse any other."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most}, not {value}")
    return int(value)


def choice(name: str, value, known):
    """Refuse what is not one of the known words."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")


def generator(rng):
    """Refuse what is not a CPU generator: all devices play the same games."""
    if not isinstance(rng, torch.Generator) or rng.device.type != "cpu":
        raise TypeError(
            f"rng must be a CPU torch.Generator, not {rng!r}; "
            f"torch.Generator().manual_seed(0) is one"
        )


def batch_size(n_fine, n_points: int):
    """Refuse a batch that cannot be halved or that is larger than the data."""
    if n_points < 2:
        raise ValueError(f"a game halves at least 2 points, but x holds {n_points}; give more")
    even("n_fine", n_fine)
    if n_fine > n_points:
        raise ValueError(f"n_fine must be at most {n_points}, not {n_fine}: x holds no more points")


def even(name: str, value) -> int:
    """An even number of points, two at least; refuse any other."""
    found = integer(name, value, least=2)
    if found % 2:
        raise ValueError(f"{name} must be even, so that it can be halved, not {value}")
    return found


def kernel(name: str, value):
    """Refuse what cannot be called as a kernel, a class of kernels among it."""
    if isinstance(value, type):
        raise TypeError(f"{name} must be a kernel, as {value.__name__}(...) is, not the class")
    if not callable(value):
        raise TypeError(f"{name} must be callable, as Gaussian(gamma) is, not {value!r}")


def coarse_positions(coarse: Tensor, n_fine: int):
    """Refuse positions that are not a proper, repetition-free part of the batch."""
    if (
        not isinstance(coarse, Tensor)
        or coarse.is_meta
        or coarse.dtype != torch.int64
        or coarse.ndim != 1
    ):
        raise TypeError(f"coarse must be a vector of int64 positions, not {coarse!r}")
    if not 1 <= len(coarse) <= n_fine:
        raise ValueError(f"coarse must hold 1 to {n_fine} positions, not {len(coarse)}")
    if int(coarse.min()) < 0 or int(coarse.max()) >= n_fine:
        raise ValueError(f"coarse positions must lie in 0 .. {n_fine - 1}, not {coarse.tolist()}")
    if len(coarse.unique()) < len(coarse):
        raise ValueError("coarse names a position twice; each point is kept once")


def wide(x: Tensor) -> Tensor:
    """The tensor in float64: where it is, or on the CPU if its device has no float64."""
    if x.device.type == "mps":
        x = x.cpu()
    if x.is_inference() and not torch.is_inference_mode_enabled():
        x = x.clone()  # what was made in inference mode has no gradients outside of it
    return x.to(torch.float64)
