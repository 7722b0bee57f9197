"""Times as numbers: what a series was sampled at, as dates, durations or numbers."""

from dataclasses import dataclass

import numpy as np

from kflow.forecasting.embedding import floats

KINDS = {"M": "dates", "m": "durations"}  # of NumPy; anything else is numbers
ZERO = np.datetime64(0, "s")


@dataclass(frozen=True)
class Clock:
    """How the times of a fit were given: what kind they are, and the first second of dates.

    Seconds are counted from there: from 1970 on, float64 would hold no more than microseconds.
    """

    kind: str
    origin: np.datetime64 = ZERO

    @classmethod
    def of(cls, times) -> "Clock":
        """The clock that these times start."""
        found = _array(times)
        kind = KINDS.get(found.dtype.kind, "numbers")
        if kind == "dates" and found.size:
            return cls(kind, found.flat[0].astype("datetime64[s]"))
        return cls(kind)

    def read(self, times) -> np.ndarray:
        """The times as numbers, those of dates and durations as seconds; TypeError for others."""
        found = _array(times)
        kind = KINDS.get(found.dtype.kind, "numbers")
        if kind != self.kind and found.size:
            raise TypeError(f"times must be {self.kind}, as in fit, not {kind}")
        if kind == "numbers":
            return floats("times", found)
        unit = "datetime64[s]" if kind == "dates" else "timedelta64[s]"
        whole = found.astype(unit)
        since = whole - self.origin if kind == "dates" else whole
        return since.astype(np.int64) + (found - whole) / np.timedelta64(1, "s")

    def shown(self, seconds: float) -> str:
        """A time as a message shows it."""
        if self.kind == "dates":
            return str(
                self.origin.astype("datetime64[ms]") + np.timedelta64(round(1e3 * seconds), "ms")
            )
        return f"{seconds:g}"


def increasing(times: np.ndarray, n: int) -> np.ndarray:
    """The n times of n values; ValueError where they do not increase."""
    if times.shape != (n,):
        raise ValueError(f"times must be ({n},), one for each value, not {times.shape}")
    if not np.isfinite(times).all():
        raise ValueError(f"times must be finite, not {times[~np.isfinite(times)][0]}")
    if not (np.diff(times) > 0).all():
        at = int(np.flatnonzero(~(np.diff(times) > 0))[0])
        raise ValueError(f"times must increase, but times[{at + 1}] = {times[at + 1]:g} does not")
    return times


def _array(times) -> np.ndarray:
    """Times as an array; TypeError or ValueError where a date is missing, or has a time zone."""
    found = np.ma.asarray(times) if np.ma.isMaskedArray(times) else np.asarray(times)
    if found.dtype == object and any(hasattr(each, "isoformat") for each in found.flat):
        zoned = [each for each in found.flat if getattr(each, "tzinfo", None) is not None]
        if zoned:
            raise TypeError(
                f"times must be without a time zone, not {zoned[0]!r}: convert them to UTC"
            )
        found = _dates(found)
    if found.dtype.kind in KINDS and (np.isnat(found).any() or np.ma.is_masked(found)):
        raise ValueError("times holds NaT or a masked date; leave it out")
    return found


def _dates(times: np.ndarray) -> np.ndarray:
    """Dates of Python as those of NumPy, those of pandas with all of their digits."""
    try:
        if all(hasattr(each, "to_datetime64") for each in times.flat):
            return np.array([each.to_datetime64() for each in times.flat]).reshape(times.shape)
        return times.astype("datetime64[us]")
    except (TypeError, ValueError) as error:
        raise TypeError(f"times must be dates, or numbers, not both: {error}") from None
