"""Yearly sunspot numbers, 1700 to 2008: forecasts of learned kernels beside linear autoregression.

`python -m kflow.paper sunspots` takes the series from statsmodels, forecasts it from one year after
another, each time from the years before alone, and writes book/records/paper/sunspots.json.
"""

import csv
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from kflow import checks
from kflow.estimators import KernelFlowRegressor
from kflow.forecasting import OneStepMap, backtest, embed
from kflow.learning import LeaveOneOut
from kflow.paper.record import RECORDS
from kflow.paper.sweep import sweep

with checks.extra("sklearn"):
    from sklearn.linear_model import LinearRegression

SOURCE = "statsmodels, statsmodels.datasets.sunspots: yearly, 1700 to 2008, in the public domain"
FIRST, EVERY = 1850, 4  # the first forecast is of this year, the next of so many years later
HORIZON = 11  # years ahead, about one cycle
ORDERS = range(1, 16)
SEEDS = range(5)  # of the batches from which a kernel is learned


def series() -> tuple[np.ndarray, np.ndarray]:
    """The years and the yearly numbers; ModuleNotFoundError where statsmodels is missing."""
    found = find_spec("statsmodels")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("statsmodels is not installed; pip install statsmodels")
    path = Path(found.submodule_search_locations[0]) / "datasets/sunspots/sunspots.csv"
    rows = list(csv.reader(path.read_text().splitlines()))[1:]
    years, numbers = np.array(rows, dtype=float).T
    return years.astype(int), numbers


def order(values: np.ndarray) -> int:
    """The number of delays for which a linear autoregression has the least AIC, on equal years."""
    longest = max(ORDERS)
    scores = {}
    for m in ORDERS:
        x, y = embed(values[longest - m :], m)
        wrong = y - LinearRegression().fit(x, y).predict(x)
        scores[m] = len(y) * np.log(np.mean(wrong**2)) + 2 * (m + 1)
    return min(scores, key=scores.__getitem__)


def methods() -> dict[str, dict[str, object]]:
    """How the next year is learned from the last ones, by method, by seed ("" for no seed)."""
    fixed = dict(kernel="gaussian", n_fine=100)
    criteria = {
        "rho": "rho",
        "leave-one-out": LeaveOneOut(100, "log_squared"),
        "likelihood": "likelihood",
    }
    learned = {
        name: {
            str(seed): KernelFlowRegressor(criterion=criterion, random_state=seed, **fixed)
            for seed in SEEDS
        }
        for name, criterion in criteria.items()
    }
    untuned = KernelFlowRegressor(steps=0, random_state=0, **fixed)
    return {"linear": {"": LinearRegression()}, "untuned": {"": untuned}} | learned


def forecasts(method, years: np.ndarray, values: np.ndarray, delays: int) -> dict:
    """Forecasts from each start, made from the years before it, in units of the series."""
    starts = range(FIRST, int(years[-1]) - HORIZON + 2, EVERY)
    origins = np.searchsorted(years, starts)
    found = backtest(OneStepMap(method, delays), values, HORIZON, origins).forecasts
    return {"forecasts": dict(zip(map(str, starts), found.tolist(), strict=True))}


def run(root: Path):
    """Forecast by what the record lacks, and write it."""
    years, values = series()
    delays = order(values[years < FIRST])
    header = {
        "source": SOURCE,
        "years": years.tolist(),
        "numbers": values.tolist(),
        "delays": delays,
        "horizon": HORIZON,
    }
    wanted = {
        f"{name} {seed}".strip(): partial(forecasts, method, years, values, delays)
        for name, by_seed in methods().items()
        for seed, method in by_seed.items()
    }

    def line(part):
        return f"{len(part['forecasts'])} starts"

    sweep(root / RECORDS / "sunspots.json", header, wanted, line)


def errors(record: dict) -> dict[str, np.ndarray]:
    """The errors of each method, (seeds, starts, horizon), forecast minus truth."""
    years, numbers = np.array(record["years"]), np.array(record["numbers"])
    found: dict[str, list] = {}
    for part, made in record["parts"].items():
        rows = []
        for start, ahead in made["forecasts"].items():
            at = int(np.flatnonzero(years == int(start))[0])
            rows.append(np.array(ahead) - numbers[at : at + len(ahead)])
        found.setdefault(part.split(" ")[0], []).append(rows)
    return {name: np.array(rows) for name, rows in found.items()}
