"""What both estimators ask of their data: finite numbers, a seed, tensors where they compute."""

from numbers import Integral

import numpy as np
import torch

from kflow import checks

with checks.extra("sklearn"):
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import validate_data

REAL = (np.float64, np.float32)


def validated(estimator, X, y="no_validation", **options):  # noqa: N803
    """scikit-learn's validation, with an error that names the rows which hold NaN or infinity."""
    if not isinstance(y, str) and np.asarray(y).dtype.kind == "f":
        finite_rows("y", np.asarray(y))
    found = validate_data(estimator, X, y, dtype=REAL, ensure_all_finite=False, **options)
    X = found[0] if isinstance(found, tuple) else found  # noqa: N806
    finite_rows("X", X)
    return found


def finite_rows(name: str, values: np.ndarray):
    """Refuse NaN and infinity, naming the first rows that hold one."""
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(1)
    if bad.any():
        rows = np.flatnonzero(bad)
        shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise ValueError(
            f"{name} contains NaN or infinity in {len(rows)} of {len(values)} rows: {shown}; drop "
            "them, or fill them in with sklearn.impute.SimpleImputer"
        )


def seeded(random_state) -> torch.Generator:
    """A generator from what scikit-learn takes: a number, a RandomState, or None for no seed."""
    if not isinstance(random_state, Integral):
        random_state = check_random_state(random_state).randint(2**31 - 1)
    return torch.Generator().manual_seed(int(random_state))


def tensor(values: np.ndarray, device: str) -> torch.Tensor:
    """The values where the estimator computes; in float32 on a device that has no float64."""
    place = checks.device(device)
    dtype = torch.float32 if place.type == "mps" else None
    return torch.tensor(values, dtype=dtype).to(place)
