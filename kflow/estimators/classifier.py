"""Kernel Flows on one's own data: a scikit-learn classifier."""

import numpy as np
import torch

from kflow import checks
from kflow.classify import draw_per_class
from kflow.estimators import inputs
from kflow.flow import KernelFlow
from kflow.interpolation import interpolate
from kflow.kernels import Gaussian
from kflow.learning import loo_nugget
from kflow.steps import MaxDisplacement

with checks.extra("sklearn"):
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        TransformerMixin,
    )
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted


class KernelFlowClassifier(
    ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Classify by the interpolant of a few points after a flow that used all of them.

    gamma and delta are in units of the root mean squared distance of the training points, so they
    have no dimension; bring features to one scale first (StandardScaler). Each layer draws n_fine
    points, by default a quarter of them, at least 20 and at most 200: games that hold most of the
    data let the flow fit their labels, as a small nugget does. `nugget` is the flow's,
    `interp_nugget` that of the interpolant, a number or "loo" (chosen by leaving one out). The
    interpolant keeps n_interp points, alike for each class, so a class_weight is not needed. The
    layers are kept, twice layers x n_fine x features numbers. random_state is a seed, a
    RandomState, or None. device is "cpu", "cuda" (with a number, or not) or "mps", which
    computes in float32.

    `transform` gives F(X), (n, features), and `decision_function` the interpolant, (n, classes),
    or (n,) for two classes: labels regressed by kriging, not probabilities. There is no
    predict_proba; sklearn.calibration.CalibratedClassifierCV makes probabilities of it.
    """

    def __init__(
        self,
        layers=100,
        n_fine=None,
        gamma=1.0,
        delta=0.1,
        nugget=1.0,
        interp_nugget=0.3,
        n_interp=600,
        precision="float32",
        device="cpu",
        random_state=0,
    ):
        self.layers = layers
        self.n_fine = n_fine
        self.gamma = gamma
        self.delta = delta
        self.nugget = nugget
        self.interp_nugget = interp_nugget
        self.n_interp = n_interp
        self.precision = precision
        self.device = device
        self.random_state = random_state

    def fit(self, X, y):  # noqa: N803, scikit-learn's names
        """Flow the points X (n, features) with labels y (n,); ValueError on bad input."""
        X, y = inputs.validated(self, X, y, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class only, {self.classes_[0]!r}; a classifier needs at least two"
            )
        x = inputs.tensor(X, self.device)
        one_hot = torch.eye(len(self.classes_), dtype=x.dtype, device=x.device)[labels]
        s = Gaussian.for_points(x).gamma
        self.kernel_ = Gaussian(self.gamma * s)
        step = MaxDisplacement(self.delta * s)
        flow = KernelFlow(self.kernel_, self._n_fine(len(x)), step, self.nugget, self.precision)
        rng = inputs.seeded(self.random_state)
        self.path_ = flow.run(x, one_hot, self.layers, rng, keep_layers=True)
        per_class = max(1, self.n_interp // len(self.classes_))
        kept = draw_per_class(one_hot, per_class, rng).to(x.device)
        points, labels = self.path_.points[kept], one_hot[kept]
        self.interp_nugget_ = self.interp_nugget
        if self.interp_nugget == "loo":
            self.interp_nugget_ = loo_nugget(self.kernel_, points, labels, rng)
        self.interpolant_ = interpolate(self.kernel_, points, labels, self.interp_nugget_)
        return self

    def transform(self, X):  # noqa: N803
        """F(X), (n, features)."""
        return self._flowed(X).cpu().numpy()

    def decision_function(self, X):  # noqa: N803
        """The interpolant at F(X)."""
        flowed = self._flowed(X)
        scores = self.interpolant_(flowed).cpu().numpy()
        return scores if len(self.classes_) > 2 else scores[:, 1] - scores[:, 0]

    def predict(self, X):  # noqa: N803
        """The class of largest value, (n,)."""
        scores = self.decision_function(X)
        best = scores.argmax(1) if scores.ndim == 2 else (scores > 0).astype(int)
        return self.classes_[best]

    @property
    def predict_proba(self):
        """Absent, with the reason."""
        raise AttributeError(
            "KernelFlowClassifier has no predict_proba: its decision_function regresses labels and "
            "is no probability. Take CalibratedClassifierCV(model) of sklearn.calibration"
        )

    @property
    def _n_features_out(self):
        return self.n_features_in_

    def _n_fine(self, n):
        most = n - n % 2
        if self.n_fine is not None:
            return min(self.n_fine, most)
        wanted = min(200, max(20, n // 4))
        return min(wanted - wanted % 2, most)

    def _flowed(self, X) -> torch.Tensor:  # noqa: N803
        check_is_fitted(self)
        return self.path_.transform(
            inputs.tensor(inputs.validated(self, X, reset=False), self.device)
        )
