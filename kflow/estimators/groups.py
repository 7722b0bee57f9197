"""Rows that belong together, and are left out together where error bars are calibrated."""

import numpy as np
import torch

from kflow.estimators.distinct import distinct


def numbered(given, n: int) -> np.ndarray | None:
    """Which group each of n rows is of, as numbers; ValueError where there are not two groups."""
    if given is None:
        return None
    if np.shape(given) != (n,):
        raise ValueError(f"groups must be ({n},), one for each row, not {np.shape(given)}")
    found = distinct("groups", given)[1]
    split(found, torch.arange(n, device="cpu"))
    return found


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
