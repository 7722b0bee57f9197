"""A fitted one-step map as one file: its regressor, the series that it learned, and their clock."""

import numpy as np
import torch

from kflow import checks
from kflow.estimators import KernelFlowRegressor, storage
from kflow.forecasting.clock import Clock
from kflow.forecasting.embedding import as_series, window_of

with checks.extra("sklearn"):
    from sklearn.base import clone
    from sklearn.utils.validation import check_is_fitted


class Saved:
    """`save` and `load` of a map that a KernelFlowRegressor has learned."""

    def save(self, path):
        """Write the fitted map, with its series, as safetensors and JSON; `load` reads it again.

        Raises TypeError for another regressor (joblib.dump is for these: a pickle), OSError where
        the file cannot be written.
        """
        check_is_fitted(self)
        regressor = self.regressor_
        if type(regressor) is not KernelFlowRegressor:  # of a class of its own it would be lost
            raise TypeError(
                f"a map with a {type(regressor).__name__} cannot be saved, only one with a "
                "KernelFlowRegressor; joblib.dump writes any map, as a pickle"
            )
        clock = None if self.times_ is None else (self._clock.kind, str(self._clock.origin))
        settings, tensors = regressor._parts()
        settings["map"] = {
            "default": self.regressor is None,
            "embedding": [int(number) for number in self._embedding],
            "difference": bool(self._difference),
            "flat": self._flat,
            "names": _written(self._names),
            "clock": clock,
        }
        tensors["series"] = torch.from_numpy(self.series_)
        tensors["correlation"] = self._correlation
        if clock:
            tensors["times"] = torch.from_numpy(self.times_)
        storage.write(path, regressor, settings, tensors, type(self).__name__)

    @classmethod
    def load(cls, path, device=None):
        """The fitted map that `save` wrote; its regressor on its device, or on another.

        Raises ValueError where the file is another, or damaged, or its device is not here.
        """
        regressor, settings, tensors = storage.loaded(
            path, KernelFlowRegressor, device, cls.__name__
        )
        return storage.known(path, lambda: _restored(cls, regressor, settings["map"], tensors))


def _restored(cls, regressor, settings: dict, tensors: dict):
    delays, gap = settings["embedding"]
    for name in ("default", "difference", "flat"):
        checks.flag(name, settings[name])
    model = cls(
        None if settings["default"] else clone(regressor), delays, gap, settings["difference"]
    )
    model.regressor_, model._embedding = regressor, (delays, gap)
    model._difference, model._flat = settings["difference"], settings["flat"]
    model.window_ = window_of(delays, gap) + model._difference
    model.series_, model._names = as_series(tensors["series"].numpy()), settings["names"]
    d, clock = model.series_.shape[1], settings["clock"]
    if model._names is not None and len(model._names) != d:
        raise ValueError(f"the names of {d} variables are {model._names!r}")
    model.times_ = None
    if clock is not None:
        kind, origin = clock
        model._clock = Clock(kind, np.datetime64(origin, "s") if kind == "dates" else int(origin))
        model.times_ = tensors["times"].numpy()
        if model.times_.shape != (len(model.series_),) or not (np.diff(model.times_) > 0).all():
            raise ValueError("the times must increase, one for each value of the series")
    features = d * delays + (delays if clock else 0)
    correlation = tensors["correlation"].to(regressor.posterior_.x)
    if regressor.n_features_in_ != features or regressor.posterior_.y.shape[1] != d:
        raise ValueError(f"the regressor does not predict {d} variables from {features} numbers")
    if correlation.shape != (d, d) or not correlation.isfinite().all():
        raise ValueError(f"the correlation of the variables must be ({d}, {d}) and finite")
    if len(model.series_) < model.window_:
        raise ValueError(f"the series is shorter than {model.window_} values")
    model._correlation = correlation
    return model


def _written(names: list | None) -> list | None:
    """The variables' names, as JSON holds them."""
    lost = [name for name in names or () if not isinstance(name, storage.PLAIN)]
    if lost:
        raise ValueError(
            f"the variable {lost[0]!r} cannot be saved: name columns by words or numbers"
        )
    return names
