"""The bars of a GPU: whole runs at the talk's size, in absolute time; and its agreement with a CPU.

Without a GPU they are not run.
"""

import torch

from tests.bench.clock import Bench
from tests.bench.problem import digits
from tests.bench.sizes import Sizes

LOOKAHEAD = 10


def bars(bench: Bench, sizes: Sizes):
    """Seconds of every run with its points carried along, beside what it may take."""
    if bench.device.type != "cuda":
        return
    for name, layers, allowed in sizes.bars:
        n = max(sizes.points)
        problem = digits(n + sizes.carried, device=bench.device, name=name)
        flow = problem.flow(sizes.n_fine, "mixed")

        def run(count, problem=problem, flow=flow, n=n):
            rng = torch.Generator().manual_seed(0)
            flow.run(
                problem.x[:n], problem.y[:n], count, rng, carry=problem.x[n:], lookahead=LOOKAHEAD
            )

        run(LOOKAHEAD)
        seconds = bench.timed(run, layers)()
        facts = {"case": name, "n": n, "carried": sizes.carried, "n_fine": sizes.n_fine}
        facts |= {"d": problem.width, "layers": layers, "precision": "mixed"}
        facts |= {"lookahead": LOOKAHEAD, "seconds": seconds, "allowed": allowed}
        bench.add("bars", facts, [seconds])


def agreement(bench: Bench, sizes: Sizes):
    """How far 20 float32 layers on the GPU are from the same on the CPU, over the motion."""
    if bench.device.type != "cuda":
        return
    problem = digits(sizes.depths_n)
    flow, moved = problem.flow(sizes.n_fine), []
    for device in ("cpu", bench.device):
        rng = torch.Generator().manual_seed(0)
        moved.append(flow.run(problem.x.to(device), problem.y.to(device), 20, rng).points.cpu())
    motion = (moved[0] - problem.x).norm(dim=1)
    error = float(((moved[1] - moved[0]).norm(dim=1) / motion).max())
    facts = {"case": "float32 against the CPU", "n": sizes.depths_n, "layers": 20}
    bench.add("agreement", facts | {"error": error, "allowed": 1e-4})
