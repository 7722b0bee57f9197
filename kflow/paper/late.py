"""What keeps the errors from rising late in a flow: changes tried at N = 10000, on training images.

`python -m kflow.paper late` makes book/records/paper/late.json. The flow of the large run on
MNIST, and that on Fashion-MNIST with large steps, begin; after some shared layers each goes on once
unchanged and once with each change, from the same points and the same state of the generator. The
test set is not used. The changes are ours; the talk names none.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from kflow.distances import mean_squared_distance
from kflow.flow import KernelFlow
from kflow.kernels import Gaussian
from kflow.paper import study
from kflow.paper.record import RECORDS
from kflow.paper.seeds import RULE
from kflow.paper.study import BASE, SEEDS
from kflow.paper.sweep import sweep
from kflow.steps import Constant, MaxDisplacement

SHARED = 600  # layers before any remedy begins
SCALE = study.Scale(held=5_000, layers=(200, 400, 600, 800, 1000, 1200, 1400, 1600))


@dataclass(frozen=True)
class Remedy:
    """How a flow goes on after the shared layers, by default as on digits before.

    The rule "max" takes steps of delta s, "falling" of delta s times shared layers over layer,
    "constant" holds the mean eps of the last hundred shared layers. gamma = gamma_factor s; with
    follows = True it grows with the root mean squared distance of the points.
    """

    rule: str = "max"
    delta: float = BASE.delta
    nugget: float = BASE.nugget
    follows: bool = False
    dataset: str = BASE.dataset
    gamma_factor: float = BASE.gamma_factor


DIGITS = Remedy()
CLOTHES = Remedy(
    nugget=study.CLOTHES.nugget,
    dataset=study.CLOTHES.dataset,
    gamma_factor=study.CLOTHES.gamma_factor,
)
BEFORE = {"mnist": DIGITS, "fashion_mnist": CLOTHES}  # the shared layers
REMEDIES = (  # name, how it goes on
    ("none", DIGITS),
    ("a larger nugget", replace(DIGITS, nugget=0.1)),
    ("a bandwidth that follows", replace(DIGITS, follows=True)),
    ("shorter steps", replace(DIGITS, delta=0.03)),
    ("steps that fall", replace(DIGITS, rule="falling")),
    ("the same eps", replace(DIGITS, rule="constant")),
    ("none", CLOTHES),
    ("a larger nugget", replace(CLOTHES, nugget=0.01)),
    ("a nugget of a tenth", replace(CLOTHES, nugget=0.1)),
    ("steps that fall", replace(CLOTHES, rule="falling")),
    ("a nugget of one", replace(CLOTHES, nugget=1.0)),
)


class Moment(NamedTuple):
    """Where a flow is: layer, points, carried points, generator state, eps so far, s at layer 0."""

    layer: int
    points: Tensor
    carried: Tensor
    generator: Tensor
    eps: Tensor
    s: float

    @property
    def spread(self) -> float:
        """The mean squared distance of the points over that of the raw ones."""
        return mean_squared_distance(self.points) / self.s**2


def run(
    root: Path,
    remedies: Iterable[tuple[str, Remedy]] = REMEDIES,
    scale: study.Scale = SCALE,
    shared: int = SHARED,
    seeds: Iterable[int] = SEEDS,
    pool: Callable[[str], tuple[Tensor, Tensor]] = study.training_images,
) -> dict:
    """Measure what the record under root does not hold yet; the record.

    `pool(dataset)` gives points and labels to draw from. Results of another scale or of another
    torch are left out. Raises FileNotFoundError, with three cures, where the full data is missing.
    """
    settings = asdict(scale) | {"shared": shared}
    header = {"name": "late", "settings": settings, "torch": torch.__version__}

    @cache
    def before(dataset: str, seed: int):
        return begin(BEFORE[dataset], seed, scale, shared, *pool(dataset))

    def measure(name: str, remedy: Remedy, seed: int) -> dict:
        moment, sets, read = before(remedy.dataset, seed)
        after = go_on(moment, remedy, shared, scale, seed, sets)
        found = {"name": name, "remedy": asdict(remedy), "seed": seed} | after
        return found | {"by_layer": read | after["by_layer"]}

    wanted = {
        _key(*named, seed): partial(measure, *named, seed) for seed in seeds for named in remedies
    }
    path = root / RECORDS / "late.json"
    return sweep(path, header | {"draws_by": RULE}, wanted, _line, _key_of)


def begin(before: Remedy, seed: int, scale: study.Scale, shared: int, x: Tensor, y: Tensor):
    """The shared layers: where they end, the labels of both sets, and what was read on the way."""
    x, y, x_held, y_held = study.draw(x, y, scale, seed)
    rng = torch.Generator().manual_seed(seed)
    start = Moment(0, x, x_held, rng.get_state(), torch.zeros(0), mean_squared_distance(x) ** 0.5)
    layers = [k for k in scale.layers if k <= shared]
    moment, read = _through(start, before, shared, layers, scale, seed, (y, y_held))
    return moment, (y, y_held), read


def go_on(moment, remedy: Remedy, shared: int, scale: study.Scale, seed: int, sets) -> dict:
    """The layers after the shared ones: seconds and what was read, by layer."""
    begun = time.monotonic()
    layers = [k for k in scale.layers if k > shared]
    _, read = _through(moment, remedy, shared, layers, scale, seed, sets)
    return {"by_layer": read, "seconds": time.monotonic() - begun}


def _through(moment: Moment, remedy: Remedy, shared: int, layers, scale, seed: int, sets):
    """The moment after the last of the layers, and what was read at each of them."""
    (y, y_held), read, first = sets, {}, moment
    for a, b in pairwise((moment.layer, *layers)):
        factor = moment.spread**0.5 if remedy.follows else 1.0
        kernel, rng = Gaussian(remedy.gamma_factor * factor * moment.s), torch.Generator()
        rng.set_state(moment.generator)
        step = _step(remedy, first, max(a, shared), shared)
        flow = KernelFlow(kernel, BASE.n_fine, step, remedy.nugget)
        path = flow.run(moment.points, y, b - a, rng, carry=moment.carried)
        assert path.carried is not None
        eps = torch.cat([moment.eps, path.eps])
        moment = Moment(b, path.points, path.carried, rng.get_state(), eps, moment.s)
        both = (moment.points, y, moment.carried, y_held)
        read[str(b)] = study.read_errors(kernel, both, remedy.nugget, scale, seed, b) | {
            "rho": float(path.rho[-100:].mean()),
            "spread": moment.spread,
            "gamma_factor": kernel.gamma / moment.s,
            "step": repr(step),
        }
    return moment, read


def _step(remedy: Remedy, first: Moment, layer: int, shared: int) -> MaxDisplacement | Constant:
    if remedy.rule == "constant":
        return Constant(float(first.eps[-100:].mean()))
    falls = shared / layer if remedy.rule == "falling" else 1.0
    return MaxDisplacement(remedy.delta * falls * first.s)


def _key(name: str, remedy: Remedy, seed: int) -> str:
    return json.dumps([name, asdict(remedy), seed], sort_keys=True)


def _key_of(run: dict) -> str:
    return _key(run["name"], Remedy(**run["remedy"]), run["seed"])


def _line(run: dict) -> str:
    last = max(run["by_layer"], key=int)
    read = run["by_layer"][last]
    errors = [f"{fmean(e):.2%}" for name, e in read.items() if name.startswith("errors_")]
    name = f"{run['remedy']['dataset']}, {run['name']}, seed {run['seed']}"
    said = f"{name}: {' / '.join(errors)} after {last} layers"
    return f"{said}, {run['seconds']:.0f} s"
