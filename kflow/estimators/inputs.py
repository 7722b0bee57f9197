"""What both estimators ask of their data: finite numbers, a seed, tensors where they compute."""

import datetime
import functools
from collections.abc import Callable
from numbers import Integral

import numpy as np
import torch

from kflow import checks

with checks.extra("sklearn"):
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import validate_data

REAL = (np.float64, np.float32)
DATES = (np.datetime64, np.timedelta64, datetime.date, datetime.timedelta)


def all_or_nothing(fit: Callable) -> Callable:
    """A `fit` that starts from the parameters alone, and changes nothing where it does not end."""

    @functools.wraps(fit)
    def careful(self, *arguments, **named):
        before = vars(self)
        self.__dict__ = {name: value for name, value in before.items() if name[-1] != "_"}
        try:
            return fit(self, *arguments, **named)
        except BaseException:  # an interruption, too
            self.__dict__ = before
            raise

    return careful


def validated(estimator, X, y="no_validation", **options):  # noqa: N803
    """scikit-learn's validation, with errors that name columns of words, and rows with NaN."""
    _numbers_alone(X)
    if not isinstance(y, str) and np.asarray(y).dtype.kind == "f":
        finite_rows("y", y, "leave these rows out: a label cannot be filled in")
    given, found = X, validate_data(estimator, X, y, dtype=REAL, ensure_all_finite=False, **options)
    X = found[0] if isinstance(found, tuple) else found  # noqa: N806
    finite_rows("X", given, "leave them out, or fill them in with sklearn.impute.SimpleImputer", X)
    if X.size and float(np.abs(X).max()) > checks.LARGEST_LABEL:
        raise ValueError(
            f"X must be at most {checks.LARGEST_LABEL:g}, but it reaches {np.abs(X).max():g}, too "
            "large to be squared; take other units"
        )
    return found


def finite_rows(name: str, given, cure: str, values: np.ndarray | None = None):
    """Refuse NaN and infinity, naming rows that hold one, by their labels where they have some."""
    values = np.asarray(given) if values is None else values
    if not values.size:
        return
    bad = ~np.isfinite(values.reshape(len(values), -1))
    rows = np.flatnonzero(bad.any(1))
    if len(rows):
        labels = given.index if hasattr(given, "iloc") else range(len(values))
        shown = ", ".join(str(labels[row]) for row in rows[:5]) + ", ..." * (len(rows) > 5)
        columns = np.flatnonzero(bad.any(0))
        names = getattr(given, "columns", None)
        where = (
            f" (columns {', '.join(str(names[c]) for c in columns)})" if names is not None else ""
        )
        raise ValueError(
            f"{name} contains NaN or infinity in {len(rows)} of {len(values)} rows: "
            f"{shown}{where}; {cure}"
        )


def _numbers_alone(X):  # noqa: N803
    """Refuse dates, and a data frame with columns of words or dates, by their names."""
    if not hasattr(X, "select_dtypes"):
        _no_dates("X", X)
        return
    if not X.columns.is_unique:
        twice = [str(name) for name in X.columns[X.columns.duplicated()]]
        raise ValueError(f"X has several columns of one name: {', '.join(twice)}; rename them")
    other = [str(name) for name in X if not _are_numbers(X[name])]
    if other:
        raise ValueError(
            f"X has columns that are no numbers: {', '.join(other)}; turn words into numbers by "
            "OneHotEncoder(sparse_output=False), and dates into days since the first, say"
        )


def _no_dates(name: str, values):
    values = np.asarray(values) if isinstance(values, list | tuple) else values
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    first = values.flat[0] if kind == "O" and getattr(values, "size", 0) else None
    if kind in ("m", "M") or isinstance(first, DATES):
        raise ValueError(
            f"{name} holds dates or durations; turn them into numbers, days since the first, say"
        )


def _are_numbers(column) -> bool:
    kind = getattr(column.dtype, "kind", "O")
    if kind in "biufmM":
        return kind not in "mM"
    try:
        column.astype(float)
    except (TypeError, ValueError):
        return False
    return True


def floats(y) -> np.ndarray:
    """Labels as float64; ValueError where they are no numbers."""
    _no_dates("y", np.asarray(y))
    try:
        found = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers to be regressed: {error}") from None
    if float(np.abs(found).max()) > checks.LARGEST_LABEL:
        raise ValueError(
            f"y must be at most {checks.LARGEST_LABEL:g}, but it reaches {np.abs(found).max():g}"
        )
    return found


def spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation of each column, in any unit: no square underflows."""
    mean = values.mean(0, dtype=np.float64)
    largest = np.abs(values - mean).max(0)
    unit = np.where(largest > 0, largest, 1.0)
    return mean, unit * np.sqrt(np.square((values - mean) / unit).mean(0))


def seeded(random_state) -> torch.Generator:
    """A generator from what scikit-learn takes: a number, a RandomState, or None for no seed."""
    if not isinstance(random_state, Integral):
        random_state = check_random_state(random_state).randint(2**31 - 1)
    checks.integer("random_state", random_state, least=0, most=2**63 - 1)
    return torch.Generator().manual_seed(int(random_state))


def tensor(values: np.ndarray, device: str | torch.device) -> torch.Tensor:
    """The values where the estimator computes; in float32 on a device that has no float64."""
    place = checks.device(device)
    dtype = torch.float32 if place.type == "mps" else None
    return torch.tensor(values, dtype=dtype, device="cpu").to(place)
