"""Dynamical systems from their series: delays, one-step maps, iterated forecasts, their horizon."""

from kflow.forecasting.backtest import Backtest, SeasonalNaive, backtest
from kflow.forecasting.embedding import embed, scale_of, valid_time
from kflow.forecasting.one_step import OneStepMap
from kflow.forecasting.systems import (
    System,
    henon,
    largest_exponent,
    logistic,
    lorenz63,
    lorenz96,
)

__all__ = [
    "Backtest",
    "OneStepMap",
    "SeasonalNaive",
    "System",
    "backtest",
    "embed",
    "henon",
    "largest_exponent",
    "logistic",
    "lorenz63",
    "lorenz96",
    "scale_of",
    "valid_time",
]
