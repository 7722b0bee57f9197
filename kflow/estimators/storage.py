"""Fitted estimators as safetensors, with what is not a tensor as JSON in the file's header."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kflow import checks
from kflow.engine import sealed

with checks.extra("sklearn"):
    from sklearn.utils.validation import check_is_fitted

FORMAT = "kflow-estimator-3"
PLAIN = (str, int, float, bool, type(None))
UNFIT = (
    KeyError, TypeError, AttributeError, IndexError, ArithmeticError, MemoryError, RuntimeError,
    ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class NotSaved:
    """Stands in for a parameter that a file cannot hold, and that only `fit` needs."""

    was: str

    def __repr__(self):
        return f"<{self.was}, which was not saved with the model; give it by set_params>"


def _plain(value):
    """What JSON holds, or what says that it was not saved."""
    if isinstance(value, np.generic) or (isinstance(value, torch.Tensor) and value.ndim == 0):
        value = value.item()
    if isinstance(value, torch.device):
        value = str(value)
    if isinstance(value, (*PLAIN, NotSaved)):
        return value
    return NotSaved(re.sub(" at 0x[0-9A-Fa-f]+", "", repr(value)))


def write(path, model, settings: dict, tensors: dict[str, torch.Tensor], kind=None):
    """Write a model beside and renamed, so that no half of one is ever read.

    `kind` is the class of what holds the model, where it is not written by itself. Raises OSError
    where it cannot be written; what was there before is then intact.
    """
    parameters = {name: _plain(value) for name, value in model.get_params(deep=False).items()}
    lost = {name: value.was for name, value in parameters.items() if isinstance(value, NotSaved)}
    kept = {name: value for name, value in parameters.items() if name not in lost}
    header = {
        "format": FORMAT,
        "class": kind or type(model).__name__,
        "parameters": kept,
        "not_saved": lost,
        "n_features_in_": model.n_features_in_,
        "feature_names_in_": getattr(model, "feature_names_in_", np.array([])).tolist(),
    }
    path = _path(path)
    beside = path.with_name(path.name + ".writing")
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    try:
        sealed.write(beside, plain, header | settings)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OSError(
            f"the model could not be written to {path} ({error}); free some space, or choose "
            "another path"
        ) from error


def read(path, cls, device=None, kind=None) -> tuple[Any, dict, dict[str, torch.Tensor]]:
    """A model without its fit, the settings and the tensors that `write` wrote."""
    kind = kind or cls.__name__
    path = _path(path)
    try:
        tensors, header = sealed.read(path)
        if not isinstance(header, dict):
            raise sealed.Damaged("it holds no settings")
    except sealed.Damaged as error:
        raise ValueError(f"{path} is damaged, or no file of safetensors: {error}") from None
    if header.get("format") != FORMAT or header.get("class") != kind:
        found = header.get("class", "something else")
        raise ValueError(f"{path} holds {found}, not a {kind} saved by this version")
    lost = known(path, lambda: {k: NotSaved(str(was)) for k, was in header["not_saved"].items()})
    moved = {} if device is None else {"device": str(checks.device(device))}
    model = known(path, lambda: cls(**header["parameters"] | lost | moved))
    try:
        checks.device(model.device)
    except ValueError as error:
        raise ValueError(
            f"{path} was saved from another device than there is here: {error}; pass another to "
            'load, device="cpu"'
        ) from None
    model.n_features_in_ = header.get("n_features_in_")
    most = max([1, *(value.numel() for value in tensors.values())])
    known(path, lambda: checks.integer("n_features_in_", model.n_features_in_, least=1, most=most))
    return model, header, tensors


def _path(path) -> Path:
    if not isinstance(path, str | os.PathLike) or not Path(path).name:
        raise TypeError(f"path must be the path of a file, not {path!r}")
    return Path(path)


class Saved:
    """`save` and `load` of an estimator: one file of safetensors, no pickle.

    `_parts()` are the settings and the tensors of a fit, `_restore(settings, tensors)` takes them.
    """

    def save(self, path):
        """Write the fitted model as safetensors with settings in JSON; `load` reads it again.

        Parameters that are no text and no number (a kernel, a criterion, a RandomState) are not
        kept: the loaded model predicts as this one, and `fit` asks for them again.
        """
        check_is_fitted(self)
        write(path, self, *self._parts())

    @classmethod
    def load(cls, path, device=None):
        """The fitted model that `save` wrote, on its device or on another.

        Raises ValueError where the file is another, or damaged, or its device is not here.
        """
        return loaded(path, cls, device)[0]


def loaded(path, cls, device=None, kind=None) -> tuple[Any, dict, dict[str, torch.Tensor]]:
    """The fitted model of a file, its settings, and those of its tensors that are not the model's.

    Raises ValueError where the file is another, or damaged, or its device is not here.
    """
    model, settings, tensors = read(path, cls, device, kind)
    known(path, lambda: model._restore(settings, tensors))
    with np.errstate(all="ignore"):
        where = getattr(model, "mean_", np.zeros(model.n_features_in_))
        tried = known(path, lambda: model.predict(where[None]))
    if tried.dtype.kind == "f" and not np.isfinite(tried).all():
        raise ValueError(f"{path} holds no sound model: it predicts NaN")
    if names := settings.get("feature_names_in_"):
        words = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not words or len(names) != model.n_features_in_:
            raise ValueError(f"{path} holds no sound model: its features are named {names!r}")
        model.feature_names_in_ = np.array(names, dtype=object)
    return model, settings, tensors


def known(path, act):
    """What act() returns; ValueError, naming the file, where its parts do not make a model."""
    try:
        return act()
    except UNFIT as error:
        raise ValueError(f"{path} holds no sound model: {error!r}") from error
