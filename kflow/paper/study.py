"""A study at N = 10000 that tells how to choose: gamma, nugget, step and N_f, one at a time.

`python -m kflow.paper study` makes it, one configuration after the other, and keeps each in
book/records/paper/study.json as soon as it is measured. Points and the points that are read are
drawn from the training images; the test set is never opened.
"""

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from kflow import checks, data
from kflow.classify import error_rate
from kflow.distances import mean_squared_distance
from kflow.flow import KernelFlow
from kflow.kernels import Gaussian
from kflow.paper.experiments import step_rule
from kflow.paper.record import RECORDS
from kflow.paper.seeds import RULE, generator
from kflow.paper.sweep import sweep
from kflow.steps import MaxDisplacement, RelativeDisplacement

SEEDS = (0, 1)  # the first seed of all configurations comes before the second of any


@dataclass(frozen=True)
class Configuration:
    """Settings of a flow: gamma = gamma_factor s, and delta in units of s where the rule is "max".

    s^2 is the mean squared distance between two raw points; the rule "relative" is
    `RelativeDisplacement`, whose delta has no unit.
    """

    dataset: str = "mnist"
    gamma_factor: float = 1.0
    nugget: float = 1e-2
    rule: str = "max"
    delta: float = 0.1
    n_fine: int = 600

    def step(self, s: float) -> MaxDisplacement | RelativeDisplacement:
        """The step rule for points of root mean squared distance s."""
        return step_rule(self.rule, self.delta, s)


@dataclass(frozen=True)
class Scale:
    """How many points, how many others are read, at which layers, and draws of each N_I.

    `reads` are pairs (N_I, draws); N_I = 10 is one point per class, others are drawn uniformly.
    """

    points: int = 10_000
    held: int = 2_000
    layers: tuple[int, ...] = (0, 100, 200, 400, 600)
    reads: tuple[tuple[int, int], ...] = ((6000, 1), (600, 3), (60, 10), (10, 20))


@runtime_checkable
class Sizes(Protocol):
    """What drawing points and reading errors ask of a scale, this one or another search's."""

    @property
    def points(self) -> int:
        """Points that flow."""

    @property
    def held(self) -> int:
        """Other points, on which errors are read."""

    @property
    def reads(self) -> tuple[tuple[int, int], ...]:
        """N_I, and how many draws of so many labelled points."""


Sets = tuple[Tensor, Tensor, Tensor, Tensor]  # points and labels, held-out points and labels
BASE = Configuration()
CLOTHES = Configuration("fashion_mnist", round(math.sqrt(0.5), 4), nugget=1e-3)
CONFIGURATIONS = (
    BASE,
    *(replace(BASE, gamma_factor=factor) for factor in (0.5, 0.7071, 1.4142)),
    *(replace(BASE, nugget=nugget) for nugget in (1e-3, 1e-1)),
    *(replace(BASE, delta=delta) for delta in (0.03, 0.3)),
    replace(BASE, rule="relative"),
    *(replace(BASE, n_fine=n) for n in (150, 300, 1200)),
    replace(CLOTHES, rule="relative"),
    *(replace(CLOTHES, delta=d, nugget=a) for d in (0.1, 0.03) for a in (1e-2, 1e-3)),
)


def run(
    root: Path,
    configurations: Iterable[Configuration] = CONFIGURATIONS,
    scale: Scale = Scale(),  # noqa: B008, frozen
    seeds: Iterable[int] = SEEDS,
    pool: Callable[[str], tuple[Tensor, Tensor]] | None = None,
) -> dict:
    """Measure what the record under root does not hold yet; the record.

    `pool(dataset)` gives points and labels to draw from, by default all training images. Results
    of another scale or of another torch are left out. Raises FileNotFoundError, with three cures,
    where the full data is missing.
    """
    header = {"name": "study", "settings": asdict(scale), "torch": torch.__version__}
    wanted = {
        _key(c, seed): lambda c=c, seed=seed: measure(
            c, seed, scale, *(pool or training_images)(c.dataset)
        )
        for seed in seeds
        for c in configurations
    }
    return sweep(root / RECORDS / "study.json", header | {"draws_by": RULE}, wanted, _line, _key_of)


def measure(configuration: Configuration, seed: int, scale: Scale, x: Tensor, y: Tensor) -> dict:
    """Draw points by the seed, flow, and read errors on other points at the layers of the scale.

    A flow that breaks keeps what was read before, and "broke" says why.
    """
    x, y, x_held, y_held = draw(x, y, scale, seed)
    s = mean_squared_distance(x) ** 0.5
    kernel, nugget = Gaussian(configuration.gamma_factor * s), configuration.nugget
    flow = KernelFlow(kernel, configuration.n_fine, configuration.step(s), nugget)
    seconds, by_layer = {"reading": 0.0}, {}

    def read(state):
        begun = time.monotonic()
        sets = (state.points, y, state.carried, y_held)
        errors = read_errors(kernel, sets, nugget, scale, seed, state.layer)
        late = {"rho": float(state.rho[-100:].mean())} if state.layer else {}
        spread = mean_squared_distance(state.points) / s**2
        by_layer[str(state.layer)] = errors | late | {"spread": spread}
        seconds["reading"] += time.monotonic() - begun

    begun, rng, broke = time.monotonic(), torch.Generator().manual_seed(seed), None
    try:
        flow.run(
            x, y, max(scale.layers), rng, carry=x_held, observe=read, observe_at=scale.layers
        )  # fmt: skip
    except (FloatingPointError, checks.NotPositiveDefinite) as error:
        broke = str(error)
    return {
        "configuration": asdict(configuration),
        "seed": seed,
        "s": s,
        "seconds_moving": time.monotonic() - begun - seconds["reading"],
        "seconds_observing": seconds["reading"],
        "broke": broke,
        "by_layer": by_layer,
    }


def draw(x: Tensor, y: Tensor, scale: Sizes, seed: int) -> Sets:
    """Points that flow and their labels, and others that are read, as many as the scale says."""
    drawn = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    if len(x) < scale.points + scale.held:
        raise ValueError(f"{len(x)} points are too few for {scale.points} and {scale.held} others")
    kept, held = drawn[: scale.points], drawn[scale.points :][: scale.held]
    return x[kept], y[kept], x[held], y[held]


def read_errors(
    kernel: Gaussian, sets: Sets, nugget: float, scale: Sizes, seed: int, layer: int
) -> dict[str, list[float]]:
    """The errors of each N_I of the scale at a layer, as many draws as it says."""
    rng = generator(seed, layer)
    return {
        f"errors_{n}": [error_rate(kernel, *sets, n, rng, nugget, n == 10) for _ in range(draws)]
        for n, draws in scale.reads
    }


def training_images(dataset: str) -> tuple[Tensor, Tensor]:
    """All 60000 training images of a data set, and their labels."""
    full = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist}[dataset](full=True)
    return full.x, full.y


def _key(configuration: Configuration, seed: int) -> str:
    return json.dumps([asdict(configuration), seed], sort_keys=True)


def _key_of(run: dict) -> str:
    return _key(Configuration(**run["configuration"]), run["seed"])


def _line(measured: dict) -> str:
    last = max(measured["by_layer"], key=int)
    read = measured["by_layer"][last]
    errors = [f"{sum(e) / len(e):.2%}" for name, e in read.items() if name.startswith("errors_")]
    settings = " ".join(map(str, measured["configuration"].values()))
    return (
        f"{settings} seed {measured['seed']}: {' / '.join(errors)} after {last} layers, "
        f"{measured['seconds_moving']:.0f} + {measured['seconds_observing']:.0f} s"
        + (f"; {measured['broke']}" if measured["broke"] else "")
    )
