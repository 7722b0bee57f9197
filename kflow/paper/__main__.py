"""Make the records of the talk's scale: N = 60000, N_f = 600, 12,000 to 50,000 layers.

`python -m kflow.paper mnist` runs one, or takes it up where it was interrupted, and writes its
record to book/records/paper; `torchrun -m kflow.paper mnist` shares its points among ranks.
`--validate` reads errors on training images that are held out instead of the test set. "study" is
the study of the settings at N = 10000, "late" tries what keeps errors low after it, "baselines" is
what the same data gives without a flow, "ones" which labelled points the errors depend on, "losses"
flows down four losses ("losses-12000": with 12000 points, hours on a CPU), "tabular" how the
estimators compare with those of scikit-learn on small tables of data, "sunspots" forecasts of a
measured series, "search" settings for large runs, on held-out images. "day" is one visit to a GPU:
its tests, then what the time allows.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from kflow import checks
from kflow.engine import shards
from kflow.paper import ablation, baselines, day, late, replay, search, study, sunspots, tabular
from kflow.paper.experiments import EXPERIMENTS
from kflow.paper.record import cost
from kflow.paper.runs import run

LONG = 12_000  # deeper runs are made only when they are named
OTHERS = {
    "baselines": baselines, "study": study, "late": late, "ones": replay, "tabular": tabular,
    "sunspots": sunspots,
}  # fmt: skip


def main(arguments: list[str] | None = None, root: Path | None = None):
    """Command line: python -m kflow.paper [NAME ...] [--layers N] [--validate]."""
    parser = argparse.ArgumentParser(prog="python -m kflow.paper", description=__doc__)
    known = ["baselines", "study", "late", *ablation.SCALES, *EXPERIMENTS, "ones", "tabular"]
    known += ["sunspots", "search", "day"]
    long = [name for name in EXPERIMENTS if EXPERIMENTS[name].layers > LONG]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--validate", action="store_true", help="hold out 10000 training images")
    parser.add_argument("--layers", type=int, help="stop there; a later run goes on deeper")
    parser.add_argument("--device", help="cpu, or cuda where there is one (then the default)")
    parser.add_argument("--seconds", type=float, default=480, help="of search or day")
    parser.add_argument("--out", type=Path, default=Path("_build/gpu"), help="where a day writes")
    asked, root = parser.parse_args(arguments), root or Path.cwd()
    for name in asked.names:
        if name not in known:
            parser.error(f"no experiment {name!r}; there are {', '.join(known)}")
    try:
        with place(asked.device) as (device, group):
            for name in asked.names or usual(known, long):
                if name == "day":
                    day.run(root, device, asked.seconds, asked.out)
                    continue
                if name == "search":
                    search.run(root, device, asked.seconds)
                    continue
                make(name, root, asked.validate, asked.layers, device, group)
    except KeyboardInterrupt:
        parser.exit(130, "\nstopped; the same command goes on from the last checkpoint\n")
    except (OSError, ValueError, FloatingPointError, MemoryError) as error:
        parser.exit(2, f"{error}\n")
    for name in [] if asked.names else long:
        said = f"{EXPERIMENTS[name].layers} layers, {cost(EXPERIMENTS[name].layers, root)}"
        print(f"not made: {name} ({said}); make paper ONLY={name}", file=sys.stderr)


def usual(known: list[str], long: list[str]) -> list[str]:
    """What is made where nothing is named: neither what takes days, nor what wants a GPU."""
    wide = [name for name in EXPERIMENTS if "-wide-" in name]
    return [n for n in known if n not in [*long, *wide, "losses-12000", "search", "day"]]


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
    if name in ablation.SCALES:
        ablation.run(root, name, device)
        return
    other: str | None = name
    if name not in OTHERS:
        label = f"{name}-validation" if validate else name
        run(label, EXPERIMENTS[name], root, validate, stop, device, group)
        other = "ones" if label == "mnist" else None  # which belongs to that record
    if other and (group is None or dist.get_rank() == 0):
        OTHERS[other].run(root)


if __name__ == "__main__":
    main()
