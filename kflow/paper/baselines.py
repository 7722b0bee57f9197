"""What the same data gives without a flow: layer 0, kernel ridge on all points, neighbours.

`python -m kflow.paper baselines` makes them, part by part, into book/records/paper/baselines.json.
What has to be chosen is chosen on training images that are held out; the test set is read once.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from kflow import checks, data
from kflow.classify import classes, error_rate
from kflow.distances import mean_squared_distance
from kflow.engine import memory
from kflow.interpolation import interpolate
from kflow.kernels import Gaussian
from kflow.paper import ridge
from kflow.paper.record import RECORDS
from kflow.paper.sweep import sweep

DATASETS = ("mnist", "fashion_mnist")
ROOM = 0.8  # of the size of its float32 matrix, of which it touches little more than half


@dataclass(frozen=True)
class Scale:
    """What is tried, on how many points; gammas are in units of s, draws are (N_I, draws)."""

    held: int = 5_000
    points: int = 10_000  # of those that remain: where ridge chooses gamma and nugget
    gammas: tuple[float, ...] = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0)
    nuggets: tuple[float, ...] = (1e-3, 1e-2, 1e-1)
    ridge_gammas: tuple[float, ...] = (0.25, 0.35, 0.5, 0.71, 1.0)
    ridge_nuggets: tuple[float, ...] = (1e-2, 3e-2, 1e-1)  # float32 does not bear less
    neighbours: tuple[int, ...] = (1, 3, 5, 7)
    tries: tuple[tuple[int, int], ...] = ((6000, 1), (600, 3), (60, 10), (10, 20))
    draws: tuple[tuple[int, int], ...] = ((6000, 5), (600, 20), (60, 50), (10, 50))


@dataclass(frozen=True)
class Split:
    """Training points and test points; the first `held` of a fixed shuffle are for choosing."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    scale: Scale

    def choosing(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Points to learn from and points to choose by, both of the training set."""
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(2018))
        held, kept = order[: self.scale.held], order[self.scale.held :]
        return self.x[kept], self.y[kept], self.x[held], self.y[held]


def run(root: Path, scale: Scale = Scale(), load: Callable | None = None) -> dict:  # noqa: B008
    """Make the parts that the record under root does not hold yet; the record.

    Parts of another scale or another torch are left out; ridge is left out where memory is short.
    Raises FileNotFoundError, with three cures, where the full data is missing.
    """
    header = {"name": "baselines", "settings": asdict(scale), "torch": torch.__version__}

    def measure(part: Callable[[Split], dict], dataset: str) -> dict | None:
        x, y, x_test, y_test = (load or images)(dataset)
        split = Split(x, y, x_test, y_test, scale)
        if part is all_ridge and not _fits(len(split.x), f"{dataset} {part.__name__}"):
            return None
        begun = time.monotonic()
        return part(split) | {"seconds": time.monotonic() - begun}

    wanted = {
        f"{dataset} {part.__name__}": partial(measure, part, dataset)
        for part in (layer_0, neighbours, all_ridge)
        for dataset in DATASETS
    }
    return sweep(root / RECORDS / "baselines.json", header, wanted, _line)


def layer_0(split: Split) -> dict:
    """The kernel before any flow, with the best gamma and nugget for each N_I."""
    x, y, x_held, y_held = split.choosing()
    s = mean_squared_distance(split.x) ** 0.5
    scale, chosen, test = split.scale, {}, {}
    for (n, tries), (_, draws) in zip(scale.tries, scale.draws, strict=True):

        def errors(gamma, nugget, sets, times, seed, n=n):
            rng = torch.Generator().manual_seed(seed)
            kernel = Gaussian(gamma * s)
            return [error_rate(kernel, *sets, n, rng, nugget, n == 10) for _ in range(times)]

        tried = {
            (gamma, nugget): fmean(errors(gamma, nugget, (x, y, x_held, y_held), tries, 0))
            for gamma in scale.gammas
            for nugget in scale.nuggets
        }
        chosen[str(n)] = _best(tried)
        best = chosen[str(n)]["gamma_factor"], chosen[str(n)]["nugget"]
        whole = (split.x, split.y, split.x_test, split.y_test)
        test[str(n)] = errors(*best, whole, draws, 1)
    return {"chosen": chosen, "test": test}


def neighbours(split: Split) -> dict:
    """A vote of the k nearest of all training points, k chosen, by scikit-learn."""
    x, y, x_held, y_held = split.choosing()
    votes = {k: _vote(k, x, y, x_held) for k in split.scale.neighbours}
    tried = {k: _tested(found, y_held)["test"] for k, found in votes.items()}
    k = min(tried, key=tried.__getitem__)
    found = _vote(k, split.x, split.y, split.x_test)
    return {"chosen": {"k": k, "error": tried[k]}} | _tested(found, split.y_test)


def all_ridge(split: Split) -> dict:
    """Kernel ridge on all training points; gamma and nugget are chosen on fewer."""
    x, y, x_held, y_held = split.choosing()
    x, y = x[: split.scale.points], y[: split.scale.points]
    s = mean_squared_distance(split.x) ** 0.5
    tried = {}
    for gamma in split.scale.ridge_gammas:
        for nugget in split.scale.ridge_nuggets:
            v = interpolate(Gaussian(gamma * s), x, y, nugget)
            tried[gamma, nugget] = _tested(classes(v(x_held)), y_held)["test"]
    chosen = _best(tried)
    kernel, nugget = Gaussian(chosen["gamma_factor"] * s), chosen["nugget"]
    fitted = ridge.fit(kernel, split.x, split.y, nugget)
    values = ridge.predict(kernel, split.x, fitted.coefficients, split.x_test)
    return {"chosen": chosen, "residuals": fitted.residuals} | _tested(
        classes(values), split.y_test
    )


def images(dataset: str) -> data.Digits:
    """All images of a data set."""
    return {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist}[dataset](full=True)


def _best(tried: dict[tuple[float, float], float]) -> dict:
    gamma, nugget = min(tried, key=tried.__getitem__)
    rows = [[*settings, error] for settings, error in tried.items()]
    return {"gamma_factor": gamma, "nugget": nugget, "error": tried[gamma, nugget], "tried": rows}


def _line(found: dict) -> str:
    """Errors on the test set, those of several draws as their mean, and the time."""
    test = found["test"] if isinstance(found["test"], dict) else {"all": [found["test"]]}
    errors = ", ".join(f"{n}: {fmean(errors):.2%}" for n, errors in test.items())
    return f"{errors} wrong, {found['seconds']:.0f} s"


def _vote(k: int, x, y, x_new) -> Tensor:
    with checks.extra("sklearn"):
        from sklearn.neighbors import KNeighborsClassifier

    voters = KNeighborsClassifier(k, algorithm="brute").fit(x.numpy(), classes(y).numpy())
    return torch.from_numpy(voters.predict(x_new.numpy()))


def _tested(found: Tensor, y: Tensor) -> dict:
    """The error of the classes found, and which points are misclassified."""
    wrong = (found != classes(y)).nonzero()[:, 0].tolist()
    return {"test": len(wrong) / len(y), "wrong": wrong}


def _fits(points: int, name: str) -> bool:
    """Whether ridge on so many points fits in memory; says so where it does not."""
    free = memory.free()
    need = ROOM * 4 * points**2
    if free is not None and free < need:
        said = f"{name}: not made, it takes {need / 1e9:.0f} GB and {free / 1e9:.0f} are free"
        print(said, file=sys.stderr, flush=True)
    return free is None or free >= need
