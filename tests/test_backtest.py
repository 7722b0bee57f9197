"""Backtests: laws of a baseline, nothing of the future is seen, intervals counted; saved maps."""

import datetime

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LinearRegression

import kflow
from kflow.engine import sealed
from kflow.forecasting import OneStepMap, SeasonalNaive, backtest

QUICK = kflow.KernelFlowRegressor(criterion="likelihood", kernel="gaussian", steps=20)


def wave(n=90):
    return np.sin(0.5 * np.arange(n)) + 0.1 * np.random.default_rng(0).normal(size=n)


class Ranks(BaseEstimator):
    """Draws 0, 1, ..., n_samples - 1 of each value, and remembers how much it saw."""

    def fit(self, series):
        self.seen_ = len(series)
        return self

    def forecast(self, horizon):
        return np.full(horizon, float(self.seen_))

    def sample(self, horizon, n_samples, random_state):
        return np.repeat(np.arange(n_samples, dtype=float)[:, None], horizon, 1)


def test_the_last_value_errs_on_a_slope_by_the_steps_ahead_and_a_season_never_on_a_cycle():
    slope = backtest(SeasonalNaive(), 3.0 * np.arange(40), 4, origins=5)
    np.testing.assert_allclose(slope.rmse(), [3, 6, 9, 12])
    cycle = np.tile([[5.0, 1.0], [2.0, 7.0], [0.0, 4.0]], (10, 1))
    assert backtest(SeasonalNaive(3), cycle, 7, origins=3, every=2).rmse() == pytest.approx(0)
    assert backtest(SeasonalNaive(2), cycle, 7, origins=3).rmse().shape == (7, 2)


def test_a_season_is_that_of_the_fit():
    """Of another period set since then it took the values of the wrong part."""
    model = SeasonalNaive(3).fit(np.array([4.0, 5, 6]))
    np.testing.assert_array_equal(model.set_params(period=2).forecast(4), [4, 5, 6, 4])


def test_origins_end_with_the_series_or_are_given_and_each_sees_what_came_before():
    found = backtest(Ranks(), np.arange(30.0), 4, origins=3, every=5)
    np.testing.assert_array_equal(found.origins, [16, 21, 26])
    np.testing.assert_array_equal(found.forecasts[:, 0], found.origins)
    np.testing.assert_array_equal(found.truth[1], [21, 22, 23, 24])
    given = backtest(Ranks(), np.arange(30.0), 4, origins=[26, 1])
    np.testing.assert_array_equal(given.forecasts[:, 3], [26, 1])
    later = wave()
    later[80:] += 7
    one, other = (backtest(OneStepMap(QUICK, 3), series, 4, [70, 76]) for series in (wave(), later))
    np.testing.assert_array_equal(one.forecasts, other.forecasts)


def test_intervals_are_counted_and_draws_of_two_origins_differ():
    # of 0 ... 98 the quantiles 0.25 and 0.75 are 24 and 74, by i / (n + 1)
    series = np.array([0.0, 23, 24, 74, 75, 24, 24, 24])
    found = backtest(Ranks(), series, 1, origins=[1, 2, 3, 4], n_samples=99)
    assert found.held(0.5) == pytest.approx([0.5])
    with pytest.raises(ValueError, match="intervals need draws"):
        backtest(SeasonalNaive(), series, 1, 2).held()
    paths = backtest(OneStepMap(QUICK, 3), wave(), 4, origins=2, every=1, n_samples=60)
    assert paths.draws.shape == (2, 60, 4) and paths.held(0.96).min() >= 0.5
    assert (paths.draws[0] != paths.draws[1]).all()
    again = backtest(OneStepMap(QUICK, 3), wave(), 4, origins=2, every=1, n_samples=60)
    np.testing.assert_array_equal(again.draws, paths.draws)


@pytest.mark.parametrize(("n_samples", "level", "widest"), [(4, 0.9, 0.6), (18, 0.9, 0.895)])
def test_draws_that_are_too_few_for_an_interval_are_refused(n_samples, level, widest):
    """Of 4 draws 60 % of the truth lies between the ends, and that was called 90 %."""
    found = backtest(Ranks(), np.arange(30.0), 1, 2, n_samples=n_samples)
    with pytest.raises(ValueError, match=f"{n_samples} draws make no .* only up to {widest};"):
        found.held(level)
    assert backtest(Ranks(), np.arange(30.0), 1, 2, n_samples=19).held(0.9) == 0


class Sideways(Ranks):
    """Its forecasts are (d, horizon), its draws (n_samples, horizon) whatever d is."""

    def forecast(self, horizon):
        return np.zeros((2, horizon))


def test_a_forecast_of_another_shape_is_refused():
    """It was read in the order of its numbers."""
    two = np.ones((30, 2))
    with pytest.raises(ValueError, match=r"must have the shape \(3, 2\), not \(2, 3\)"):
        backtest(Sideways(), two, 3, 2)
    with pytest.raises(ValueError, match=r"must have the shape \(2, 2\), not \(2,\)"):
        backtest(Sideways(), two, 2, 2, n_samples=5)


@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_series_and_times_of_any_kind(kind):
    frame = pd.DataFrame({"a": wave(), "b": wave() ** 2}, index=np.arange(90)[::-1] * 0.5)
    assert backtest(OneStepMap(QUICK), frame, 3, origins=1).forecasts.shape == (1, 3, 2)
    gaps = np.random.default_rng(1).integers(1, 5, 90).cumsum()
    dates = kind([datetime.date(2024, 1, 1) + datetime.timedelta(int(gap)) for gap in gaps])
    found = backtest(OneStepMap(QUICK, 2), kind([*wave()]), 3, origins=1, times=dates, n_samples=4)
    expected = OneStepMap(QUICK, 2).fit(wave()[:87], dates[:87]).forecast(times=dates[87:])
    np.testing.assert_array_equal(found.forecasts[0], expected)
    assert found.draws.shape == (1, 4, 3)


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        (
            dict(origins=30),
            ValueError,
            "30 origins, 3 apart, with a horizon of 3 need more than 90",
        ),
        (dict(origins=[0]), ValueError, "origins must be between 1 and 87"),
        (dict(origins=[88]), ValueError, "they are between 88 and 88"),
        (dict(origins=[1.5]), TypeError, "a list of whole numbers"),
        (dict(origins=[]), TypeError, "a list of whole numbers"),
        (dict(every=0), ValueError, "every must be at least 1"),
        (dict(horizon=0), ValueError, "horizon must be at least 1"),
        (dict(times=np.arange(5)), ValueError, "times must be one for each of the 90 values"),
        (dict(model=SeasonalNaive(88)), ValueError, "holds 60 values, less than period=88"),
        (dict(model=LinearRegression()), TypeError, "LinearRegression has no forecast"),
        (dict(model=SeasonalNaive(), n_samples=3), TypeError, "SeasonalNaive draws no paths"),
    ],
)
def test_what_cannot_be_tried_is_refused(settings, error, match):
    with pytest.raises(error, match=match):
        backtest(**dict(model=SeasonalNaive(), series=wave(), horizon=3) | settings)


def test_an_error_names_the_origin_at_which_it_came():
    with pytest.raises(ValueError, match="take fewer delays") as caught:
        backtest(OneStepMap(QUICK, delays=9), wave(), 3, origins=[5])
    assert caught.value.__notes__ == ["This was at origin 5, from the 5 values before."]


DAYS = np.datetime64("2024-02-27") + np.arange(93).astype("timedelta64[D]")
MAPS = {
    "plain": (OneStepMap(delays=2), wave(), None),
    "changes": (OneStepMap(QUICK, 3, 2, True), wave(), None),
    "variables": (OneStepMap(QUICK), pd.DataFrame({"a": wave(), 2: wave() ** 2}), None),
    "dates": (OneStepMap(QUICK, 2), wave(), DAYS),
    "whole times": (OneStepMap(QUICK, 2), wave(), 2**60 + np.arange(93) ** 2),
}


@pytest.mark.parametrize(("model", "series", "times"), MAPS.values(), ids=MAPS)
def test_a_saved_map_forecasts_draws_and_learns_as_before(tmp_path, model, series, times):
    model = clone(model).fit(series, None if times is None else times[:90])
    model.save(tmp_path / "map")
    again = OneStepMap.load(tmp_path / "map")
    asked = {"horizon": 3} if times is None else {"times": times[90:]}
    np.testing.assert_allclose(again.forecast(**asked), model.forecast(**asked), rtol=1e-9)
    np.testing.assert_allclose(again.sample(**asked), model.sample(**asked), rtol=1e-6, atol=1e-6)
    assert str(again) == str(model)
    if times is None:
        np.testing.assert_array_equal(again.predict(series), model.predict(series))
        np.testing.assert_array_equal(again.fit(series).forecast(3), model.forecast(3))
    with pytest.raises(ValueError, match="holds OneStepMap, not a KernelFlowRegressor"):
        kflow.KernelFlowRegressor.load(tmp_path / "map")


class Own(kflow.KernelFlowRegressor):
    pass


class OwnMap(OneStepMap):
    pass


def test_a_map_or_a_regressor_of_a_class_of_its_own_does_not_come_back_as_another(tmp_path):
    """What such a class changes was lost in silence."""
    with pytest.raises(TypeError, match="a map with a Own cannot be saved"):
        OneStepMap(Own(criterion="likelihood", steps=5)).fit(wave()).save(tmp_path / "map")
    OwnMap(QUICK).fit(wave()).save(tmp_path / "map")
    with pytest.raises(ValueError, match="map holds OwnMap, not a OneStepMap"):
        OneStepMap.load(tmp_path / "map")
    assert type(OwnMap.load(tmp_path / "map")) is OwnMap


def test_a_true_of_numpy_is_saved(tmp_path):
    OneStepMap(QUICK, 2, difference=np.True_).fit(wave()).save(tmp_path / "map")
    assert OneStepMap.load(tmp_path / "map").difference is True


def test_what_cannot_be_saved_with_a_map_is_told(tmp_path):
    with pytest.raises(TypeError, match="a LinearRegression cannot be saved.*joblib"):
        OneStepMap(LinearRegression()).fit(wave()).save(tmp_path / "map")
    named = pd.DataFrame({(1, 2): wave(), "b": wave() ** 2})
    with pytest.raises(ValueError, match=r"the variable \(1, 2\) cannot be saved"):
        OneStepMap(QUICK).fit(named).save(tmp_path / "map")
    assert not list(tmp_path.iterdir())
    own = OneStepMap(kflow.KernelFlowRegressor(kflow.Gaussian(1.0))).fit(wave())
    own.save(tmp_path / "map")
    again = OneStepMap.load(tmp_path / "map")
    np.testing.assert_allclose(again.forecast(3), own.forecast(3), rtol=1e-9)
    with pytest.raises(TypeError, match="kernel.*not saved with the model; give it by set_params"):
        again.fit(wave())
    again.set_params(regressor__kernel=kflow.Gaussian(1.0)).fit(wave())
    np.testing.assert_array_equal(again.forecast(3), own.forecast(3))


@pytest.mark.parametrize(
    "change",
    [
        dict(embedding=[3, 1]),
        dict(embedding=[0, 1]),
        dict(embedding=2),
        dict(difference="yes"),
        dict(names=["a", "b"]),
        dict(clock=["dates", "soon"]),
        dict(series=np.full((90, 1), np.nan)),
        dict(series=np.ones((90, 2))),
        dict(series=np.ones((2, 1))),
        dict(times=-np.arange(90.0)),
        dict(times=np.arange(80.0)),
        dict(correlation=np.ones((2, 2))),
        dict(correlation=np.full((1, 1), np.inf)),
    ],
    ids=str,
)
def test_a_sealed_file_that_is_no_map_is_refused(tmp_path, change):
    OneStepMap(QUICK, 2).fit(wave(), DAYS[:90]).save(tmp_path / "map")
    tensors, facts = sealed.read(tmp_path / "map")
    for name, value in change.items():
        if name in facts["map"]:
            facts["map"][name] = value
        else:
            tensors[name] = torch.from_numpy(value)
    sealed.write(tmp_path / "map", tensors, facts)
    with pytest.raises(ValueError, match="map holds no sound model"):
        OneStepMap.load(tmp_path / "map")
