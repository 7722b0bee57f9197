"""One run at the talk's scale: its data, its flow, its checkpoint and its record."""

import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from kflow import data
from kflow.distances import mean_squared_distance
from kflow.engine import State, shards
from kflow.flow import FlowPath, KernelFlow
from kflow.kernels import Gaussian
from kflow.paper.experiments import EXPERIMENTS, Experiment
from kflow.paper.observing import CLOCKS, Observer
from kflow.paper.record import RECORDS, write
from kflow.paper.seeds import RULE

VALIDATION = 10_000  # training images that a validation run holds out
CHECKPOINTS = Path("_build/paper")
AHEAD = 10  # layers of a block, where points are exchanged or a GPU plays ahead


def run(
    name: str,
    experiment: Experiment,
    root: Path,
    validate: bool = False,
    stop: int | None = None,
    device: str | torch.device = "cpu",
    group: shards.Group | None = None,
) -> FlowPath:
    """Run an experiment, or go on with it; the checkpoint and the record are under root.

    stop is a layer to stop at; a later run goes on from there. With a group its ranks share the
    points. Raises FileNotFoundError, with three cures, where the full data is missing, and
    ValueError where the checkpoint is of other settings.
    """
    sets = [part.to(device) for part in load(experiment.dataset, validate)]
    s = mean_squared_distance(sets[0]) ** 0.5
    layers = min(stop or experiment.layers, experiment.layers)
    (root / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    plan = stages(name, experiment, layers)
    path, observer, flow = move(plan, root / CHECKPOINTS, sets, s, group)
    assert path.carried is not None  # the test images
    points, carried = (
        shards.Shards.of(len(p), group).gather(p) for p in (path.points, path.carried)
    )
    if group is None or dist.get_rank() == 0:
        settings = asdict(replace(experiment, layers=layers)) | {"s": s, "validation": validate}
        last = observer.at_the_end(points, carried)
        write_record(root, name, settings, flow, path, last)
    return path


class Stage(NamedTuple):
    """A part of a run with the same settings: the layers from `first` to `last`."""

    name: str  # of its checkpoint
    experiment: Experiment
    first: int
    last: int

    def observe_at(self) -> list[int]:
        """The layers of this stage at which something is read, counted from its first."""
        begins = [0] if self.first == 0 else []
        at = [k - self.first for k in self.experiment.observe_at() if self.first < k <= self.last]
        return begins + at


class Moved(NamedTuple):
    """The path from layer 0, and the observer and the flow of the last stage."""

    path: FlowPath
    observer: Observer
    flow: KernelFlow


def stages(name: str, experiment: Experiment, layers: int) -> list[Stage]:
    """What a run goes through to reach so many layers: the experiments it begins as, then it."""
    found = [Stage(name, experiment, experiment.after, layers)]
    while (stage := found[0]).first:
        before = replace(EXPERIMENTS[stage.experiment.begins_as], layers=stage.first)
        last = min(stage.first, layers)
        found.insert(0, Stage(f"{stage.name}-first", before, before.after, last))
    return [stage for stage in found if stage.first < layers or stage.first == 0]


def lookahead(device: torch.device) -> int:
    """Layers whose games are played before the points move, where one process has all points."""
    return 1 if device.type == "cpu" else AHEAD


def move(stages: list[Stage], checkpoints: Path, sets, s: float, group) -> Moved:
    """Go through the stages, one after the other, on the same games' generator."""
    x, y, x_test, y_test = sets
    own, own_test = slice(None), slice(None)
    if group:
        own, own_test = shards.part(len(x), group), shards.part(len(x_test), group)
    points, carried = x[own], x_test[own_test]
    paths: list[FlowPath] = []
    rng = torch.Generator().manual_seed(stages[0].experiment.seed)
    for stage in stages:
        name, experiment, first, last = stage
        kernel, step = Gaussian(experiment.gamma_factor * s), experiment.step(s)
        flow = KernelFlow(kernel, experiment.n_fine, step, experiment.nugget, experiment.precision)
        observer = Observer(experiment, kernel, y, x_test, y_test)
        observe = shards.on_all(observer, group) if group else observer
        path = flow.run(
            points,
            y[own],
            last - first,
            rng,
            carry=carried,
            observe=partial(_observed_from, first, observe),
            observe_at=stage.observe_at(),
            lookahead=lookahead(x.device) if group is None else AHEAD,
            checkpoint=checkpoints / f"{name}.safetensors",
            progress=True,
            group=group,
        )  # fmt: skip
        points, carried = path.points, path.carried
        paths.append(_joined(paths[-1], path, first) if paths else path)
    return Moved(paths[-1], observer, flow)


def _observed_from(first: int, observe: Callable, state: State):
    """What is observed at a state of a stage that begins at layer `first` of the run."""
    return observe(state._replace(layer=state.layer + first))


def _joined(before: FlowPath, path: FlowPath, first: int) -> FlowPath:
    """The path of two stages, of which the second begins at layer `first`."""
    return replace(
        path,
        rho=torch.cat([before.rho, path.rho]),
        eps=torch.cat([before.eps, path.eps]),
        observed=before.observed | {k + first: found for k, found in path.observed.items()},
    )


def load(dataset: str, validate: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training points and labels, and those that are read: the test set, or a held-out part."""
    full = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist}[dataset](full=True)
    if not validate:
        return full.x, full.y, full.x_test, full.y_test
    order = torch.randperm(len(full.x), generator=torch.Generator().manual_seed(2018))
    held, kept = order[:VALIDATION], order[VALIDATION:]
    return full.x[kept], full.y[kept], full.x[held], full.y[held]


def write_record(root: Path, name: str, settings: dict, flow, path: FlowPath, last: dict):
    """Write what was measured: NAME.json for numbers by layer, NAME.npz for arrays."""
    numbers = {
        layer: {k: v for k, v in found.items() if not isinstance(v, Tensor)}
        for layer, found in path.observed.items()
    }
    record = {
        "name": name,
        "settings": settings,
        "draws_by": RULE,
        "flow": {"kernel": repr(flow.kernel), "step": repr(flow.step)},
        "arithmetic": "bf16 products, three halves" if path.mixed else _ieee(flow.precision),
        **{
            f"{clock}_{doing}": sum(found[f"{clock}_{doing}"] for found in numbers.values())
            for clock in CLOCKS
            for doing in ("moving", "observing")
        },
        "hardware": hardware(path.points.device),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "commit": commit(root),
        "by_layer": numbers,
    }
    arrays = {"rho": path.rho.float().numpy(), "eps": path.eps.float().numpy()}
    for layer, found in (*path.observed.items(), (settings["layers"], last)):
        for key, value in found.items():
            if isinstance(value, Tensor):
                arrays[f"{key}_{layer}"] = value.numpy()
    write(root / RECORDS / f"{name}.json", record, arrays)


def _ieee(precision: str) -> str:
    return "float64" if precision == "float64" else "float32"


def hardware(device: torch.device) -> str:
    """What moved the points, and by how many ranks."""
    ranks = f"{dist.get_world_size()} ranks of " if dist.is_initialized() else ""
    if device.type == "cuda":
        return f"{ranks}{torch.cuda.get_device_name(device)}"
    return f"{ranks}{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def commit(root: Path) -> str:
    """The commit of the working tree, marked where it was changed since; or KFLOW_COMMIT."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = said.stdout.strip()
    except OSError:  # no git here
        found = ""
    return found or os.environ.get("KFLOW_COMMIT", "unknown")
