"""A map from the last values of a series to the next one, learned by regression and iterated."""

import numpy as np
import torch

from kflow import checks
from kflow.estimators import KernelFlowRegressor, standardise
from kflow.estimators.groups import split
from kflow.estimators.inputs import all_or_nothing, seeded
from kflow.forecasting.clock import Clock, gaps_of, warn_of_gaps
from kflow.forecasting.embedding import as_series, embed, enough, rows, states, window_of
from kflow.forecasting.names import names_of, same_names
from kflow.forecasting.paths import correlation_of, drawn
from kflow.forecasting.storage import Saved

with checks.extra("sklearn"):
    from sklearn.base import BaseEstimator, clone
    from sklearn.utils.validation import check_is_fitted

BLOCKS = 10  # of time, left out in turn
FAR = 1e12  # times the largest value of the series


class OneStepMap(Saved, BaseEstimator):
    """Learn the next value from the last `delays` values, `gap` apart, and iterate that.

    regressor is any of scikit-learn's interface (None: KernelFlowRegressor()). With
    difference=True the series is replaced by its changes from one value to the next, of which a
    forecast is the sum: for a trend, where the values to come lie outside of those that were. With
    `times` in `fit` the time to the next value, and those between the values, are features too: for
    irregular sampling; a regular grid with gaps is better filled in. Times are numbers, dates or
    durations; of the latter seconds are the unit.
    The columns of a data frame keep their names: later ones must have the same, in the same order.

    `forecast` iterates the mean. A KernelFlowRegressor (itself, not in a pipeline) has error bars,
    too: `predict(series, return_std=True)` for one step, and `sample` for more. They are as long as
    the errors where a block of time, a tenth of the series, is left out; from few values (fewer
    than some thirty) they are rough.
    """

    def __init__(self, regressor=None, delays=1, gap=1, difference=False):
        self.regressor = regressor
        self.delays = delays
        self.gap = gap
        self.difference = difference

    @all_or_nothing
    def fit(self, series, times=None):
        """Learn from a series (n,) or (n, d), at these increasing times if they are not regular."""
        checks.flag("difference", self.difference)
        self.series_ = as_series(series).copy()
        self._names, self._flat = names_of(series), np.ndim(series) == 1
        self.times_ = None
        if times is None:
            warn_of_gaps(series)
        else:
            self._clock = Clock.of(times)
            self.times_ = self._clock.increasing(times, len(self.series_))
        self._embedding, self._difference = (self.delays, self.gap), self.difference
        self.window_ = window_of(*self._embedding) + self._difference
        x, y = embed(self._changes(self.series_), *self._embedding)
        if not (self.series_ != self.series_[0]).any():
            value = self.series_[0].tolist()
            raise ValueError(f"series is {value} at all times, so there is nothing to learn")
        if self.times_ is not None:
            x = np.hstack([x, gaps_of(self.times_[self._difference :], *self._embedding)])
        model = KernelFlowRegressor() if self.regressor is None else clone(self.regressor)
        y = y[:, 0] if y.shape[1] == 1 else y
        if not isinstance(model, KernelFlowRegressor):
            self.regressor_ = model.fit(x, y)
            return self
        enough(len(x), *self._embedding)
        if self._difference and not standardise.differs(y.reshape(len(y), -1)).any():
            raise ValueError(
                f"series changes by {y[0].tolist()} each time, a straight line, so with "
                "difference=True there is nothing to learn; take difference=False"
            )
        blocks = np.arange(len(x)) * max(2, min(BLOCKS, len(x) // 3)) // len(x)
        self.regressor_ = model.fit(x, y, groups=blocks)
        kept = torch.from_numpy(model.interp_indices_)
        self._correlation = correlation_of(model.posterior_.residuals(split(blocks, kept)))
        return self

    def predict(self, series, return_std=False):
        """The value after each window of a regular series, (n - window, d) or (n - window,).

        With return_std a pair: the value, and the standard deviation of what is measured then.
        """
        self._regular("predict")
        checks.flag("return_std", return_std)
        same_names("series", series, self._names)
        values = as_series(series)
        if values.shape[1] != self.series_.shape[1]:
            raise ValueError(
                f"series must have {self.series_.shape[1]} variables, as in fit, not "
                f"{values.shape[1]}"
            )
        x, _ = embed(self._changes(values), *self._embedding)
        mean = _matrix(self.regressor_.predict(x))
        if self._difference:
            mean = values[self.window_ - 1 : -1] + mean
        mean = self._shaped(mean)
        if not return_std:
            return mean
        std = self._with_error_bars().predict(x, return_std=True, noise=True)[1]
        return mean, self._shaped(_matrix(std))

    def forecast(self, horizon: int | None = None, last=None, times=None):
        """The next `horizon` values, (horizon, d) or (horizon,), each from those before.

        They follow the training series, or `last`, whose last `window_` values are used; with
        (starts, n, d) many are forecast at once. A map with times is given those to forecast
        instead of a horizon. Raises FloatingPointError where a forecast leaves every bound.
        """
        start, horizon, clock = self._begin(horizon, last, times)
        return self._shaped(self._iterate(start, self.regressor_.predict, horizon, clock))

    def sample(self, horizon=None, n_samples=100, last=None, times=None, random_state=0):
        """Draws of what will be measured, (n_samples, horizon, d) or (n_samples, horizon).

        As `forecast` otherwise; with `last` of (starts, n, d) they are (n_samples, starts, ...).
        Each follows one function of those that the series leaves open, with noise at each step
        that the next one sees; errors of several variables are correlated as those of blocks that
        are left out. numpy.quantile(draws, [0.05, 0.95], axis=0, method="weibull") are intervals of
        90 % (numpy's default method makes them shorter: 88 % of 100 draws), as far as what comes
        resembles what was. Values that cannot be negative may be so in a draw.
        """
        start, horizon, clock = self._begin(horizon, last, times)
        checks.integer("n_samples", n_samples, least=1)
        starts = np.broadcast_to(start, (n_samples, *start.shape))
        draws = drawn(
            self._with_error_bars(),
            starts.reshape(-1, *start.shape[-2:]),
            horizon,
            lambda part, predict: self._iterate(part, predict, horizon, clock),
            self._correlation,
            seeded(random_state),
        )
        return self._shaped(draws.reshape(*starts.shape[:-2], horizon, -1))

    def _begin(self, horizon, last, times):
        """The windows (..., window, d) that forecasts start from, the steps, and their times."""
        check_is_fitted(self)
        same_names("last", last, self._names)
        values = self.series_ if last is None else states(last)
        if values.shape[-1] != self.series_.shape[1] or values.shape[-2] < self.window_:
            raise ValueError(
                f"last must hold at least {self.window_} values of {self.series_.shape[1]} "
                f"variables, but its shape is {values.shape}"
            )
        return values[..., -self.window_ :, :], *self._times(horizon, times, last)

    def _iterate(self, start, predict, horizon, clock):
        """The values after the windows, (..., horizon, d), each from those before it."""
        window = self.window_ - self._difference
        path = list(np.moveaxis(self._changes(start), -2, 0))
        for i in range(horizon):
            recent = np.stack(path[-window:], axis=-2)
            x = rows(recent, np.array([window - 1]), *self._embedding)[..., 0, :]
            if clock is not None:
                gaps = gaps_of(clock[i + self._difference : i + self.window_ + 1], *self._embedding)
                x = np.concatenate(
                    [x, np.broadcast_to(gaps[0], (*x.shape[:-1], gaps.shape[1]))], -1
                )
            following = _matrix(predict(x.reshape(-1, x.shape[-1])))
            path.append(following.reshape(recent[..., 0, :].shape))
            lost = ~(np.abs(path[-1]) <= FAR * np.abs(self.series_).max()).all(-1)  # NaN, too
            if lost.any():
                raise FloatingPointError(
                    f"{lost.sum()} of {lost.size} forecasts left every bound at step {i + 1}: take "
                    "a kernel that is bounded, a shorter horizon, or difference=False"
                )
        found = np.stack(path[window:], axis=-2)
        return start[..., -1:, :] + found.cumsum(-2) if self._difference else found

    def _changes(self, values):
        """The values (..., n, d), or their changes, of which there is one less."""
        if not self._difference:
            return values
        if values.shape[-2] < 2:
            raise ValueError("one value has no changes, and difference=True learns from these")
        return np.diff(values, axis=-2)

    def _with_error_bars(self):
        if not isinstance(self.regressor_, KernelFlowRegressor):
            raise TypeError(
                f"{type(self.regressor_).__name__} has no error bars that could be iterated; take "
                "KernelFlowRegressor"
            )
        return self.regressor_

    def _times(self, horizon, times, last):
        if self.times_ is None:
            if times is not None:
                raise ValueError("times were not given to fit, so forecast takes a horizon")
            checks.integer("horizon", horizon, least=1)
            return horizon, None
        if times is None or last is not None or horizon is not None:
            raise ValueError(
                "a map that was fitted with times forecasts its own series, at `times`, with no "
                "horizon"
            )
        later = self._clock.increasing(times)
        if later[0] <= self.times_[-1]:
            last = self._clock.shown(self.times_[-1])
            raise ValueError(
                f"times must follow those of fit, which end at {last}; the first is "
                f"{self._clock.shown(later[0])}"
            )
        return len(later), np.concatenate([self.times_[-self.window_ :], later])

    def _regular(self, name):
        check_is_fitted(self)
        if self.times_ is not None:
            raise ValueError(f"{name} is for regular series; this map was fitted with times")

    def _shaped(self, values):
        return values[..., 0] if self._flat else values


def _matrix(predicted):
    predicted = np.asarray(predicted)
    return predicted.reshape(len(predicted), -1)
