"""Small tables of data: the estimators at their defaults beside those of scikit-learn.

`python -m kflow.paper tabular` cross-validates all models on all sets, adding to what
book/records/paper/tabular.json holds. Defaults were chosen on other seeds of the
generated sets.
"""

import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from kflow import data
from kflow.estimators import KernelFlowClassifier, KernelFlowRegressor
from kflow.paper.record import RECORDS, read_record, write

SEEDS = 2  # one more adds to the record
FOLDS = {"classification": 5, "regression": 3}


def classification(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sets to classify."""
    x, target = datasets.load_diabetes(return_X_y=True)
    return {
        "circles": datasets.make_circles(400, noise=0.15, factor=0.6, random_state=seed),
        "quantiles": datasets.make_gaussian_quantiles(
            n_samples=500, n_features=5, n_classes=3, random_state=seed
        ),
        "hastie": datasets.make_hastie_10_2(600, random_state=seed),
        "blobs": datasets.make_blobs(500, 4, centers=6, cluster_std=3.0, random_state=seed),
        "flipped": datasets.make_classification(
            500, 10, n_informative=4, flip_y=0.15, random_state=seed
        ),
        "five classes": datasets.make_classification(
            800, 40, n_informative=8, n_classes=5, random_state=seed
        ),
        "unequal classes": datasets.make_classification(
            1500, 8, n_informative=4, weights=[0.9], flip_y=0.1, class_sep=0.7, random_state=seed
        ),
        "diabetes, above the median": (x, (target > np.median(target)).astype(int)),
        "MNIST, 500 images": _images(data.mnist(), seed),
        "Fashion-MNIST, 500 images": _images(data.fashion_mnist(), seed),
    }


def regression(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sets to regress."""
    roll, place = datasets.make_swiss_roll(250, noise=0.5, random_state=seed)
    return {
        "diabetes": datasets.load_diabetes(return_X_y=True),
        "friedman1": datasets.make_friedman1(250, noise=1.0, random_state=seed),
        "friedman2": datasets.make_friedman2(250, noise=125, random_state=seed),
        "friedman3": datasets.make_friedman3(250, noise=0.1, random_state=seed),
        "sparse linear": datasets.make_sparse_uncorrelated(200, 15, random_state=seed),
        "linear": datasets.make_regression(
            200, 20, n_informative=6, noise=30, random_state=seed
        ),
        "place on the roll": (roll, place),
    }  # fmt: skip


def models(task: str) -> dict[str, object]:
    """The models by name; the first is what the others are compared with."""
    if task == "classification":
        flow = KernelFlowClassifier()
        return {
            "SVC": SVC(),
            "flow": flow,
            "no layers": clone(flow).set_params(layers=0),
            "100 layers": clone(flow).set_params(layers=100),
            "flow, two points a class": flow,
            "no layers, two points a class": clone(flow).set_params(layers=0),
            "logistic regression": LogisticRegression(max_iter=1000),
            "gradient boosting": HistGradientBoostingClassifier(random_state=0),
        }
    scales = kernels.ConstantKernel() * kernels.RBF(np.ones(1)) + kernels.WhiteKernel()
    grid = {"alpha": np.logspace(-4, 1, 6), "gamma": np.logspace(-3, 1, 9)}
    learned = KernelFlowRegressor()
    return {
        "GaussianProcessRegressor": GaussianProcessRegressor(scales, normalize_y=True),
        "likelihood": clone(learned).set_params(criterion="likelihood"),
        "leave one out": clone(learned).set_params(criterion="loo"),
        "rho": clone(learned).set_params(criterion="rho"),
        "untuned kernel, refitted nugget": clone(learned).set_params(steps=0),
        "KernelRidge, grid search": GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=5),
        "ridge": RidgeCV(np.logspace(-3, 3, 13)),
        "gradient boosting": HistGradientBoostingRegressor(random_state=0),
    }


def run(root: Path):
    """Judge what the record lacks, and write it."""
    path = root / RECORDS / "tabular.json"
    found = read_record("tabular", root)
    rows = found[0]["rows"] if found else []
    done = {(row["set"], row["seed"], row["model"]) for row in rows}
    for task, sets in (("regression", regression), ("classification", classification)):
        for seed in range(SEEDS):
            for name, (x, y) in sets(seed).items():
                for label, model in models(task).items():
                    if (name, seed, label) not in done:
                        rows.extend(judge(task, name, seed, label, model, x, y))
                write(path, {"seeds": SEEDS, "folds": FOLDS, "rows": rows})


def judge(task, name, seed, label, model, x, y) -> Iterable[dict]:
    """Accuracy or R^2 and the seconds of a fit, for each fold."""
    folds = (StratifiedKFold if task == "classification" else KFold)(FOLDS[task], shuffle=True,
                                                                    random_state=seed)  # fmt: skip
    if label == "GaussianProcessRegressor":  # a length scale for each feature
        model = clone(model).set_params(kernel__k1__k2__length_scale=np.ones(x.shape[1]))
    if label.endswith("two points a class"):
        model = clone(model).set_params(n_interp=2 * len(np.unique(y)))
    if task == "regression":
        y = (y - y.mean()) / y.std()
    rows = []
    for fold, (train, test) in enumerate(folds.split(x, y)):
        pipeline = make_pipeline(StandardScaler(), clone(model))
        began = time.perf_counter()
        with warnings.catch_warnings(action="ignore"):  # bounds and steps of the peers
            pipeline.fit(x[train], y[train])
        seconds = time.perf_counter() - began
        row = dict(task=task, set=name, seed=seed, model=label, fold=fold)
        row |= dict(score=float(pipeline.score(x[test], y[test])), seconds=round(seconds, 3))
        if hasattr(pipeline[-1], "layers_"):
            row["layers"] = pipeline[-1].layers_
        spread = _deviation(pipeline, x[test])
        if spread is not None:
            mean, std = spread
            row["covered"] = float(np.mean(abs(mean - y[test]) < 1.96 * std))
        rows.append(row)
    score = np.mean([row["score"] for row in rows])
    print(f"{name}, seed {seed}: {label} {score:.3f}", file=sys.stderr, flush=True)
    return rows


def _deviation(pipeline, x):
    """The mean and the standard deviation of a label, where the model has one."""
    scaled, model = pipeline[:-1].transform(x), pipeline[-1]
    if isinstance(model, KernelFlowRegressor):
        return model.predict(scaled, return_std=True, noise=True)
    if isinstance(model, GaussianProcessRegressor):
        return model.predict(scaled, return_std=True)
    return None


def _images(digits, seed):
    """500 images, each pixel the mean of four; the frame, which is nearly constant, left out."""
    drawn = np.random.RandomState(seed).permutation(len(digits.x))[:500]
    x = digits.x[drawn].double().reshape(-1, 14, 2, 14, 2).mean((2, 4)).flatten(1).numpy()
    return x[:, x.std(0) > 0.05], digits.y[drawn].argmax(1).numpy()


def table(rows: list[dict], task: str, value: str = "score"):
    """Sets in rows, models in columns: mean, and standard deviation over folds, as two frames.

    Seeds draw other sets, whose differences are no part of the deviation.
    """
    grouped = _frame(rows, task).groupby(["set", "model", "seed"], sort=False)[value]
    means, variances = (
        each.groupby(["set", "model"], sort=False).mean().unstack(sort=False)
        for each in (grouped.mean(), grouped.var())
    )
    return means, variances**0.5


def summary(rows: list[dict], task: str, models: Iterable[str]):
    """Models in rows: mean rank of their scores over sets and seeds, median time of a fit.

    Of models with 95 % intervals also the mean share of labels inside.
    """
    frame = _frame(rows, task)
    frame = frame[frame["model"].isin(models)]
    scores = frame.groupby(["set", "seed", "model"])["score"].mean().unstack()
    found = scores.rank(axis=1, ascending=False).mean().to_frame("rank")
    found["seconds"] = frame.groupby("model")["seconds"].median()
    if "covered" in frame:
        found["inside 95 %"] = frame.groupby("model")["covered"].mean()
    return found.sort_values("rank")


def _frame(rows, task):
    import pandas as pd

    return pd.DataFrame([row for row in rows if row["task"] == task])
