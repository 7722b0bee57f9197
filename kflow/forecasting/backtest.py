"""Forecasts from one time after another, each of what came after the values it was learned from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from kflow import checks
from kflow.forecasting.embedding import as_series

with checks.extra("sklearn"):
    from sklearn.base import BaseEstimator, clone
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted


@dataclass(frozen=True)
class Backtest:
    """What was forecast from each origin o, and what came: the values o, o + 1, ... of a series.

    A series (n,) has no last dimension d here. draws are None unless they were asked for.
    """

    origins: Int[ndarray, " o"]
    truth: Float[ndarray, "o horizon *d"]
    forecasts: Float[ndarray, "o horizon *d"]
    draws: Float[ndarray, "o samples horizon *d"] | None = None

    def rmse(self) -> Float[ndarray, "horizon *d"]:
        """The root mean square error by steps ahead, over the origins."""
        return np.sqrt(((self.forecasts - self.truth) ** 2).mean(0))

    def held(self, level: float = 0.9) -> Float[ndarray, "horizon *d"]:
        """The share of origins whose interval of that level holds the truth, by steps ahead.

        Raises ValueError where the draws are too few for an interval of that level.
        """
        level = checks.number("level", level, above=0, most=1)
        if self.draws is None:
            raise ValueError("intervals need draws: backtest(..., n_samples=200) makes them")
        n = self.draws.shape[1]
        widest = (n - 1) / (n + 1)  # from the least of the draws to the largest
        if level > widest:
            raise ValueError(
                f"{n} draws make no interval of the level {level:g}, only up to {widest:.3g}; take "
                "a larger n_samples"
            )
        ends = [(1 - level) / 2, (1 + level) / 2]
        low, high = np.quantile(self.draws, ends, axis=1, method="weibull")
        return ((low <= self.truth) & (self.truth <= high)).mean(0)


def backtest(
    model, series, horizon, origins=10, every=None, times=None, n_samples=0, random_state=0
) -> Backtest:
    """Fit the model anew at each origin, from the values before it alone, and forecast from there.

    model is a OneStepMap, SeasonalNaive, or another of scikit-learn's kind with `fit(series)` and
    `forecast(horizon=...)`, with times `fit(series, times)` and `forecast(times=...)`; a copy is
    fitted. origins is their number, `every` values apart (None: the horizon), the last of them so
    that its forecast ends with the series; or their places, each that of the first value to
    forecast. With n_samples so many paths are drawn from each, too. Raises ValueError where the
    series is too short for that, or a forecast has not the shape of what came.
    """
    values = as_series(series)
    checks.integer("horizon", horizon, least=1, most=10**9)
    checks.integer("n_samples", n_samples, least=0)
    if times is not None and np.shape(times) != (len(values),):
        raise ValueError(
            f"times must be one for each of the {len(values)} values, not {np.shape(times)}"
        )
    if not hasattr(model, "forecast"):
        raise TypeError(f"{type(model).__name__} has no forecast; OneStepMap(regressor) makes one")
    if n_samples and not hasattr(model, "sample"):
        raise TypeError(f"{type(model).__name__} draws no paths; take n_samples=0")
    places = _places(origins, horizon if every is None else every, horizon, len(values))
    seeds = check_random_state(random_state).randint(2**31 - 1, size=len(places))
    whole = values.reshape(np.shape(series))
    given = getattr(series, "iloc", whole)  # a frame keeps its names
    times = getattr(times, "iloc", times)
    truth = np.stack([whole[place : place + horizon] for place in places])
    found = []
    for place, seed in zip(places, seeds, strict=True):
        try:
            found.append(_made(model, given, place, horizon, times, n_samples, int(seed)))
            for path in (found[-1][0], *found[-1][1]):
                if np.shape(path) != truth.shape[1:]:
                    raise ValueError(
                        f"a forecast must have the shape {truth.shape[1:]}, not {np.shape(path)}"
                    )
        except (ValueError, ArithmeticError) as error:
            error.add_note(f"This was at origin {place}, from the {place} values before.")
            raise
    forecasts, draws = (np.array(part) for part in zip(*found, strict=True))
    return Backtest(places, truth, forecasts, draws if n_samples else None)


class SeasonalNaive(BaseEstimator):
    """The values of one period before, again and again; period=1 is the last value: a baseline."""

    def __init__(self, period=1):
        self.period = period

    def fit(self, series):
        """Keep the last period of a series (n,) or (n, d); ValueError where it is shorter."""
        checks.integer("period", self.period, least=1)
        values = as_series(series)
        if len(values) < self.period:
            raise ValueError(
                f"the series holds {len(values)} values, less than period={self.period}"
            )
        self.last_ = values[-self.period :].reshape(self.period, *np.shape(series)[1:]).copy()
        return self

    def forecast(self, horizon: int):
        """The next `horizon` values, (horizon, d) or (horizon,)."""
        check_is_fitted(self)
        checks.integer("horizon", horizon, least=1)
        return self.last_[np.arange(horizon) % len(self.last_)]


def _made(model, given, place, horizon, times, n_samples, seed):
    """The forecast from one origin, and its draws."""
    if times is None:
        learned, asked = clone(model).fit(given[:place]), {"horizon": horizon}
    else:
        learned = clone(model).fit(given[:place], times[:place])
        asked = {"times": times[place : place + horizon]}
    drawn = learned.sample(n_samples=n_samples, random_state=seed, **asked) if n_samples else ()
    return learned.forecast(**asked), drawn


def _places(origins, every, horizon, n) -> Int[ndarray, " o"]:
    """The origins as places in the series, in order."""
    if np.ndim(origins) == 0:
        checks.integer("origins", origins, least=1, most=10**9)
        checks.integer("every", every, least=1, most=10**9)
        needed = horizon + (origins - 1) * every
        if n <= needed:
            raise ValueError(
                f"{origins} origins, {every} apart, with a horizon of {horizon} need more than "
                f"{needed} values, and the series holds {n}: take fewer, nearer or shorter ones"
            )
        return n - needed + every * np.arange(origins)
    places = np.asarray(origins)
    if places.ndim != 1 or not places.size or places.dtype.kind not in "iu":
        raise TypeError(f"origins must be a number or a list of whole numbers, not {origins!r}")
    if places.min() < 1 or places.max() > n - horizon:
        raise ValueError(
            f"origins must be between 1 and {n - horizon}, so that values come before and a "
            f"horizon of {horizon} after; they are between {places.min()} and {places.max()}"
        )
    return places
