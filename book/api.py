"""The page of the library: every public name of `kflow`, from its docstring.

Public is what `kflow.__all__` names, and what a module or package names in its own `__all__`.
"""

import importlib
import inspect
import pkgutil
import tomllib
from pathlib import Path

import kflow

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# The library

The names of the theory are imported from `kflow`, those of `data`, `figures` and what follows from
their modules. The letters: n points, m other points, d features, c
outputs; `x` is (n, d) and `y` is float (n, c); every `rng` is a CPU `torch.Generator`, so that all
devices play the same.
[Notation](notation.md) gives the mathematical symbol of each name.
"""
AUTO = "```{{eval-rst}}\n.. {kind}:: {name}\n{options}```\n"
MEMBERS = """   :members:
   :inherited-members: tuple, Module, RegressorMixin, MultiOutputMixin, ClassifierMixin, BaseEstimator
   :special-members: __call__
   :exclude-members: of_squared, slope, count, index, set_score_request, set_predict_request, set_fit_request, get_metadata_routing
"""  # noqa: E501


def page():
    """Write the page in Markdown: the modules bottom up, each with its public names."""
    parts = [HEAD]
    for module in sorted(_modules(), key=_height):
        if names := _public(module):
            parts += [_heading(module), *(_entry(module, name) for name in names)]
    return "\n".join(parts)


def _modules():
    """All modules of kflow but its commands and what only they use."""
    found = pkgutil.walk_packages(kflow.__path__, "kflow.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def _height(module):
    """Where a module stands in the order of the imports, the lowest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    order = [name.strip("()") for name in contracts["contracts"][0]["layers"]]
    return -order.index(module.split(".")[1]), module


def _public(module):
    """The names that are documented under a module."""
    things = importlib.import_module(module)
    own = [name for name in getattr(things, "__all__", ()) if callable(getattr(things, name))]
    return own + [
        name
        for name in kflow.__all__
        if getattr(kflow, name).__module__ == module and name not in own
    ]


def _heading(module):
    first = inspect.getdoc(importlib.import_module(module)).split("\n\n")[0]
    return f"## {module}\n\n{' '.join(first.split())}\n"


def _entry(module, name):
    thing = getattr(importlib.import_module(module), name)
    kind = "autofunction"
    if inspect.isclass(thing):
        kind = "autoexception" if issubclass(thing, Exception) else "autoclass"
    options = MEMBERS if kind == "autoclass" else ""
    return AUTO.format(kind=kind, name=f"{module}.{name}", options=options)
