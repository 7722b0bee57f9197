"""Kernel Flows (Owhadi and Yoo, arXiv:1808.04475): kernels learned by halving the data."""

from kflow.checks import NotPositiveDefinite
from kflow.classify import error_rate, error_table
from kflow.engine import State
from kflow.engine import shards as shards
from kflow.flow import FlowPath, KernelFlow
from kflow.game import Sample, draw, rho, rho_and_gradient
from kflow.interpolation import Interpolant, interpolate
from kflow.kernels import (
    Gaussian,
    InverseMultiquadric,
    Matern32,
    Matern52,
    RationalQuadratic,
)
from kflow.steps import Constant, MaxDisplacement, RelativeDisplacement

__all__ = [
    "Constant",
    "EffectiveODE",
    "Exact",
    "FlowPath",
    "Gaussian",
    "IntegrationFailed",
    "Interpolant",
    "InverseMultiquadric",
    "KernelFlow",
    "KernelFlowClassifier",
    "KernelFlowRegressor",
    "Matern32",
    "Matern52",
    "MaxDisplacement",
    "MonteCarlo",
    "NotPositiveDefinite",
    "RationalQuadratic",
    "RelativeDisplacement",
    "Sample",
    "Solution",
    "State",
    "draw",
    "error_rate",
    "error_table",
    "interpolate",
    "rho",
    "rho_and_gradient",
]

_OF_ODE = ("EffectiveODE", "Exact", "IntegrationFailed", "MonteCarlo", "Solution")
_OF_SKLEARN = ("KernelFlowClassifier", "KernelFlowRegressor")


def __dir__():
    return sorted({*globals(), *__all__, "forecasting", "learning"})


def __getattr__(name):
    """What needs SciPy or scikit-learn, and rooms, when asked for: they are slow to import."""
    if name in _OF_ODE:
        from kflow import ode

        return getattr(ode, name)
    if name in _OF_SKLEARN:
        from kflow import estimators

        return getattr(estimators, name)
    if name == "forecasting":  # "from kflow import" would ask here again
        import kflow.forecasting as forecasting

        return forecasting
    if name == "learning":
        import kflow.learning as learning

        return learning
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
