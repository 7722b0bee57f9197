"""One run at the talk's scale: its data, its flow, its checkpoint and its record."""

import os
import platform
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from kflow import data
from kflow.engine import shards
from kflow.flow import FlowPath, KernelFlow
from kflow.kernels import Gaussian, mean_squared_distance
from kflow.paper.experiments import EXPERIMENTS, Experiment
from kflow.paper.observing import CLOCKS, Observer
from kflow.paper.record import RECORDS, write

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
    path, observer, flow = _move(root / CHECKPOINTS / name, experiment, layers, sets, s, group)[:3]
    points, carried = (
        shards.Shards.of(len(p), group).gather(p) for p in (path.points, path.carried)
    )
    if group is None or dist.get_rank() == 0:
        settings = asdict(replace(experiment, layers=layers)) | {"s": s, "validation": validate}
        last = observer.at_the_end(points, carried)
        write_record(root, name, settings, flow, path, last)
    return path


def _move(checkpoint: Path, experiment: Experiment, layers: int, sets, s: float, group):
    """Move to that layer: the path from layer 0, the observer, the flow and the generator."""
    x, y, x_test, y_test = sets
    own, own_test = slice(None), slice(None)
    if group:
        own, own_test = shards.part(len(x), group), shards.part(len(x_test), group)
    points, carried, after = x[own], x_test[own_test], experiment.after
    rng, first = torch.Generator().manual_seed(experiment.seed), None
    if after:
        before = replace(EXPERIMENTS[experiment.begins_as], layers=after)
        beside = checkpoint.with_name(f"{checkpoint.name}-first")
        first, *found, rng = _move(beside, before, min(after, layers), sets, s, group)
        if layers <= after:
            return first, *found, rng
        points, carried = first.points, first.carried
    kernel, step = Gaussian(experiment.gamma_factor * s), experiment.step(s)
    flow = KernelFlow(kernel, experiment.n_fine, step, experiment.nugget, experiment.precision)
    observer = Observer(experiment, kernel, y, x_test, y_test)
    observe = shards.on_all(observer, group) if group else observer
    at = [k - after for k in experiment.observe_at() if after < k <= layers or k == after == 0]
    path = flow.run(
        points,
        y[own],
        layers - after,
        rng,
        carry=carried,
        observe=lambda state: observe(state._replace(layer=state.layer + after)),
        observe_at=at,
        lookahead=1 if group is None and x.device.type == "cpu" else AHEAD,
        checkpoint=checkpoint.with_suffix(".safetensors"),
        progress=True,
        group=group,
    )  # fmt: skip
    if first:
        path = replace(
            path,
            rho=torch.cat([first.rho, path.rho]),
            eps=torch.cat([first.eps, path.eps]),
            observed=first.observed | {k + after: found for k, found in path.observed.items()},
        )
    return path, observer, flow, rng


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
        "flow": {"kernel": repr(flow.kernel), "step": repr(flow.step)},
        "arithmetic": "bf16 products, three halves" if path.mixed else "float32 or float64",
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
