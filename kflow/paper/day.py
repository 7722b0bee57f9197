"""One visit to a GPU: what it is, its tests, the time of a layer, then the most telling runs.

`python -m kflow.paper day --device cuda --seconds 480 --out DIR` (or `make gpu`) begins what will
end in time, going by the time of a layer (reading a run comes on top: a minute, on a CPU), and
leaves what was reached in DIR at any moment: records are written stage by stage. It needs torch,
numpy, scipy, pandas, safetensors, jaxtyping, filelock, tqdm, scikit-learn and pytest, and
KFLOW_DATA; without git, KFLOW_COMMIT says which commit it is.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from kflow.figures import provenance
from kflow.flow import KernelFlow
from kflow.kernels import Gaussian
from kflow.paper import runs, search
from kflow.paper.experiments import EXPERIMENTS
from kflow.paper.record import RECORDS
from kflow.steps import MaxDisplacement

RUNS = (
    "mnist-wide-0", "fashion-wide-0", "mnist-wide-1", "fashion-wide-1", "mnist-wide-2",
    "fashion-wide-2", "fashion-small-steps", "mnist", "fashion-large-steps",
)  # fmt: skip
FIRST_STAGE = 1000  # layers from which the rate of a run is known
LAYER = "layer.json"  # the milliseconds that a layer takes, in the folder of the visit
CAUTION = 0.8  # share of the time left that is planned for
SHARES = {"tests": 0.2, "a layer": 0.05, "search": 0.2}  # of all the time, at most


@dataclass(frozen=True)
class Budget:
    """The time of the visit."""

    began: float
    seconds: float

    def left(self) -> float:
        """Seconds until the visit must have ended."""
        return self.began + self.seconds - time.monotonic()


def run(
    root: Path,
    device: torch.device | str,
    seconds: float,
    out: Path,
    names=RUNS,
    tests: bool = True,
):
    """Make what the time allows; a part that fails is said, and the others go on."""
    budget, device = Budget(time.monotonic(), seconds), torch.device(device)
    out.mkdir(parents=True, exist_ok=True)
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    for path in (root / RECORDS).glob("*.*"):  # what is finished is not made again
        if not (out / RECORDS / path.name).exists():
            shutil.copy(path, out / RECORDS)
    parts: list[tuple[str, Callable]] = [("facts", lambda: facts(device, out))]
    if tests:
        parts.append(("tests", lambda: gpu_tests(root, out, SHARES["tests"] * seconds)))
    parts.append(("a layer", lambda: layer(device, out, SHARES["a layer"] * seconds)))
    parts.append(("search", lambda: search.run(out, device, SHARES["search"] * seconds)))
    parts += [(name, lambda name=name: stages(name, out, device, budget)) for name in names]
    for name, part in parts:
        if budget.left() <= 0:
            _say(budget, f"{name}: no time left")
            continue
        _say(budget, name)
        try:
            part()
        except Exception as error:  # one part must not cost the rest of a rented hour
            _say(budget, f"{name} FAILED: {type(error).__name__}: {error}")
    _say(budget, "the end")


def facts(device: torch.device, out: Path):
    """Write what machine this is."""
    found = provenance.hardware() | {"versions": provenance.versions()}
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    (out / "facts.json").write_text(json.dumps(found, indent=1, default=str) + "\n")
    print(found, file=sys.stderr, flush=True)


def gpu_tests(root: Path, out: Path, seconds: float):
    """Run the tests that need a GPU; their report is tests.xml."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", "--tb=short",
        "-o", "filterwarnings=default", f"--junitxml={(out / 'tests.xml').absolute()}", "tests",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=root, timeout=max(seconds, 1), check=False)
        print(f"the tests ended with {done.returncode}", file=sys.stderr, flush=True)
    except subprocess.TimeoutExpired:
        print(f"the tests were stopped after {seconds:.0f} s", file=sys.stderr, flush=True)


def layer(
    device: torch.device,
    out: Path,
    seconds: float,
    n: int = 60_000,
    carried: int = 10_000,
    layers: int = 100,
):
    """Write the milliseconds that a layer takes, by precision, at the size of the talk.

    They are the mean of `layers` layers, or of as many as fit in the seconds, and one at least.
    """
    rng = torch.Generator().manual_seed(0)
    y = torch.eye(10)[torch.arange(n + carried) % 10]
    x = 2 * y @ torch.randn(10, 717, generator=rng) + torch.randn(n + carried, 717, generator=rng)
    kernel = Gaussian.for_points(x[:1000])
    x, y, ahead = x.to(device), y.to(device), runs.lookahead(device)

    def took(precision, count):
        flow = KernelFlow(
            kernel, min(600, n), MaxDisplacement(0.03 * kernel.gamma), 1e-2, precision
        )
        rng = torch.Generator().manual_seed(0)
        begun = time.perf_counter()
        flow.run(x[:n], y[:n], count, rng, carry=x[n:], lookahead=ahead)
        return time.perf_counter() - begun  # the points it returns have been waited for

    found, precisions = {}, ("mixed", "float32")
    for precision in precisions:
        took(precision, ahead)
        short = took(precision, ahead)
        fits = int(seconds / len(precisions) * ahead / short)
        more = max(1, min(layers, fits))
        found[precision] = 1e3 * (took(precision, ahead + more) - short) / more
    (out / LAYER).write_text(json.dumps(found, indent=1) + "\n")
    print(f"milliseconds a layer: {found}", file=sys.stderr, flush=True)


def stages(name: str, out: Path, device: torch.device, budget: Budget):
    """Run an experiment by as many layers as the time allows, with a record after each stage."""
    experiment, path = EXPERIMENTS[name], out / RECORDS / f"{name}.json"
    done = json.loads(path.read_text())["settings"]["layers"] if path.is_file() else 0
    if done == experiment.layers:
        return
    done, stop = 0, min(first_stage(out, budget), experiment.layers)
    if stop == 0:
        _say(budget, f"{name}: no time for a layer")
    while stop > done and budget.left() > 0:
        begun = time.monotonic()
        runs.run(name, experiment, out, stop=stop, device=device)
        rate = (time.monotonic() - begun) / (stop - done)
        _say(budget, f"{name}: {stop} layers, {1e3 * rate:.2f} ms each, readings included")
        fits = int(CAUTION * budget.left() / rate)
        done, stop = stop, min(stop + fits, experiment.layers)


def first_stage(out: Path, budget: Budget) -> int:
    """Layers after which the rate of a run is known, or as many as fit in the time left."""
    if not (out / LAYER).is_file():
        return FIRST_STAGE
    rate = 1e-3 * max(json.loads((out / LAYER).read_text()).values())
    return min(FIRST_STAGE, int(CAUTION * budget.left() / rate))


def _say(budget: Budget, what: str):
    print(f"=== {time.monotonic() - budget.began:.0f} s: {what}", file=sys.stderr, flush=True)
