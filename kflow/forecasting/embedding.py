"""Delay embedding of a series, and how long a forecast is valid."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from kflow import checks
from kflow.estimators.standardise import differs, spread

FEWEST = 4  # rows from which a KernelFlowRegressor learns


def as_series(values, name="series") -> Float[ndarray, "n d"]:
    """A series as (n, d); ValueError or TypeError where a value is no finite number."""
    values = floats(name, values)
    if values.ndim not in (1, 2) or not values.size:
        raise ValueError(f"{name} must be (n,) or (n, d), n > 0, but its shape is {values.shape}")
    values = values.reshape(len(values), -1)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{name} holds NaN or infinity at {len(bad)} times, the first is {bad[0]}; fill it in, "
            "or, where the times are not regular, leave it out and give `times`"
        )
    if float(np.abs(values).max()) > checks.LARGEST_LABEL:
        raise ValueError(
            f"{name} must be at most {checks.LARGEST_LABEL:g}, but it reaches "
            f"{np.abs(values).max():g}, too large to be squared; take other units"
        )
    return values


def floats(name: str, values) -> ndarray:
    """An array of floats, NaN where it is masked; TypeError where it holds what is no number."""
    try:
        if np.iscomplexobj(values):
            raise TypeError("complex numbers")
        found = np.ma.asarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)
        if found.dtype.kind in "mM":
            raise TypeError("dates or durations")
        return np.ma.filled(found.astype(float), np.nan)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"{name} must be an array of numbers, not {type(values)}: {error}"
        ) from None


def states(last) -> Float[ndarray, "*b n d"]:
    """One series, or many of one length, (starts, n, d)."""
    values = floats("last", last)
    if values.ndim == 3:
        as_series(values.reshape(-1, values.shape[-1]), "last")
        return values
    return as_series(values, "last")


def window_of(delays: int, gap: int) -> int:
    """How many values in a row an embedding needs."""
    checks.integer("delays", delays, least=1, most=10**9)
    checks.integer("gap", gap, least=1, most=10**9)
    return (int(delays) - 1) * int(gap) + 1


def embed(series, delays: int, gap: int = 1) -> tuple[Float[ndarray, "m k"], Float[ndarray, "m d"]]:
    """Rows of the last `delays` values, the newest first, `gap` apart, and the value after each.

    Raises ValueError where the series is shorter than that.
    """
    values = as_series(series)
    window = window_of(delays, gap)
    if len(values) <= window:
        raise ValueError(
            f"the series holds {len(values)} values, but delays={delays} with gap={gap} need more "
            f"than {window}: take fewer delays, or a longer series"
        )
    starts = np.arange(window - 1, len(values) - 1)
    return rows(values, starts, delays, gap), values[window:]


def enough(n: int, delays: int, gap: int):
    """Refuse so few rows of `embed` that a KernelFlowRegressor learns nothing from them."""
    if n < FEWEST:
        raise ValueError(
            f"the series leaves {n} windows of delays={delays} with gap={gap}, but it takes "
            f"{FEWEST} to learn from: take fewer delays, or a longer series"
        )


def rows(values, at, delays, gap):
    """The embedded rows at the times `at`; leading dimensions of values stay."""
    return np.concatenate([values[..., at - i * gap, :] for i in range(delays)], axis=-1)


def scale_of(series) -> Float[ndarray, " d"]:
    """The standard deviation of each variable, the unit in which errors are read.

    It is exactly 0 for one that is constant, but for rounding.
    """
    values = as_series(series)
    return np.where(differs(values), spread(values)[1], 0.0)


def valid_time(truth, forecast, scale, threshold=0.4, dt=1.0, exponent: float | None = None):
    """The time until the error first exceeds the threshold, the whole length where it never does.

    The error is the root mean square over variables of (forecast - truth) / scale. truth and
    forecast are (T, d), or (starts, T, d), which gives (starts,); their first row is a time dt
    after the start. With an exponent the time is in units of 1 / exponent, the Lyapunov time.
    """
    threshold = checks.number("threshold", threshold, above=0)
    dt = checks.number("dt", dt, above=0, most=checks.LARGEST_LABEL)
    exponent = 1.0 if exponent is None else exponent
    exponent = checks.number("exponent", exponent, above=0, most=checks.LARGEST_LABEL)
    truth, forecast = floats("truth", truth), floats("forecast", forecast)
    if truth.shape != forecast.shape or truth.ndim not in (2, 3):
        raise ValueError(
            f"truth and forecast must both be (T, d) or (starts, T, d), not {truth.shape} and "
            f"{forecast.shape}"
        )
    if not truth.size:
        raise ValueError(f"truth holds no value, its shape is {truth.shape}; give at least one")
    if not np.isfinite(truth).all():
        raise ValueError("truth holds NaN or infinity, beside which no forecast is valid or not")
    scale = floats("scale", scale)
    if scale.shape not in ((), truth.shape[-1:]) or not ((scale > 0) & np.isfinite(scale)).all():
        raise ValueError(
            f"scale must be a positive number, or {truth.shape[-1]}, one for each variable, not "
            f"{scale.tolist()}: scale_of(series) gives them, 0 for a variable that is constant"
        )
    error = np.sqrt((((forecast - truth) / scale) ** 2).mean(-1))
    wrong = ~(error <= threshold)  # NaN too
    first = np.where(wrong.any(-1), wrong.argmax(-1), wrong.shape[-1])
    time = first * dt * exponent
    return float(time) if time.ndim == 0 else time
