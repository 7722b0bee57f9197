"""Measure kflow, the machine and the peers in one run, and write the record of it.

`make bench` is `python -m tests.bench`: some minutes on an idle machine. It writes
book/records/paper/performance.json and .npz (the single times), which the chapter `performance`
reads; with --device cuda performance-cuda instead.
"""

import argparse
import importlib.metadata
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from kflow.engine import precisions
from kflow.figures import provenance
from tests.bench import layers, memory, problem, ranks, rivals, roofline
from tests.bench.accuracy import accuracy
from tests.bench.bars import agreement, bars
from tests.bench.clock import Bench
from tests.bench.sizes import FULL, QUICK, Sizes

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    roofline.machine,
    layers.points,
    layers.batches,
    layers.widths,
    layers.depths,
    layers.precision,
    layers.ahead,
    roofline.games,
    roofline.parts,
    rivals.layer,
    rivals.motion,
    rivals.classification,
    memory.memory,
    ranks.ranks,
    accuracy,
    agreement,
    bars,
)


def measure(device: str, sizes: Sizes) -> tuple[dict, list[list[float]]]:
    """The record of one run, and the single times of each of its rows."""
    start, load = time.monotonic(), os.getloadavg()
    bench = Bench(device)
    with precisions.ieee():
        for part in PARTS:
            part(bench, sizes)
    record = {
        "quick": sizes != FULL,
        "device": device,
        "data": problem.told(),
        "sizes": asdict(sizes),
        "mixed": "mixed" in layers.precisions(bench.device),
        "hardware": provenance.hardware()
        | {"instructions": torch.backends.cpu.get_cpu_capability()},
        "versions": provenance.versions()
        | {name: version(name) for name in ("scikit-learn", "pykeops")},
        "commit": provenance.commit("tests/bench"),
        "load": {"before": load, "after": os.getloadavg()},
        "seconds": time.monotonic() - start,
        "rows": bench.rows,
    }
    return record, bench.times


def version(name: str) -> str:
    """The version of a package that need not be here."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def write(record: dict, times: list[list[float]], target: Path):
    """TARGET.json, and TARGET.npz with the times of row i as `row_i`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"row_{i}": np.array(found) for i, found in enumerate(times) if found}
    np.savez_compressed(target.with_suffix(".npz"), **arrays)
    target.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")


def main(arguments: list[str] | None = None):
    """Command line: python -m tests.bench [--device cuda] [--quick] [--output PATH]."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: tries all, tells nothing")
    parser.add_argument("--output", type=Path, help="where the record goes, without ending")
    asked = parser.parse_args(arguments)
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("this torch sees no CUDA device; without --device the CPU is measured")
    name = "performance" if asked.device == "cpu" else "performance-cuda"
    folder = ROOT / ("_build/bench" if asked.quick else "book/records/paper")
    target = asked.output or folder / name
    record, times = measure(asked.device, QUICK if asked.quick else FULL)
    write(record, times, target)
    print(f"{record['seconds']:.0f} s; wrote {target}.json and .npz")


if __name__ == "__main__":
    main()
