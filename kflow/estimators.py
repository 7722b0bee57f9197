"""Kernel Flows on one's own data: a scikit-learn classifier."""

import numpy as np
import torch

from kflow import checks
from kflow.classify import draw_per_class
from kflow.flow import KernelFlow
from kflow.interpolation import interpolate
from kflow.kernels import Gaussian
from kflow.steps import MaxDisplacement

with checks.extra("sklearn"):
    from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data


class KernelFlowClassifier(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Classify by the interpolant of a few points after a flow that used all of them.

    gamma and delta are in units of the root mean squared distance of the training points, so they
    have no dimension. The flow draws n_fine points a layer (all, where there are fewer); a batch
    that is a large part of the data overfits unless the nugget is large too. The interpolant keeps
    n_interp points (all, where there are fewer), alike for each class. The layers are kept, twice
    layers x n_fine x features numbers. random_state is the seed. device is "cpu", "cuda" (with a
    number, or not) or "mps", which computes in float32.
    `transform` gives F(X), (n, features), and `decision_function` the interpolant, (n, classes),
    or (n,) for two classes.
    """

    def __init__(
        self,
        layers=300,
        n_fine=200,
        gamma=1.0,
        delta=0.1,
        nugget=0.1,
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
        self.n_interp = n_interp
        self.precision = precision
        self.device = device
        self.random_state = random_state

    def fit(self, X, y):  # noqa: N803, scikit-learn's names
        """Flow the points X (n, features) with labels y (n,); ValueError on bad input."""
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y holds one class only, {self.classes_[0]!r}; a classifier needs at least two"
            )
        x = self._points(X)
        one_hot = torch.eye(len(self.classes_), dtype=x.dtype, device=x.device)[labels]
        n_fine = min(self.n_fine, len(x) - len(x) % 2)
        s = Gaussian.for_points(x).gamma
        self.kernel_ = Gaussian(self.gamma * s)
        step = MaxDisplacement(self.delta * s)
        flow = KernelFlow(self.kernel_, n_fine, step, self.nugget, self.precision)
        rng = torch.Generator().manual_seed(self.random_state)
        self.path_ = flow.run(x, one_hot, self.layers, rng, keep_layers=True)
        per_class = max(1, self.n_interp // len(self.classes_))
        kept = draw_per_class(one_hot, per_class, rng).to(x.device)
        self.interpolant_ = interpolate(
            self.kernel_, self.path_.points[kept], one_hot[kept], self.nugget
        )
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

    def _flowed(self, X) -> torch.Tensor:  # noqa: N803
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return self.path_.transform(self._points(X))

    def _points(self, X) -> torch.Tensor:  # noqa: N803
        """X where the flow is; in float32 on a device that has no float64."""
        device = checks.device(self.device)
        x = torch.tensor(X, dtype=torch.float32 if device.type == "mps" else None)
        return x.to(device)
