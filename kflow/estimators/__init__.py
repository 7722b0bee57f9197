"""Kernel Flows on one's own data: a classifier and a regressor with the manners of scikit-learn."""

from kflow.estimators.classifier import KernelFlowClassifier
from kflow.estimators.regressor import KernelFlowRegressor

__all__ = ["KernelFlowClassifier", "KernelFlowRegressor"]
