"""What an observer is shown of a flow on its way, and what is kept of its answer."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from kflow import checks


class State(NamedTuple):
    """What an observer sees after `layer` layers: copies of the points, and rho, eps so far."""

    layer: int
    points: Float[Tensor, "n d"]
    carried: Float[Tensor, "m d"] | None
    rho: Float[Tensor, " layer"]
    eps: Float[Tensor, " layer"]


def numbers_and_tensors(found, layer: int) -> dict:
    """What an observer returned, as plain numbers and detached tensors; else TypeError."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise TypeError(f"observe must return a dict or None, not {type(found).__name__}")
    kept: dict[str, object] = {}
    for name, value in found.items():
        if not isinstance(name, str):
            raise TypeError(f"observe must name what it returns by strings, not {name!r}")
        if isinstance(value, Tensor):
            kept[name] = value.detach().cpu().clone()
        elif isinstance(value, bool | np.bool_):
            kept[name] = bool(value)
        elif isinstance(value, Real):
            kept[name] = int(value) if isinstance(value, Integral) else float(value)
        else:
            raise TypeError(
                f"observe returned {name!r} of type {type(value).__name__} at layer {layer}; "
                f"return numbers and tensors"
            )
    return kept


def numbers_of_layers(name: str, value) -> list[int]:
    """The numbers of layers in a list; TypeError or ValueError where it holds anything else."""
    try:
        found = list(value)
    except TypeError:
        raise TypeError(f"{name} must be a list of layers, not {value!r}") from None
    return [checks.integer(f"each of {name}", layer, least=0) for layer in found]
