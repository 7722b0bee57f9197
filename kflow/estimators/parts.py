"""What a fit of each estimator consists of: settings and tensors, taken from it and given back."""

from dataclasses import replace

import numpy as np
import torch

from kflow import checks
from kflow.engine.frame import Frame
from kflow.engine.transport import ALIGNED, Layer
from kflow.estimators.pairs import Pairs
from kflow.estimators.storage import PLAIN
from kflow.flow import LearnedMap
from kflow.learning import Posterior, condition
from kflow.learning.storage import describe, rebuild

PAIRS = ("x", "coefficients", "constants")
FRAME = ("moving", "resting", "centre", "still")
DTYPES = {"float32": torch.float32, "float64": torch.float64}
NUMBERS = ("mean_", "scale_", "varies_", "y_mean_", "y_scale_")


def of_regressor(model) -> tuple[dict, dict[str, torch.Tensor]]:
    """Its settings and tensors; ValueError where its kernel cannot be written."""
    kernel, parameters = describe(model.kernel_)
    posterior = model.posterior_
    tensors = {name: getattr(posterior, name) for name in ("x", "y", "amplitude")}
    tensors |= {name: torch.from_numpy(np.asarray(getattr(model, name))) for name in NUMBERS}
    tensors["interp_indices_"] = torch.from_numpy(model.interp_indices_)
    tensors |= {f"kernel.{name}": value for name, value in parameters.items()}
    settings = {"kernel": kernel, "nugget": model.nugget_, "one_output": model._one_output}
    return settings | {"n_iter": model.n_iter_}, tensors


def restore_regressor(model, settings, tensors):
    """Give a regressor its fit back, without the history of its learning.

    Its Gram matrix is factored again: it would be far larger than all the rest of the file.
    """
    for name in NUMBERS:
        setattr(model, name, tensors.pop(name).numpy())
        size = tensors["y"].shape[1] if name.startswith("y_") else model.n_features_in_
        if getattr(model, name).shape != (size,):
            raise ValueError(f"{name} must hold {size} numbers, not {getattr(model, name).shape}")
    model.interp_indices_ = tensors.pop("interp_indices_").numpy()
    if model.interp_indices_.shape != (len(tensors["y"]),):
        raise ValueError("interp_indices_ must hold one row for each label")
    prefix = "kernel."
    parameters = {k.removeprefix(prefix): tensors.pop(k) for k in [*tensors] if prefix in k}
    model.kernel_, model.nugget_ = rebuild(settings["kernel"], parameters), settings["nugget"]
    model._one_output, model.n_iter_ = settings["one_output"], settings["n_iter"]
    checks.flag("one_output", model._one_output)
    model.history_ = None
    x, y, amplitude = (tensors.pop(name) for name in ("x", "y", "amplitude"))
    model.posterior_ = fitted(model.kernel_, x, y, model.nugget_, amplitude)
    model._describe()


def fitted(kernel, x, y, nugget: float, amplitude: torch.Tensor) -> Posterior:
    """`condition` with an amplitude that a fit found, which is not held to a user's bounds."""
    posterior = condition(kernel, x, y, nugget, amplitude=1.0)
    sound = amplitude.isfinite() & ((amplitude > 0) | (posterior.y == 0).all(0))
    if amplitude.shape != y.shape[1:] or not sound.all():
        raise ValueError(f"amplitude must hold {y.shape[1]} positive numbers, not {amplitude}")
    return replace(posterior, amplitude=amplitude)


def of_classifier(model) -> tuple[dict, dict[str, torch.Tensor]]:
    """Its settings and tensors: its map, layer by layer, and its interpolants."""
    flow, pairs = model.map_, model.pairs_
    z, c = zip(*flow.layers, strict=True) if model.layers_ else ((), ())
    tensors = {"z": torch.stack(z), "c": torch.stack(c)} if z else {}
    tensors |= {name: getattr(flow.frame, name) for name in FRAME}
    tensors |= {name: getattr(pairs, name) for name in PAIRS}
    settings = {
        "kernel": describe(model.kernel_)[0],
        "classes": [str(model.classes_.dtype), _listed(model.classes_)],
        "dtype": str(flow.frame.dtype).removeprefix("torch."),
        "fill": flow.frame.fill,
        "mixed": flow.mixed,
        "nugget": pairs.nugget,
        "layers": model.layers_,
    }
    return settings, tensors


def _listed(classes: np.ndarray) -> list:
    found = classes.tolist()
    if not all(isinstance(each, PLAIN) for each in found):
        raise ValueError(
            f"classes of {classes.dtype} cannot be saved, such as {found[0]!r}; fit with words or "
            "numbers as labels"
        )
    return found


def restore_classifier(model, settings, tensors):
    """Give a classifier its fit back: it predicts and transforms."""
    place = checks.device(model.device)
    tensors = {name: value.to(place) for name, value in tensors.items()}
    model.kernel_ = rebuild(settings["kernel"], {})
    kind, classes = settings["classes"]
    model.classes_ = np.array(classes, dtype=kind)
    if model.classes_.ndim != 1 or len(model.classes_) < 2:
        raise ValueError(f"the classes must be a list of two or more, not {classes!r}")
    checks.integer("fill", settings["fill"], least=0, most=ALIGNED - 1)
    checks.flag("mixed", settings["mixed"])
    checks.integer("layers", settings["layers"], least=0)
    checks.number("nugget", settings["nugget"], least=0)
    frame = Frame(*(tensors[name] for name in FRAME), DTYPES[settings["dtype"]], settings["fill"])
    layers = [Layer(z, c) for z, c in zip(tensors.get("z", ()), tensors.get("c", ()), strict=True)]
    model.map_ = LearnedMap(model.kernel_, frame, settings["mixed"], layers)
    parts = (tensors[name] for name in PAIRS)
    model.pairs_ = Pairs(model.kernel_, *parts, len(classes), settings["nugget"])
    model.layers_, model.interp_nugget_ = settings["layers"], settings["nugget"]
