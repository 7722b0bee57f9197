"""Why down rho? Flows that descend four losses, with the same batches, steps and nugget.

`python -m kflow.paper losses` makes them, one after the other, and keeps each in
book/records/paper/losses.json as soon as it is measured; "losses-12000" is the same with 12000
points, some seven hours of a core. Points and those that are held out are training images: no test
image is read.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from kflow import checks
from kflow.distances import mean_squared_distance
from kflow.figures import provenance
from kflow.game import draw as draw_batch
from kflow.interpolation import Kernel
from kflow.kernels import Gaussian
from kflow.paper import study
from kflow.paper.losses import DESCENDED, Loss, loss_and_gradient
from kflow.paper.record import RECORDS
from kflow.paper.seeds import RULE, generator
from kflow.paper.study import draw, read_errors, training_images
from kflow.paper.sweep import sweep

SEEDS = (0, 1, 2)
SETTINGS = {"mnist": (1.0, 1e-2), "fashion_mnist": (0.7071, 1e-3)}  # gamma / s, nugget
DELTA = 0.1  # largest motion of a layer, in units of s
BLOCK = 4096  # points that move at once


@dataclass(frozen=True)
class Scale(study.Scale):
    """That of the study, with the points in a batch and the held-out batches that are read."""

    points: int = 2_000
    held: int = 2_000
    n_fine: int = 200
    layers: tuple[int, ...] = (0, 50, 100, 150, 200, 300, 400)
    reads: tuple[tuple[int, int], ...] = ((2000, 1), (600, 3), (60, 10), (10, 20))
    games: int = 10  # batches of held-out points whose loss is taken


SCALES = {
    "losses": Scale(),
    "losses-12000": Scale(
        points=12_000,
        held=6_000,
        n_fine=300,
        layers=tuple(range(0, 1801, 150)),
        reads=((6000, 1), (600, 3), (60, 10), (10, 20)),
    ),
}


def descend(
    loss: Loss,
    kernel: Kernel,
    sets: tuple[Tensor, Tensor, Tensor],
    n_fine: int,
    delta: float,
    nugget: float,
    layers: Sequence[int],
    rng: torch.Generator,
    observe: Callable[[int, Tensor, Tensor, list[float]], None],
):
    """Flow (x, y, carried) down a loss, and observe(layer, points, carried, losses) at `layers`.

    A layer is that of `KernelFlow` with MaxDisplacement(delta), but for the loss.
    """
    x, y, carried = sets
    moving, wide = torch.cat([x, carried]), y.double()
    losses: list[float] = []
    for layer in range(max(layers) + 1):
        if layer in layers:
            observe(layer, moving[: len(x)], moving[len(x) :], losses)
        fine, coarse = (part.to(x.device) for part in draw_batch(len(x), n_fine, rng))
        z = moving[fine].double()
        value, gradient = loss_and_gradient(loss, kernel, z, wide[fine], coarse, nugget)
        losses.append(float(value))
        gram = kernel(z, z) + nugget * torch.eye(n_fine, dtype=z.dtype, device=z.device)
        c = torch.linalg.solve(gram, -gradient * (delta / gradient.norm(dim=1).max()))
        z, c = z.to(x), c.to(x)
        for block in moving.split(BLOCK):
            block += kernel(block, z) @ c


def run(
    root: Path,
    name: str = "losses",
    device: str | torch.device = "cpu",
    scale: Scale | None = None,
    seeds: Iterable[int] = SEEDS,
    pool: Callable[[str], tuple[Tensor, Tensor]] = training_images,
) -> dict:
    """Measure what the record under root does not hold yet; the record.

    Raises FileNotFoundError, with three cures, where the full data is missing.
    """
    scale = scale or SCALES[name]
    path = root / RECORDS / f"{name}.json"
    wanted = [(dataset, loss, seed) for seed in seeds for dataset in SETTINGS for loss in DESCENDED]
    settings = json.loads(json.dumps(asdict(scale) | {"delta": DELTA, "settings": SETTINGS}))
    header = {"name": name, "settings": settings, "draws_by": RULE}

    def measured(dataset: str, loss: str, seed: int) -> dict:
        x, y = pool(dataset)
        return measure(dataset, loss, seed, scale, x, y, device)

    measures = {json.dumps(each): partial(measured, *each) for each in wanted}
    return sweep(path, header, measures, _line, _key)


def measure(
    dataset: str, loss: str, seed: int, scale: Scale, x: Tensor, y: Tensor, device="cpu"
) -> dict:
    """Descend one loss; errors, the loss and its value on held-out points at the scale's layers."""
    x, y, x_held, y_held = (part.to(device) for part in draw(x, y, scale, seed))
    s = mean_squared_distance(x) ** 0.5
    (factor, nugget), by_layer, begun = SETTINGS[dataset], {}, time.monotonic()
    kernel = Gaussian(factor * s)

    def observe(layer, points, carried, losses):
        sets, own = (points, y, carried, y_held), generator(seed, layer)
        found = read_errors(kernel, sets, nugget, scale, seed, layer)
        games = [draw_batch(len(carried), scale.n_fine, own) for _ in range(scale.games)]
        held = [_value(loss, kernel, carried, y_held, game, nugget) for game in games]
        found["held_loss"] = sum(held) / len(held)
        if losses:
            found["loss"] = sum(losses[-50:]) / len(losses[-50:])
        by_layer[str(layer)] = found

    rng, broke = torch.Generator().manual_seed(seed), None
    try:
        descend(
            DESCENDED[loss], kernel, (x, y, x_held), scale.n_fine, DELTA * s, nugget,
            scale.layers, rng, observe,
        )  # fmt: skip
    except (torch.linalg.LinAlgError, ValueError) as error:
        broke = str(error)
    return {
        "dataset": dataset,
        "loss": loss,
        "seed": seed,
        "seconds": time.monotonic() - begun,
        "device": checks.device(device).type,
        "torch": torch.__version__,
        "commit": provenance.commit(),
        "hardware": provenance.hardware(),
        "broke": broke,
        "by_layer": by_layer,
    }


def _value(loss, kernel, points, y, game, nugget):
    fine, coarse = (part.to(points.device) for part in game)
    z = points[fine].double()
    gram = kernel(z, z) + nugget * torch.eye(len(z), dtype=z.dtype, device=z.device)
    return float(DESCENDED[loss](gram, y[fine].double(), coarse))


def _key(run: dict) -> str:
    return json.dumps((run["dataset"], run["loss"], run["seed"]))


def _line(run: dict) -> str:
    last = max(run["by_layer"], key=int)
    read = {n: e for n, e in run["by_layer"][last].items() if n.startswith("errors_")}
    errors = " / ".join(f"{sum(e) / len(e):.2%}" for e in read.values())
    what = f"{run['dataset']} {run['loss']} seed {run['seed']}: {errors} after {last} layers"
    return f"{what}, {run['seconds']:.0f} s" + (f"; {run['broke']}" if run["broke"] else "")
