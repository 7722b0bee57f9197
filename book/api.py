"""The page of the library: every public name of `kflow`, from its docstring."""

import importlib
import inspect

import kflow

# imported as modules: from kflow import data
LEAVES = ("engine.shards", "fluctuations", "data", "figures.chapter", "reproduce.execution")
HEAD = """# The library

All names below are imported from `kflow`; `shards`, `data`, `figures` and
`reproduce.execution` are imported as modules. The letters: n points, m other points, d features, c
outputs; `x` is (n, d) and `y` is float (n, c); every `rng` is a CPU `torch.Generator`, so that all
devices play the same.
[Notation](notation.md) gives the mathematical symbol of each name.
"""
AUTO = "```{{eval-rst}}\n.. {kind}:: {name}\n{options}```\n"
MEMBERS = """   :members:
   :inherited-members: tuple, ClassifierMixin, BaseEstimator
   :special-members: __call__
   :exclude-members: of_squared, slope, count, index, set_score_request
"""


def page():
    """Write the page in Markdown."""
    names = {}
    for name in kflow.__all__:
        names.setdefault(getattr(kflow, name).__module__, []).append(name)
    order = [f"kflow.{path}" for path in _reading_order() if f"kflow.{path}" in names]
    parts = [HEAD]
    for module in order:
        parts += [_heading(module), *(_entry(module, name) for name in names[module])]
    for leaf in LEAVES:
        module = f"kflow.{leaf}"
        public = importlib.import_module(module)
        own = [n for n, o in vars(public).items() if _documented(n, o, module)]
        parts += [_heading(module), *(_entry(module, name) for name in own)]
    return "\n".join(parts)


def _reading_order():
    """Modules in the order in which they build on each other."""
    known = ["checks", "kernels", "interpolation", "game", "steps", "transport", "checkpoint"]
    known += ["flow", "ode", "classify", "learn", "estimators"]
    others = {getattr(kflow, name).__module__.removeprefix("kflow.") for name in kflow.__all__}
    return known + sorted(others - set(known))


def _documented(name, thing, module):
    ours = getattr(thing, "__module__", None) == module and callable(thing)
    return ours and not name.startswith("_") and name != "main" and bool(inspect.getdoc(thing))


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
