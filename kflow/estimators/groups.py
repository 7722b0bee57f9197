"""Rows that belong together, and are left out together where error bars are calibrated."""

import numpy as np
import torch


def numbered(given, n: int) -> np.ndarray | None:
    """Which group each of n rows is of, as numbers; ValueError where there are not two groups."""
    if given is None:
        return None
    missing = np.ma.getmaskarray(given) if np.ma.isMaskedArray(given) else False
    found, objects = np.asarray(given), np.asarray(given, dtype=object)
    if found.shape != (n,):
        raise ValueError(f"groups must be ({n},), one for each row, not {found.shape}")
    missing |= np.array([_is_missing(value) for value in objects])
    if missing.any():
        raise ValueError(f"groups holds none for row {int(missing.argmax())}; name its group")
    try:
        found = np.unique(found, return_inverse=True)[1]
    except TypeError as error:
        raise ValueError(f"groups must be all numbers or all words: {error}") from None
    split(found, torch.arange(n, device="cpu"))
    return found


def _is_missing(value) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas' NA is neither
        return True


def split(numbers: np.ndarray, rows: torch.Tensor) -> list[torch.Tensor]:
    """For each group the places of its rows among `rows`; ValueError where there is only one."""
    of = torch.from_numpy(numbers)[rows.cpu()]
    found = [(of == each).nonzero()[:, 0] for each in of.unique()]
    if len(found) < 2:
        raise ValueError(
            f"all of the {len(rows)} rows that choose the length of the error bars are of one "
            "group, but each group is left out in turn; give more groups, or a larger n_interp"
        )
    return found
