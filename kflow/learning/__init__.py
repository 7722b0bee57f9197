"""Kernels with parameters, learned by rho or another criterion; predictions with error bars."""

from kflow.learning.combine import DeepFeatures, Product, Sum, Weighted
from kflow.learning.criteria import HiddenHalf, KFold, LeaveOneOut, MarginalLikelihood, Rho
from kflow.learning.descent import History, LearningWarning
from kflow.learning.kernels import (
    ARD,
    Isotropic,
    Linear,
    Metric,
    Periodic,
    Polynomial,
)
from kflow.learning.learn import Learned, learn
from kflow.learning.nugget import loo_nugget
from kflow.learning.parametric import Frozen, ParametricKernel, Positive
from kflow.learning.posterior import Posterior, condition

__all__ = [
    "ARD",
    "DeepFeatures",
    "Frozen",
    "HiddenHalf",
    "History",
    "Isotropic",
    "KFold",
    "Learned",
    "LearningWarning",
    "LeaveOneOut",
    "Linear",
    "MarginalLikelihood",
    "Metric",
    "ParametricKernel",
    "Periodic",
    "Polynomial",
    "Positive",
    "Posterior",
    "Product",
    "Rho",
    "Sum",
    "Weighted",
    "condition",
    "learn",
    "loo_nugget",
]
