"""The experiments of the talk at its scale: N = 60000, N_f = 600, 12,000 to 50,000 layers.

`python -m kflow.paper mnist` runs one, or takes it up where it was interrupted, and writes its
record to book/records/paper. The talk does not state gamma, nugget or step: ours are in
`EXPERIMENTS`, chosen on a validation split of the training set (`--validate` runs that split).
"""

import argparse
import json
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kflow import data, study
from kflow.classify import classes, error_rate
from kflow.flow import FlowPath, KernelFlow
from kflow.interpolation import interpolate
from kflow.kernels import Gaussian, mean_squared_distance
from kflow.running import State
from kflow.steps import MaxDisplacement

N_INTERP = (6000, 600, 60, 10)  # the columns of the talk; 10 is one point per class
EARLY = (0, 10, 20, 50, 100, 200, 300, 400, 500, 750)  # layers observed before every 500th
PICTURES = (0, 100, 250, 500, 1000, 2000, 4000, 8000)  # and the last: layers whose images are kept
VALIDATION = 10_000  # training images that a validation run holds out


@dataclass(frozen=True)
class Experiment:
    """One run: which images, how deep, our settings, and the ranges of layers that are tabulated.

    gamma = gamma_factor s and delta = delta_factor s for `MaxDisplacement`, where s^2 is the mean
    squared distance between two raw training images. A table is (first, last, every).
    """

    dataset: str
    layers: int
    tables: tuple[tuple[int, int, int], ...]
    gamma_factor: float = 1.0
    delta_factor: float = 0.1
    nugget: float = 1e-2
    n_fine: int = 600
    seed: int = 0
    precision: str = "mixed"

    def observe_at(self) -> list[int]:
        """Layers at which the errors are read."""
        at = {*EARLY, *range(1000, self.layers + 1, 500), *self.pictures()}
        for first, last, every in self.tables:
            at.update(range(first, last + 1, every))
        return sorted(k for k in at if k <= self.layers)

    def pictures(self) -> list[int]:
        """Layers at which images are kept."""
        return [k for k in PICTURES if k < self.layers] + [self.layers]


EXPERIMENTS = {
    "mnist": Experiment("mnist", 12_000, ((3_000, 4_000, 20), (11_000, 12_000, 20))),
}


def run(name: str, experiment: Experiment, root: Path, validate: bool = False) -> FlowPath:
    """Run an experiment, or go on with it; the checkpoint and the record are under root.

    Raises FileNotFoundError, with three cures, where the full data is missing.
    """
    x, y, x_test, y_test = load(experiment.dataset, validate)
    s = mean_squared_distance(x) ** 0.5
    kernel = Gaussian(experiment.gamma_factor * s)
    flow = KernelFlow(
        kernel,
        experiment.n_fine,
        MaxDisplacement(experiment.delta_factor * s),
        experiment.nugget,
        experiment.precision,
    )
    observer = Observer(experiment, kernel, y, y_test)
    checkpoint = root / "_build" / "paper" / f"{name}.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    path = flow.run(
        x,
        y,
        experiment.layers,
        torch.Generator().manual_seed(experiment.seed),
        carry=x_test,
        observe=observer,
        observe_at=experiment.observe_at(),
        checkpoint=checkpoint,
        checkpoint_every=250,
        progress=True,
    )
    write_record(name, experiment, validate, path, flow, s, root)
    return path


def load(dataset: str, validate: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training points and labels, and those that are read: the test set, or a held-out part."""
    full = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist}[dataset](full=True)
    if not validate:
        return full.x, full.y, full.x_test, full.y_test
    order = torch.randperm(len(full.x), generator=torch.Generator().manual_seed(2018))
    held, kept = order[:VALIDATION], order[VALIDATION:]
    return full.x[kept], full.y[kept], full.x[held], full.y[held]


class Observer:
    """Reads errors, distances and images off a state, and how long moving and reading took."""

    def __init__(self, experiment: Experiment, kernel: Gaussian, y: Tensor, y_test: Tensor):
        self.experiment, self.kernel, self.y, self.y_test = experiment, kernel, y, y_test
        self.shown = first_of_each_class(y_test)
        self.since = clocks()

    def __call__(self, state: State) -> dict:
        """Errors by N_I, mean squared distances, and at some layers images and predictions."""
        started = clocks()
        rng = torch.Generator().manual_seed(1000 * self.experiment.seed + state.layer)
        found = elapsed("moving", self.since, started)
        nugget = self.experiment.nugget
        for n in N_INTERP:
            found[f"error_{n}"] = error_rate(
                self.kernel, state.points, self.y, state.carried, self.y_test,
                n, rng, nugget, per_class=n == 10,
            )  # fmt: skip
        found |= class_distances(state.carried, self.y_test)
        if state.layer in self.experiment.pictures():
            found["images"] = state.carried[self.shown].half()
        if state.layer == self.experiment.layers:
            drawn = torch.randperm(len(self.y), generator=rng)[:600]
            v = interpolate(self.kernel, state.points[drawn], self.y[drawn], nugget)
            predicted = classes(v(state.carried))
            wrong = (predicted != classes(self.y_test)).nonzero()[:, 0]
            found |= {"wrong": wrong, "predicted": predicted[wrong]}
            found["wrong_images"] = state.carried[wrong[:24]].half()
        self.since = clocks()
        return found | elapsed("observing", started, self.since)


def clocks() -> tuple[float, float]:
    """The wall clock, and the processor time of all threads of this process, in seconds."""
    return time.monotonic(), time.process_time()


def elapsed(doing: str, start: tuple[float, float], stop: tuple[float, float]) -> dict[str, float]:
    """Seconds between two readings; on a shared machine the processor time is the fairer one."""
    return {
        f"seconds_{doing}": stop[0] - start[0],
        f"processor_seconds_{doing}": stop[1] - start[1],
    }


def first_of_each_class(y: Tensor) -> Tensor:
    """Positions of the first point of each class, then of the second of the first two: a dozen."""
    labels = classes(y)
    first = [(labels == c).nonzero()[0, 0] for c in range(y.shape[1])]
    second = [(labels == c).nonzero()[1, 0] for c in range(2)]
    return torch.stack(first + second)


def class_distances(x: Tensor, y: Tensor) -> dict[str, float]:
    """Mean squared distance within a class (averaged over classes) and between class means."""
    labels, x = classes(y), x.double()
    groups = [x[labels == c] for c in range(y.shape[1])]
    means = torch.stack([group.mean(0) for group in groups])
    within = sum(mean_squared_distance(group) for group in groups) / len(groups)
    return {"within": within, "between": mean_squared_distance(means)}


def write_record(name, experiment, validate, path: FlowPath, flow, s: float, root: Path):
    """Write what was measured: NAME.json for numbers by layer, NAME.npz for arrays."""
    folder = root / "book" / "records" / "paper"
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {
        layer: {k: v for k, v in found.items() if not isinstance(v, Tensor)}
        for layer, found in path.observed.items()
    }
    record = {
        "name": name,
        "settings": asdict(experiment) | {"s": s, "validation": validate},
        "flow": {"kernel": repr(flow.kernel), "step": repr(flow.step)},
        "arithmetic": "bf16 products, three halves" if path.mixed else "float32 or float64",
        **{
            clock: sum(found[clock] for found in numbers.values())
            for clock in elapsed("moving", (0, 0), (0, 0)) | elapsed("observing", (0, 0), (0, 0))
        },
        "hardware": f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "commit": commit(root),
        "by_layer": numbers,
    }
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    arrays = {"rho": path.rho.float().numpy(), "eps": path.eps.float().numpy()}
    for layer, found in path.observed.items():
        for key, value in found.items():
            if isinstance(value, Tensor):
                arrays[f"{key}_{layer}"] = value.numpy()
    np.savez_compressed(folder / f"{name}.npz", **arrays)


def read_record(name: str, start: Path | None = None) -> tuple[dict, dict] | None:
    """The committed record of an experiment, (numbers, arrays), or None where there is none.

    It is looked for in book/records/paper of the folder `start` (default: here) and its parents.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        path = folder / "book" / "records" / "paper" / f"{name}.json"
        if path.is_file():
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
                return json.loads(path.read_text()), dict(arrays)
    return None


def commit(root: Path) -> str:
    """The commit of the working tree, with a mark where it was changed since."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=40"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() or "unknown"


def main(arguments: list[str] | None = None):
    """Command line: python -m kflow.paper [NAME ...] [--layers N] [--validate]."""
    parser = argparse.ArgumentParser(prog="python -m kflow.paper", description=__doc__)
    known = [*EXPERIMENTS, "study"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--validate", action="store_true", help="hold out 10000 training images")
    parser.add_argument("--layers", type=int, help="stop there; a later run goes on deeper")
    asked = parser.parse_args(arguments)
    for name in asked.names or EXPERIMENTS:
        if name not in known:
            parser.error(f"no experiment {name!r}; there are {', '.join(known)}")
        if name == "study":
            study.run(Path.cwd())
            continue
        label = f"{name}-validation" if asked.validate else name
        experiment = EXPERIMENTS[name]
        experiment = replace(experiment, layers=asked.layers or experiment.layers)
        run(label, experiment, Path.cwd(), asked.validate)


if __name__ == "__main__":
    main()
