"""Features and labels in units of their spread, and which of them are constant."""

import warnings
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from kflow import checks

ROUNDING = 8  # units in the last place: as much as means of equal numbers differ, of up to 2000


def features(
    x: Float[ndarray, "n d"], names: Iterable
) -> tuple[Float[ndarray, " d"], Float[ndarray, " d"], Bool[ndarray, " d"]]:
    """The mean and scale of each feature, and whether it varies; ValueError where none does.

    A feature that is constant has the scale 1. One that differs by rounding alone is called
    constant with a warning that names it.
    """
    varies = differs(x)
    if not varies.any():
        raise ValueError(
            "all features of X are constant, but for rounding, so no point differs from another"
        )
    lost = (x != x[0]).any(0) & ~varies
    if lost.any():
        named = ", ".join(str(name) for name, is_lost in zip(names, lost, strict=True) if is_lost)
        warnings.warn(
            f"columns of X that are constant but for rounding are left out: {named}; if what they "
            f"differ by, {ROUNDING} units in the last place of {x.dtype} at most, tells something, "
            "subtract their first value in a wider dtype",
            UserWarning,
            stacklevel=2,
        )
    mean, scale = spread(x)
    return mean, np.where(varies, scale, 1.0), varies


def labels(
    y: Float[ndarray, "n c"],
) -> tuple[Float[ndarray, "n c"], Float[ndarray, " c"], Float[ndarray, " c"]]:
    """Labels of mean 0 and deviation 1, the mean, the scale; all exactly 0 where y is constant."""
    varies = differs(y)
    mean, scale = spread(y)
    mean, scale = np.where(varies, mean, y[0]), np.where(varies, scale, 1.0)
    if scale.min() < 1 / checks.LARGEST_LABEL:
        raise ValueError(f"y varies by {scale.min():g}, too little to be squared; use other units")
    return np.where(varies, (y - mean) / scale, 0.0), mean, scale


def differs(values: Float[ndarray, "n d"]) -> Bool[ndarray, " d"]:
    """Whether each column differs by more than rounding, of its dtype and largest value."""
    return np.ptp(values, axis=0) > ROUNDING * np.spacing(np.abs(values).max(0))


def spread(values: Float[ndarray, "n d"]) -> tuple[Float[ndarray, " d"], Float[ndarray, " d"]]:
    """The mean and the standard deviation of each column, in any unit: no square underflows."""
    mean = values.mean(0, dtype=np.float64)
    largest = np.abs(values - mean).max(0)
    unit = np.where(largest > 0, largest, 1.0)
    return mean, unit * np.sqrt(np.square((values - mean) / unit).mean(0))
