"""Times as numbers: what a series was sampled at, as dates, durations or numbers."""

import datetime
import warnings
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from kflow.forecasting.embedding import floats, window_of

KINDS = {"M": "dates", "m": "durations"}  # of NumPy; anything else is numbers
DATES = (datetime.date, np.datetime64)
DURATIONS = (datetime.timedelta, np.timedelta64)


@dataclass(frozen=True)
class Clock:
    """How the times of a fit were given: what kind they are, and where they are counted from.

    Dates count from their first second, in seconds, and integers from the first of them: from 1970
    on, float64 would hold no more than microseconds. Durations and other numbers count from 0.
    """

    kind: str
    origin: np.datetime64 | int = 0

    @classmethod
    def of(cls, times) -> "Clock":
        """The clock that these times start."""
        found = _array(times)
        kind = KINDS.get(found.dtype.kind, "numbers")
        first = np.ma.getdata(found).flat[0] if found.size else None
        if first is not None and kind == "dates":
            return cls(kind, first.astype("datetime64[s]"))
        return cls(kind, int(first) if first is not None and _are_whole(found) else 0)

    def read(self, times) -> np.ndarray:
        """The times as numbers, those of dates and durations as seconds; TypeError for others."""
        found = _array(times)
        if not found.size:
            return np.zeros(found.shape)
        kind = KINDS.get(found.dtype.kind, "numbers")
        if kind != self.kind:
            raise TypeError(f"times must be {self.kind}, as in fit, not {kind}")
        if kind == "numbers":  # the difference of integers of Python is exact
            exact = found.astype(object) if _are_whole(found) else _numbers(found)
            return floats("times", exact - self.origin)
        unit = "datetime64[s]" if kind == "dates" else "timedelta64[s]"
        whole = found.astype(unit)
        since = whole - self.origin if kind == "dates" else whole
        return since.astype(np.int64) + (found - whole) / np.timedelta64(1, "s")

    def shown(self, time: float) -> str:
        """A time that was read, as a message shows it."""
        if isinstance(self.origin, np.datetime64):
            return str(
                self.origin.astype("datetime64[ms]") + np.timedelta64(round(1e3 * time), "ms")
            )
        if float(time).is_integer() and abs(time) < 2**53:
            return str(self.origin + int(time))
        return f"{self.origin + time:g}"

    def increasing(self, times, n: int | None = None) -> np.ndarray:
        """The times, of n values, as numbers; ValueError where they do not increase."""
        found = self.read(times)
        if n is not None and found.shape != (n,):
            raise ValueError(f"times must be ({n},), one for each value, not {found.shape}")
        if found.ndim != 1 or not found.size:
            raise ValueError(f"times must be (k,), k > 0, those to forecast, not {found.shape}")
        if not np.isfinite(found).all():
            raise ValueError(f"times must be finite, not {found[~np.isfinite(found)][0]}")
        late = np.flatnonzero(~(np.diff(found) > 0)) + 1
        if len(late):
            raise ValueError(
                f"times must increase, but times[{late[0]}] = {self.shown(found[late[0]])} does not"
            )
        return found


def gaps_of(times: Float[ndarray, " n"], delays: int, gap: int) -> Float[ndarray, "m k"]:
    """For each row of `embed` the time to the next value, then those between the embedded ones."""
    at = np.arange(window_of(delays, gap) - 1, len(times) - 1)
    places = [at + 1, *(at - i * gap for i in range(delays))]
    return np.stack([times[a] - times[b] for a, b in zip(places, places[1:], strict=False)], 1)


def warn_of_gaps(series):
    """Say where the dates of a pandas series are not regular: its values are taken as if they were.

    Weekends are no gaps where no date falls on one.
    """
    index = np.asarray(getattr(series, "index", ()))
    if index.dtype.kind != "M" or len(index) < 3 or np.isnat(index).any():
        return
    days = index.astype("datetime64[D]")
    steps = np.diff(index).astype(float)
    if np.is_busday(days).all():
        steps = np.busday_count(days[:-1], days[1:]).astype(float)
    usual, longest = np.median(steps), int(steps.argmax())
    if steps[longest] > 1.5 * usual:
        warnings.warn(
            f"the series is taken as regular, but from {index[longest]} to {index[longest + 1]} it "
            f"is {steps[longest] / usual:.1f} times as long as usual: fill in what is missing, or, "
            "where nothing is regular, give `times`",
            UserWarning,
            stacklevel=3,
        )


def _numbers(times: np.ndarray) -> np.ndarray:
    """Times as floats; the error for others says what makes dates of them."""
    try:
        return floats("times", times)
    except TypeError as error:
        raise TypeError(
            f"{error}. Dates and durations are taken, too: pandas.to_datetime reads words, and "
            "to_timestamp makes dates of periods"
        ) from None


def _are_whole(times: np.ndarray) -> bool:
    objects = times.dtype == object
    return times.dtype.kind in "iu" or objects and all(isinstance(t, Integral) for t in times.flat)


def _array(times) -> np.ndarray:
    """Times as an array; TypeError or ValueError where a date is missing, or has a time zone."""
    found = np.ma.asarray(times) if np.ma.isMaskedArray(times) else np.asarray(times)
    # of a list NumPy would take a number beside a duration for one
    each = np.asarray(times, dtype=object) if isinstance(times, list | tuple) else found
    if each.dtype == object and not np.ma.is_masked(each):
        firsts = {_kind(t): t for t in reversed(each.flatten())}
        if len(firsts) > 1:
            one, other = [f"{t!r}" for t in firsts.values()][:2]
            raise TypeError(
                "times must be all dates, all durations or all numbers, not both, as "
                f"{other} and {one} are"
            )
        if not firsts.keys() <= {"numbers"}:
            found = _exact(each)
    if found.dtype.kind in KINDS and (np.isnat(found).any() or np.ma.is_masked(found)):
        raise ValueError("times holds NaT or a masked date; leave it out")
    return found


def _kind(time) -> str:
    if isinstance(time, DATES):
        return "dates"
    return "durations" if isinstance(time, DURATIONS) else "numbers"


def _exact(times: np.ndarray) -> np.ndarray:
    """Dates or durations of Python as those of NumPy, those of pandas with all of their digits."""
    zoned = [each for each in times.flat if getattr(each, "tzinfo", None) is not None]
    if zoned:
        raise TypeError(
            f"times must be without a time zone, not {zoned[0]!r}: convert them to UTC and leave "
            "the zone out, as tz_convert(None) of pandas does"
        )

    def exact(time):
        if isinstance(time, DURATIONS):
            return (
                time.to_timedelta64() if hasattr(time, "to_timedelta64") else np.timedelta64(time)
            )
        return time.to_datetime64() if hasattr(time, "to_datetime64") else np.datetime64(time)

    return np.array([exact(each) for each in times.flat]).reshape(times.shape)
