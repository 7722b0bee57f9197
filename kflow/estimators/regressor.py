"""Regression by a learned kernel, with error bars, as a scikit-learn estimator."""

import numpy as np
import torch

from kflow import checks
from kflow.engine import memory
from kflow.estimators import choices, inputs, parts, standardise, storage
from kflow.estimators.groups import numbered, split
from kflow.interpolation import rows_of
from kflow.learning import ParametricKernel, condition, learn, loo_nugget

with checks.extra("sklearn"):
    from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
    from sklearn.utils.validation import check_is_fitted

CALIBRATED = 4000  # points from which the amplitude is taken


class KernelFlowRegressor(storage.Saved, MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Kriging with a learned kernel: predictions with error bars, for one output or several.

    `predict(X, return_std=True)` is the uncertainty of the function, as with scikit-learn's
    `alpha`; with noise=True it is that of a new label, as with its WhiteKernel. Features are
    standardised; those that are constant, but for rounding, are left out.

    kernel is "matern52", "matern32", "gaussian" or "rational_quadratic", with a bandwidth for each
    feature (ard=True) or one for all (take it with fewer than about ten rows for each feature: the
    error bars are too short otherwise); or a kernel of `kflow.learning`, which learns; or any
    other, which is taken as it is. They see standardised features. criterion is "likelihood", "loo"
    (leave one out), "rho", "half", "kfold" or an object of `kflow.learning`; the named ones draw
    n_fine points at each of the steps (None: 400). nugget is "learn" or a number, relative to
    k(x, x) = 1; with refit_nugget the learned one is chosen anew in the end by leaving one out. All
    points predict; with n_interp so many, drawn. random_state is a seed, a RandomState, or None.
    There is no sample_weight.
    """

    _parts, _restore = parts.of_regressor, parts.restore_regressor

    def __init__(
        self,
        kernel="matern52",
        ard=True,
        criterion="likelihood",
        n_fine=None,
        nugget="learn",
        refit_nugget=True,
        steps=300,
        starts=1,
        n_interp=None,
        normalize_y=True,
        device="cpu",
        random_state=0,
    ):
        self.kernel = kernel
        self.ard = ard
        self.criterion = criterion
        self.n_fine = n_fine
        self.nugget = nugget
        self.refit_nugget = refit_nugget
        self.steps = steps
        self.starts = starts
        self.n_interp = n_interp
        self.normalize_y = normalize_y
        self.device = device
        self.random_state = random_state

    @inputs.all_or_nothing
    @torch.inference_mode(False)  # it learns by gradients, whatever is set around it
    def fit(self, X, y, groups=None):  # noqa: N803, scikit-learn's names
        """Learn from X (n, features) and y, (n,) or (n, outputs); ValueError on bad input.

        The error bars are as long as the errors where each row is left out. Where rows resemble
        those of their own group more than new ones (neighbours in time, samples of one site) that
        is too short: with groups, (n,), the rows of a group are left out together for it, and all
        error bars are as long as a new group's are. The predictions do not change.
        """
        X, y = inputs.validated(self, X, y, multi_output=True, y_numeric=True, ensure_min_samples=4)
        for name in ("ard", "refit_nugget", "normalize_y"):
            checks.flag(name, getattr(self, name))
        y, groups = inputs.floats(y), numbered(groups, len(X))
        self._one_output = y.ndim == 1
        y = y.reshape(len(y), -1)
        if not standardise.differs(y).any():
            raise ValueError(
                f"all labels y are equal but for rounding, {y[0].tolist()}, so there is nothing "
                "to learn"
            )
        names = getattr(self, "feature_names_in_", range(X.shape[1]))
        self.mean_, self.scale_, self.varies_ = standardise.features(X, names)
        self.y_mean_, self.y_scale_ = np.zeros(y.shape[1]), np.ones(y.shape[1])
        if self.normalize_y:
            y, self.y_mean_, self.y_scale_ = standardise.labels(y)
        rng = inputs.seeded(self.random_state)
        x, labels = self._points(X), self._tensor(y)
        self._learn(x, labels, rng)
        kept = self._kept(labels, rng)
        part, kept = kept[:CALIBRATED].sort().values, kept.sort().values
        self.interp_indices_ = kept.cpu().numpy()
        with rows_of(x):
            self.posterior_ = condition(self.kernel_, x[part], labels[part], self.nugget_)
        if groups is not None:
            self.posterior_ = self.posterior_.calibrated(split(groups, part))
        if len(kept) > CALIBRATED:  # that part has calibrated the amplitude
            amplitude = self.posterior_.amplitude
            with rows_of(x):
                x, labels = x[kept], labels[kept]
                self.posterior_ = parts.fitted(self.kernel_, x, labels, self.nugget_, amplitude)
        self._describe()
        return self

    def predict(self, X, return_std=False, return_cov=False, noise=False):  # noqa: N803
        """The mean at X; with return_std (n, [outputs]) or return_cov (n, n, [outputs]) a pair.

        With noise=True the uncertainty is that of a new label, without it that of the function.
        """
        for name, value in (("return_std", return_std), ("return_cov", return_cov)):
            checks.flag(name, value)
        checks.flag("noise", noise)
        if return_std and return_cov:
            raise ValueError("return_std and return_cov exclude each other: take one")
        x = self._new(X)
        mean = self._numpy(self.posterior_.mean(x)) * self.y_scale_ + self.y_mean_
        if return_std:
            std = self._numpy(self.posterior_.std(x, noise)) * self.y_scale_
            return self._shaped(mean), self._shaped(std)
        if return_cov:
            covariance = self._numpy(self.posterior_.covariance(x, noise).permute(1, 2, 0))
            return self._shaped(mean), self._shaped(covariance * self.y_scale_**2)
        return self._shaped(mean)

    def sample(self, X, n_samples=1, noise=False, random_state=0):  # noqa: N803
        """Draws of the function (of labels with noise=True) at X, (n, [outputs], n_samples)."""
        x, rng = self._new(X), inputs.seeded(random_state)
        checks.integer("n_samples", n_samples, least=1)
        draws = self._numpy(self.posterior_.sample(x, n_samples, rng, noise))
        draws = np.moveaxis(draws * self.y_scale_ + self.y_mean_, 0, -1)
        return draws[:, 0] if self._one_output else draws

    @property
    def loo_predictions_(self):
        """The prediction of each label from all others, (n,) or (n, outputs).

        They are those of the rows `interp_indices_`: of all, in order, unless n_interp drew some.
        """
        check_is_fitted(self)
        mean, _ = self.posterior_.leave_one_out()
        return self._shaped(self._numpy(mean) * self.y_scale_ + self.y_mean_)

    def _learn(self, x, y, rng):
        kernel = choices.kernel(self.kernel, self.ard, x.shape[1])
        fixed = self.nugget != "learn"
        start = checks.number("nugget", self.nugget, least=0) if fixed else 1e-2
        self.history_, self.n_iter_ = None, 0
        if isinstance(kernel, ParametricKernel):
            criterion = choices.criterion(self.criterion, self.n_fine)
            learned = learn(
                kernel, x, y, criterion, nugget=start, learn_nugget=not fixed,
                refit_nugget=self.refit_nugget and not fixed, steps=self.steps, starts=self.starts,
                rng=rng,
            )  # fmt: skip
            self.kernel_, self.nugget_ = learned.kernel, learned.nugget
            self.history_, self.n_iter_ = learned.history, len(learned.history.loss)
        else:
            self.kernel_ = kernel
            self.nugget_ = start if fixed else loo_nugget(kernel, x, y, rng)

    def _kept(self, y, rng):
        """The rows that predict, in the order in which a part of them calibrates."""
        n = len(y)
        if self.n_interp is not None:
            checks.integer("n_interp", self.n_interp, least=2)
            n = min(n, self.n_interp)
        needed, free = 3 * 8 * n**2, memory.free() if y.device.type == "cpu" else None
        if free is not None and needed > free:
            raise ValueError(
                f"to predict from {n} points takes {needed / 1e9:.0f} GB, of which "
                f"{free / 1e9:.0f} GB are free; pass n_interp={int((free / 24) ** 0.5) // 1000}000"
            )
        if n == len(y) <= CALIBRATED:
            return torch.arange(n, device=y.device)
        drawn = torch.randperm(len(y), generator=rng, device="cpu")[:n].to(y.device)
        lost = (y != 0).any(0) & (y[drawn] == 0).all(0)
        if lost.any():
            raise ValueError(
                f"of the {n} points drawn to predict from all labels of output "
                f"{int(lost.nonzero()[0])} are 0, and others are not; pass a larger n_interp"
            )
        return drawn

    def _describe(self):
        amplitude = self._numpy(self.posterior_.amplitude) * self.y_scale_**2
        self.amplitude_ = float(amplitude[0]) if self._one_output else amplitude
        scale = self._tensor(self.y_scale_).log() * len(self.posterior_.x)
        varies = self.posterior_.amplitude > 0  # labels that are all 0 have the likelihood infinity
        self.log_marginal_likelihood_ = float(
            (self.posterior_.log_likelihood() - scale)[varies].sum()
        )
        gamma = getattr(getattr(self.kernel_, "kernel", None), "gamma", None)
        if gamma is not None and gamma.ndim == 1:  # how far apart points must be to differ
            self.bandwidths_ = np.full(len(self.varies_), np.inf)
            self.bandwidths_[self.varies_] = self._numpy(gamma) * self.scale_[self.varies_]

    def _new(self, X):  # noqa: N803
        check_is_fitted(self)
        return self._points(inputs.validated(self, X, reset=False))

    def _points(self, X):  # noqa: N803
        return self._tensor(((X - self.mean_) / self.scale_)[:, self.varies_])

    def _tensor(self, values):
        return inputs.tensor(values, self.device)

    def _shaped(self, values):
        return values[..., 0] if self._one_output else values

    @staticmethod
    def _numpy(values):
        return values.detach().cpu().numpy()
