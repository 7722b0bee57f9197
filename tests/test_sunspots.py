"""Forecasts of a measured series see only the years before them."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.linear_model import LinearRegression

from kflow.paper import sunspots
from kflow.paper.record import RECORDS, read_record

YEARS = np.arange(1800, 1870)


def autoregression(n=2000):
    rng, x = np.random.default_rng(0), [0.0, 1.0, 0.5]
    while len(x) < n:
        x.append(0.6 * x[-1] - 0.7 * x[-3] + 0.1 * rng.normal())
    return np.array(x)


def test_the_order_of_a_linear_series_is_found():
    assert 3 <= sunspots.order(autoregression()) <= 5


def test_orders_are_compared_on_the_same_years():
    values = autoregression(300)
    values[:11] += 5 * np.random.default_rng(1).normal(size=11)  # before all targets
    assert 3 <= sunspots.order(values) <= 5


def test_a_forecast_does_not_see_its_own_years():
    values = autoregression(len(YEARS))
    changed = np.where(YEARS < 1854, values, 0.0)
    one, other = (
        sunspots.forecasts(LinearRegression(), YEARS, v, 3)["forecasts"] for v in (values, changed)
    )
    assert list(one) == ["1850", "1854", "1858"]
    assert one["1850"] == other["1850"] and one["1854"] == other["1854"]
    assert one["1858"] != other["1858"]


def test_errors_are_those_of_the_years_that_are_forecast(tmp_path, monkeypatch):
    monkeypatch.setattr(sunspots, "series", lambda: (YEARS, np.sin(YEARS / 2.0)))
    monkeypatch.setattr(
        sunspots, "methods", lambda: {"linear": {"1": LinearRegression(), "2": LinearRegression()}}
    )
    sunspots.run(tmp_path)
    record, _ = read_record("sunspots", tmp_path)
    assert record["delays"] >= 2 and (tmp_path / RECORDS / "sunspots.json").is_file()
    errors = sunspots.errors(record)["linear"]
    assert errors.shape == (2, 3, sunspots.HORIZON) and abs(errors).max() < 1e-9
    record["numbers"][1851 - 1800] += 5.0
    assert sunspots.errors(record)["linear"][:, 0, 1] == pytest.approx(-5.0)


def test_what_is_learned_from_random_batches_has_several_seeds():
    made = sunspots.methods()
    assert {name: len(by_seed) for name, by_seed in made.items()} == {
        "linear": 1, "untuned": 1, "rho": 5, "leave-one-out": 5, "likelihood": 5,
    }  # fmt: skip
    assert [method.random_state for method in made["rho"].values()] == list(sunspots.SEEDS)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(sunspots, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="pip install statsmodels"):
        sunspots.series()
