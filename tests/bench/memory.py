"""Peak memory of two layers against N, each in a process of its own.

`python -m tests.bench.memory CASE N N_F DEVICE` prints it in bytes; the case `nothing` is what the
interpreter and the libraries take.
"""

import resource
import subprocess
import sys
from pathlib import Path

import torch

import kflow
from tests.bench.clock import Bench
from tests.bench.peers import numpy_layer, torch_layer
from tests.bench.problem import noise
from tests.bench.sizes import Sizes

CASES = ("kflow", "torch", "NumPy")
WIDTH = 784


def memory(bench: Bench, sizes: Sizes):
    """A row for each way of making a layer and each N."""
    cases = CASES if bench.device.type == "cpu" else CASES[:2]
    for case, n in [("nothing", 0), *((case, n) for case in cases for n in sizes.memory)]:
        command = [sys.executable, "-m", "tests.bench.memory", case, n, sizes.n_fine, bench.device]
        said = subprocess.run(map(str, command), stdout=subprocess.PIPE, text=True, check=True)
        facts = {"case": case, "n": n, "n_fine": sizes.n_fine, "d": WIDTH}
        bench.add("memory", facts | {"bytes": int(said.stdout)})


def two_layers(case: str, n: int, n_fine: int, device: str):
    """Two layers over n points, as they come from the caller."""
    problem = noise(n, WIDTH, device)
    x, y, rng = problem.x, problem.y, torch.Generator().manual_seed(0)
    if case == "kflow":
        problem.flow(n_fine).run(x, y, 2, rng)
        return
    layer = torch_layer.layer
    if case == "NumPy":
        x, y, layer = x.numpy(), y.numpy(), numpy_layer.layer
    settings = (problem.kernel.gamma, problem.step.delta, problem.nugget)
    moved = x
    for _ in range(2):
        fine, coarse = kflow.draw(n, n_fine, rng)
        moved = layer(moved, y, fine, coarse, *settings)


def peak(device: str) -> int:
    """The most bytes that this process has held: on the device, or resident on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started this process
        [line] = [li for li in status.read_text().splitlines() if li.startswith("VmHWM:")]
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    case, n, n_fine, device = sys.argv[1:]
    if case in CASES:
        two_layers(case, int(n), int(n_fine), device)
    print(peak(device))
