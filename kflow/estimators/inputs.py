"""What both estimators ask of their data: finite numbers, a seed, tensors where they compute."""

import datetime
import functools
from collections.abc import Callable
from numbers import Integral

import numpy as np
import torch

from kflow import checks
from kflow.estimators.distinct import missing

with checks.extra("sklearn"):
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import validate_data

REAL = (np.float64, np.float32)
FILL = "leave them out, or fill them in with sklearn.impute.SimpleImputer"
LEAVE = "leave these rows out: a label cannot be filled in"
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
    """scikit-learn's validation; its errors name columns of words, and rows that lack values."""
    _numbers_alone(X)
    _nothing_masked("X", X, FILL)
    if not isinstance(y, str | None):
        _nothing_masked("y", y, LEAVE)
        kind = np.asarray(y).dtype.kind
        if kind == "f":
            _finite("y", y, LEAVE)
        if kind == "O" and (bad := missing(y)).any():
            _refuse_rows("y", "holds no label", bad, y, LEAVE)
    given, found = X, validate_data(estimator, X, y, dtype=REAL, ensure_all_finite=False, **options)
    X = found[0] if isinstance(found, tuple) else found  # noqa: N806
    _finite("X", given, FILL, X)
    if X.size and float(np.abs(X).max()) > checks.LARGEST_LABEL:
        raise ValueError(
            f"X must be at most {checks.LARGEST_LABEL:g}, but it reaches {np.abs(X).max():g}, too "
            "large to be squared; take other units"
        )
    return found


def _nothing_masked(name: str, given, cure: str):
    """Refuse masked entries: beneath the mask there are values, which would be used."""
    if np.ma.is_masked(given):
        _refuse_rows(name, "is masked", np.ma.getmaskarray(given), given, cure)


def _finite(name: str, given, cure: str, values: np.ndarray | None = None):
    """Refuse NaN and infinity."""
    bad = ~np.isfinite(np.asarray(given) if values is None else values)
    if bad.any():
        _refuse_rows(name, "contains NaN or infinity", bad, given, cure)


def _refuse_rows(name: str, what: str, bad: np.ndarray, given, cure: str):
    """The error that names some of the bad rows, by their labels where they have some."""
    bad = bad.reshape(len(bad) if bad.ndim else 1, -1)
    rows = np.flatnonzero(bad.any(1))
    labels = given.index if hasattr(given, "iloc") else range(len(bad))
    shown = ", ".join(str(labels[row]) for row in rows[:5]) + ", ..." * (len(rows) > 5)
    names = getattr(given, "columns", None)
    where = ""
    if names is not None:
        where = f" (columns {', '.join(str(names[c]) for c in np.flatnonzero(bad.any(0)))})"
    raise ValueError(f"{name} {what} in {len(rows)} of {len(bad)} rows: {shown}{where}; {cure}")


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
    values = np.ascontiguousarray(values)  # torch takes no rows in reverse order
    return torch.tensor(values, dtype=dtype, device="cpu").to(place)
