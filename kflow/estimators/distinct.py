"""Distinct words or numbers, as classes and groups are named by."""

import numpy as np


def distinct(name: str, given) -> tuple[np.ndarray, np.ndarray]:
    """What is named, in order, and which of it each row is; ValueError where a row has no name."""
    lost = missing(given)
    if lost.any():
        raise ValueError(
            f"{name} holds none for row {int(lost.argmax())}; name it, or leave it out"
        )
    try:
        found, numbers = np.unique(np.asarray(given), return_inverse=True)
    except TypeError as error:
        raise ValueError(f"{name} must be all numbers or all words: {error}") from None
    return found, numbers


def missing(given) -> np.ndarray:
    """Where there is nothing: None, NaN, NaT, pandas' NA, or a mask."""
    found = np.vectorize(_is_missing, otypes=[bool])(np.asarray(given, dtype=object))
    return found | np.ma.getmaskarray(given) if np.ma.isMaskedArray(given) else found


def _is_missing(value) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas' NA is neither
        return True
