"""Kernels as JSON and tensors: what is written can be read again without running any code of it."""

from torch import Tensor

import kflow.kernels as radial
from kflow import checks
from kflow.kernels import Radial
from kflow.learning import combine, kernels
from kflow.learning.parametric import Frozen, ParametricKernel

MAKERS = {
    name: getattr(module, name)
    for module, names in (
        (kernels, ("ARD", "Isotropic", "Linear", "Metric", "Periodic", "Polynomial")),
        (combine, ("Product", "Sum", "Weighted")),
    )
    for name in names
}


def describe(kernel) -> tuple[dict, dict[str, Tensor]]:
    """A kernel as what JSON can hold, and its tensors; ValueError for one that is not of kflow."""
    if isinstance(kernel, Frozen):
        kernel = kernel.kernel
    if isinstance(kernel, Radial) and type(kernel).__module__ == radial.__name__:
        return _radial(kernel), {}
    return _settings(kernel), dict(kernel.state_dict())


def rebuild(settings: dict, tensors: dict[str, Tensor]):
    """The kernel that `describe` described; frozen, where it has parameters.

    Raises ValueError, TypeError, KeyError or RuntimeError where that is none of kflow's.
    """
    if settings["class"] not in MAKERS:
        return _base(settings)
    most = max([1, *(size for value in tensors.values() for size in value.shape)])
    kernel = _made(settings, most)
    kernel.load_state_dict(tensors)
    return kernel.freeze()


def _radial(base: Radial) -> dict:
    return {"class": type(base).__name__, **vars(base)}


def _base(settings: dict) -> Radial:
    values = dict(settings)
    kind = getattr(radial, values.pop("class"), None)
    if not (isinstance(kind, type) and issubclass(kind, Radial)):
        raise ValueError(f"the file names an unknown kernel, {settings['class']!r}")
    return kind(**values)


def _settings(kernel) -> dict:
    name = type(kernel).__name__
    if MAKERS.get(name) is not type(kernel):
        raise ValueError(
            f"a kernel of class {name} cannot be saved, only those of kflow without a network; "
            "keep its state_dict yourself"
        )
    found: dict[str, object] = {"class": name}
    if isinstance(kernel, combine.Sum):
        return found | {"kernels": [_settings(term) for term in kernel.terms]}
    if isinstance(kernel, combine.Weighted):
        return found | {"kernels": [_settings(kernel.kernel)]}
    if hasattr(kernel, "base"):
        found["base"] = _radial(kernel.base)
    if isinstance(kernel, kernels.ARD | kernels.Polynomial):
        found["n_features"] = len(kernel.gamma)
    if name == "Metric":
        found["n_features"], found["rank"] = kernel.matrix.shape
    if name == "Polynomial":
        found["degree"] = kernel.degree
    return found


def _made(settings: dict, most: int) -> ParametricKernel:
    """A kernel of at most so many features, as its tensors have: others would take the memory."""
    values = dict(settings)
    for name in {"n_features", "rank"} & values.keys():
        checks.integer(name, values[name], least=1, most=most)
    maker, parts = MAKERS[values.pop("class")], values.pop("kernels", [])
    if "base" in values:
        values["base"] = _base(values["base"])
    return maker(*(_made(part, most) for part in parts), **values)
