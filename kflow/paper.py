"""The experiments of the talk at its scale: N = 60000, N_f = 600, 12,000 to 50,000 layers.

`python -m kflow.paper mnist` runs one, or takes it up where it was interrupted, and writes its
record to book/records/paper; `torchrun -m kflow.paper mnist` shares its points among ranks.
`--validate` reads errors on training images that are held out instead of the test set. "study" is
the study of the settings at N = 10000, "baselines" is what the same data gives without a flow,
"ones" which examples the errors hang on.
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from kflow import baselines, checks, data, replay, shards, study
from kflow.experiments import EXPERIMENTS, Experiment
from kflow.flow import FlowPath, KernelFlow
from kflow.kernels import Gaussian, mean_squared_distance
from kflow.observing import CLOCKS, Observer

VALIDATION = 10_000  # training images that a validation run holds out
LONG = 12_000  # deeper runs are made only when they are named
AHEAD = 10  # layers of a block, where points are exchanged or a GPU plays ahead
OTHERS = {"baselines": baselines, "study": study, "ones": replay}
RECORDS = Path("book/records/paper")


class OtherSettings(ValueError):
    """A record, or the state of a run, that was made with other settings than those asked for."""


def run(
    name: str,
    experiment: Experiment,
    root: Path,
    validate: bool = False,
    stop: int | None = None,
    device: str | torch.device = "cpu",
    group: dist.ProcessGroup | None = None,
) -> FlowPath:
    """Run an experiment, or go on with it; the checkpoint and the record are under root.

    stop is a layer to stop at; a later run goes on from there. With a group its ranks share the
    points. Raises FileNotFoundError, with three cures, where the full data is missing, and
    ValueError where the checkpoint is of other settings.
    """
    x, y, x_test, y_test = (part.to(device) for part in load(experiment.dataset, validate))
    s = mean_squared_distance(x) ** 0.5
    kernel, step = Gaussian(experiment.gamma_factor * s), experiment.step(s)
    flow = KernelFlow(kernel, experiment.n_fine, step, experiment.nugget, experiment.precision)
    observer = Observer(experiment, kernel, y, x_test, y_test)
    layers = min(stop or experiment.layers, experiment.layers)
    checkpoint = root / "_build" / "paper" / f"{name}.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    own, own_test = slice(None), slice(None)
    if group:
        own, own_test = shards.part(len(x), group), shards.part(len(x_test), group)
    path = flow.run(
        x[own],
        y[own],
        layers,
        torch.Generator().manual_seed(experiment.seed),
        carry=x_test[own_test],
        observe=shards.on_all(observer, group) if group else observer,
        observe_at=[k for k in experiment.observe_at() if k <= layers],
        lookahead=1 if group is None and x.device.type == "cpu" else AHEAD,
        checkpoint=checkpoint,
        checkpoint_every=250,
        progress=True,
        group=group,
    )
    points, carried = (
        shards.Shards.of(len(p), group).gather(p) for p in (path.points, path.carried)
    )
    if group is None or dist.get_rank(group) == 0:
        settings = asdict(replace(experiment, layers=layers)) | {"s": s, "validation": validate}
        last = observer.at_the_end(points, carried)
        write_record(root, name, settings, flow, path, last)
    return path


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
    (root / RECORDS).mkdir(parents=True, exist_ok=True)
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
    (root / RECORDS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    arrays = {"rho": path.rho.float().numpy(), "eps": path.eps.float().numpy()}
    for layer, found in (*path.observed.items(), (settings["layers"], last)):
        for key, value in found.items():
            if isinstance(value, Tensor):
                arrays[f"{key}_{layer}"] = value.numpy()
    np.savez_compressed(root / RECORDS / f"{name}.npz", **arrays)


def read_record(name: str, start: Path | None = None) -> tuple[dict, dict] | None:
    """The committed record called name, (numbers, arrays), or None where there is none.

    It is looked for in book/records/paper of the folder `start` (default: here) and its parents.
    Raises OtherSettings where it was made with other settings than those of `EXPERIMENTS`.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        path = folder / RECORDS / f"{name}.json"
        if path.is_file():
            numbers = json.loads(path.read_text())
            if name in EXPERIMENTS:
                refuse_other_settings(path, numbers["settings"], EXPERIMENTS[name])
            arrays = path.with_suffix(".npz")
            if not arrays.is_file():
                return numbers, {}
            with np.load(arrays, allow_pickle=False) as found:
                return numbers, dict(found)
    return None


def refuse_other_settings(path: Path, saved: dict, experiment: Experiment):
    """Raise OtherSettings, naming what differs; a run may have been stopped at fewer layers."""
    asked = asdict(experiment)
    default = asdict(Experiment("", 0, ()))
    names = [name for name in asked if name not in ("layers", "tables")]
    found = {name: saved.get(name, default[name]) for name in names}
    said = [f"{n} was {found[n]!r}, is now {asked[n]!r}" for n in names if found[n] != asked[n]]
    if said:
        raise OtherSettings(
            f"the record {path.name} is of another run: {'; '.join(said)}. Make it again, "
            f"make paper ONLY={path.stem}, or put it aside"
        )


def seconds_per_layer(start: Path | None = None) -> float | None:
    """Seconds of a layer at the talk's size, the mean over the committed records; None without."""
    records = [read_record(name, start) for name in EXPERIMENTS]
    made = [numbers for numbers, _ in filter(None, records)]
    rates = [numbers["seconds_moving"] / numbers["settings"]["layers"] for numbers in made]
    return sum(rates) / len(rates) if rates else None


def cost(layers: int, start: Path | None = None) -> str:
    """What so many layers at the talk's size take, from the runs that were made, in words."""
    rate = seconds_per_layer(start)
    if rate is None:
        return "hours"
    numbers, _ = next(filter(None, (read_record(name, start) for name in EXPERIMENTS)))
    return f"about {rate * layers / 3600:.1f} hours on {numbers['hardware']}"


def hardware(device: torch.device) -> str:
    """What moved the points, and by how many ranks."""
    ranks = f"{dist.get_world_size()} ranks of " if dist.is_initialized() else ""
    if device.type == "cuda":
        return f"{ranks}{torch.cuda.get_device_name(device)}"
    return f"{ranks}{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def commit(root: Path) -> str:
    """The commit of the working tree, with a mark where it was changed since."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() or "unknown"


def main(arguments: list[str] | None = None, root: Path | None = None):
    """Command line: python -m kflow.paper [NAME ...] [--layers N] [--validate]."""
    parser = argparse.ArgumentParser(prog="python -m kflow.paper", description=__doc__)
    known = ["baselines", "study", *EXPERIMENTS, "ones"]
    long = [name for name in EXPERIMENTS if EXPERIMENTS[name].layers > LONG]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--validate", action="store_true", help="hold out 10000 training images")
    parser.add_argument("--layers", type=int, help="stop there; a later run goes on deeper")
    parser.add_argument("--device", help="cpu, or cuda where there is one (then the default)")
    asked, root = parser.parse_args(arguments), root or Path.cwd()
    for name in asked.names:
        if name not in known:
            parser.error(f"no experiment {name!r}; there are {', '.join(known)}")
    try:
        with place(asked.device) as (device, group):
            for name in asked.names or [name for name in known if name not in long]:
                make(name, root, asked.validate, asked.layers, device, group)
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; the same command goes on from the last checkpoint\n")
    except (OSError, ValueError, FloatingPointError, MemoryError) as error:
        parser.exit(2, f"{error}\n")
    for name in [] if asked.names else long:
        said = f"{EXPERIMENTS[name].layers} layers, {cost(EXPERIMENTS[name].layers, root)}"
        print(f"not made: {name} ({said}); make paper ONLY={name}", file=sys.stderr)


@contextlib.contextmanager
def place(asked: str | None):
    """The device, and the group of ranks where torchrun started this process."""
    if "RANK" in os.environ:
        with shards.joined(asked) as (group, device):
            yield device, group
    else:
        yield checks.device(asked or ("cuda" if torch.cuda.is_available() else "cpu")), None


def make(name: str, root: Path, validate=False, stop=None, device="cpu", group=None):
    """Make the record of one name."""
    if name not in OTHERS:
        label = f"{name}-validation" if validate else name
        run(label, EXPERIMENTS[name], root, validate, stop, device, group)
        name = "ones" if label == "mnist" else None  # which belongs to that record
    if name in OTHERS and (group is None or dist.get_rank(group) == 0):
        OTHERS[name].run(root)


if __name__ == "__main__":
    main()
