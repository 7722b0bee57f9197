"""Kernel Flows on one's own data: a scikit-learn classifier."""

from dataclasses import replace

import numpy as np
import torch

from kflow import checks
from kflow.classify import draw_in_proportion
from kflow.estimators import inputs, parts, storage
from kflow.estimators.distinct import distinct
from kflow.estimators.pairs import tell_apart
from kflow.estimators.rows import of_all
from kflow.flow import KernelFlow
from kflow.interpolation import rows_of
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

TRIED = (0, 10, 30, 100)  # layers
FEWEST = 10  # held-out points that can choose


class KernelFlowClassifier(
    storage.Saved, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Classify by the interpolants of a few points after a flow that used all of them.

    gamma and delta are in units of the root mean squared distance of the training points, so they
    have no dimension; bring features to one scale first (StandardScaler). Each layer draws n_fine
    points, by default a quarter of them, at least 20 and at most 200: games that hold most of the
    data let the flow fit their labels, as a small nugget does. `nugget` is the flow's,
    `interp_nugget` that of the interpolant, a number or "loo" (chosen by leaving one out). The
    interpolant keeps n_interp points (None: all), of each class in proportion to its size and one
    at least; there is no class_weight. The layers are kept, twice layers x n_fine x features
    numbers. random_state is a seed, a RandomState, or None. device is "cpu", "cuda" (with a number,
    or not) or "mps", which computes in float32.

    layers="auto" tries 0, 10, 30 and 100 layers on a fifth of the points, held out, and takes
    the fewest that err as rarely as the best, within a standard error: the flow pays where few
    points are kept, and can cost accuracy where all are.

    Classes are told apart two by two (`kflow.estimators.pairs`). `transform` gives F(X),
    (n, features), and `decision_function` labels regressed by kriging, (n,), or for more classes
    votes, (n, classes): no probabilities, so there is no predict_proba;
    sklearn.calibration.CalibratedClassifierCV makes some of it.
    """

    _parts, _restore = parts.of_classifier, parts.restore_classifier

    def __init__(
        self,
        layers="auto",
        n_fine=None,
        gamma=1.0,
        delta=0.1,
        nugget=1.0,
        interp_nugget=1.0,
        n_interp=2000,
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

    @inputs.all_or_nothing
    def fit(self, X, y):  # noqa: N803, scikit-learn's names
        """Flow the points X (n, features) with labels y (n,); ValueError on bad input."""
        X, y = inputs.validated(self, X, y, ensure_min_samples=2)
        self._check()
        self.classes_, labels = distinct("y", y)
        with np.errstate(invalid="ignore"):  # it tries whether labels are whole numbers
            check_classification_targets(y)
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise ValueError(f"y holds one class only, {only!r}; a classifier needs at least two")
        x = inputs.tensor(X, self.device)
        one_hot = torch.eye(len(self.classes_), dtype=x.dtype, device=x.device)[labels]
        s = Gaussian.for_points(x).gamma
        self.kernel_ = Gaussian(self.gamma * s)
        step = MaxDisplacement(self.delta * s)
        flow = KernelFlow(self.kernel_, self._n_fine(len(x)), step, self.nugget, self.precision)
        rng = inputs.seeded(self.random_state)
        if self.layers == "auto":
            self.layers_ = self._layers(flow, x, one_hot, rng)
        else:
            self.layers_ = checks.integer("layers", self.layers, least=0)
        self.path_ = flow.run(x, one_hot, self.layers_, rng, keep_layers=True)
        self.map_ = self.path_.map
        self.pairs_ = self._pairs(self.path_.points, one_hot, rng)
        self.interp_nugget_ = self.pairs_.nugget
        return self

    def transform(self, X):  # noqa: N803
        """F(X), (n, features)."""
        return self._flowed(X).cpu().numpy()

    def decision_function(self, X):  # noqa: N803
        """The interpolant at F(X), (n,), positive for the second class; of more, votes."""
        flowed = self._flowed(X)
        if len(self.classes_) == 2:
            return -self.pairs_(flowed)[:, 0].cpu().numpy()
        return self.pairs_.votes(flowed).cpu().numpy()

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

    def _check(self):
        checks.number("gamma", self.gamma, above=0)
        checks.number("delta", self.delta, above=0)
        if self.n_interp is not None:
            checks.integer("n_interp", self.n_interp, least=1)
        if self.n_fine is not None:
            checks.integer("n_fine", self.n_fine, least=2)

    def _n_fine(self, n):
        most = n - n % 2
        if self.n_fine is not None:
            return min(self.n_fine, most)
        wanted = min(200, max(20, n // 4))
        return min(wanted - wanted % 2, most)

    def _pairs(self, points, one_hot, rng):
        size = len(points) if self.n_interp is None else self.n_interp
        kept = draw_in_proportion(one_hot, size, rng).to(points.device)
        part, one_hot, nugget = points[kept], one_hot[kept], self.interp_nugget
        if nugget == "loo":
            nugget = loo_nugget(self.kernel_, part, one_hot - one_hot.mean(0), rng)
        nugget = checks.number("interp_nugget", nugget, least=0)
        with rows_of(points):
            return tell_apart(self.kernel_, part, one_hot.argmax(1), len(self.classes_), nugget)

    def _layers(self, flow, x, one_hot, rng) -> int:
        """The fewest layers that err on held-out points as rarely as the best, within chance."""
        held = draw_in_proportion(one_hot, len(x) // 5, rng).to(x.device)
        rest = torch.ones(len(x), dtype=torch.bool, device=x.device).index_fill(0, held, False)
        if len(held) < FEWEST or not one_hot[rest].any(0).all():
            return 0
        kept, seed = one_hot[rest], int(torch.randint(2**62, (), generator=rng, device="cpu"))

        def observe(state):
            pairs = self._pairs(state.points, kept, inputs.seeded(seed))
            return {"wrong": pairs.votes(state.carried).argmax(1) != one_hot[held].argmax(1)}

        flow = replace(flow, n_fine=min(flow.n_fine, len(kept) - len(kept) % 2))
        with of_all(rest.nonzero()[:, 0].tolist()):
            path = flow.run(
                x[rest], kept, max(TRIED), rng, carry=x[held], observe=observe, observe_at=TRIED
            )
        wrong = {k: seen["wrong"].double() for k, seen in path.observed.items()}
        best = min(wrong.values(), key=torch.sum)
        gap = {k: each - best for k, each in wrong.items()}
        return min(k for k, d in gap.items() if d.mean() <= d.std() / len(held) ** 0.5)

    def _flowed(self, X) -> torch.Tensor:  # noqa: N803
        check_is_fitted(self)
        X = inputs.validated(self, X, reset=False)  # noqa: N806
        return self.map_(inputs.tensor(X, self.device))
