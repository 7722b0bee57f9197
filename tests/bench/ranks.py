"""Points shared over processes: what an exchange takes, and a layer, on this one machine.

`python -m tests.bench.ranks RANK RANKS FILE quick|full` is one of the processes, with one thread;
that of rank 0 prints a row for each measurement, as JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import torch
import torch.distributed as dist

from kflow.engine.shards import Shards, part
from tests.bench.clock import Bench
from tests.bench.problem import digits
from tests.bench.sizes import FULL, QUICK, Sizes


def ranks(bench: Bench, sizes: Sizes):
    """The rows that 1, 2, ... processes measure; there is one machine, so they use its cores."""
    for count in sizes.ranks:
        for facts in together(count, "full" if sizes == FULL else "quick"):
            times = facts.pop("times")
            bench.add("ranks", facts | {"seconds": median(times), "least": min(times)}, times)


def together(count: int, size: str) -> list[dict]:
    """Start the processes, wait for them, and read what rank 0 says."""
    with tempfile.TemporaryDirectory() as folder:
        last = [str(count), str(Path(folder) / "meet"), size]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.bench.ranks", str(rank), *last],
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(count)
        ]
        said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"a run of {count} processes failed: see above")
    return [json.loads(line) for line in said[0].splitlines()]


def measure(rank: int, group: dist.ProcessGroup, sizes: Sizes):
    """The measurements that all ranks make together."""
    world = dist.get_world_size(group)
    problem = digits(sizes.n)
    rows = part(sizes.n, group)
    x, y = problem.x[rows], problem.y[rows]
    bench, facts = Bench(), {"ranks": world, "n": sizes.n, "d": x.shape[1]}
    shards, labels = Shards.of(len(x), group), y.double()
    for ahead in (0, *sizes.ahead) if world > 1 else ():
        union = torch.arange(max(1, ahead * sizes.n_fine)) % sizes.n
        union = union.unique()
        times = [
            bench.timed(shards.rows, [x, labels], union)() for _ in range(4 * sizes.repeats + 1)
        ]
        sent = len(union) * (4 * x.shape[1] + 8 * y.shape[1])
        told = {"case": "exchange", **facts, "lookahead": ahead, "bytes": sent}
        say(rank, told | {"times": times[1:]})
    if world > os.cpu_count():
        return
    flow = problem.flow(sizes.n_fine)

    def run(layers):
        rng = torch.Generator().manual_seed(0)
        flow.run(x, y, layers, rng, lookahead=max(sizes.ahead), group=group)

    layers, times = max(sizes.ahead), []
    run(1)
    for _ in range(3):
        start = bench.timed(run, 0)()
        times.append((bench.timed(run, layers)() - start) / layers)
    told = {"case": "layer", **facts, "n_fine": sizes.n_fine, "lookahead": layers}
    say(rank, told | {"times": times})


def say(rank: int, facts: dict):
    """Print a row, if this is rank 0."""
    if rank == 0:
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    rank, count, meet, size = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{meet}", rank=int(rank), world_size=int(count))
    measure(int(rank), dist.group.WORLD, {"full": FULL, "quick": QUICK}[size])
    dist.destroy_process_group()
