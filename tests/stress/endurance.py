"""Endurance: many layers, and many fits, in one process; memory, files and time must not grow."""

import gc
import os
import time
import warnings
from pathlib import Path

import numpy as np
import torch

import kflow
from tests.stress.tally import Tally
from tests.stress.verdict import Verdict

PARTS = 20  # in which a long run is looked at
MEGABYTE = 1e6


def resident() -> float:
    """Megabytes of memory that the process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def handles() -> int:
    """Files that the process has open."""
    return len(os.listdir("/proc/self/fd"))


def layers(count: int, folder: Path) -> dict:
    """A flow of so many layers, with a checkpoint: what it holds and how far its points are."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(60, 3, generator=rng)
    y = torch.nn.functional.one_hot(torch.arange(60) % 3, 3).float()
    flow = kflow.KernelFlow(kflow.Gaussian(1.5), 20, kflow.MaxDisplacement(0.01), nugget=1e-2)
    seen: dict[str, list] = {"layer": [], "processor": [], "memory": [], "handles": [], "far": []}

    def look(state):
        for name, value in (
            ("layer", state.layer), ("processor", time.process_time()), ("memory", resident()),
            ("handles", handles()), ("far", float(state.points.norm(dim=1).max())),
        ):  # fmt: skip
            seen[name].append(value)

    path = flow.run(
        x, y, count, torch.Generator().manual_seed(1), observe=look, lookahead=5,
        observe_at=range(0, count + 1, count // PARTS), checkpoint=folder / "flow.st",
        checkpoint_every=count // 10,
    )  # fmt: skip
    seen["rho"] = path.rho.view(PARTS, -1).mean(1).tolist()
    return seen


def fits(count: int) -> dict:
    """So many fits and predictions of both estimators: what the process holds."""
    x = np.random.default_rng(0).normal(size=(30, 3))
    seen: dict[str, list] = {"fit": [], "processor": [], "memory": [], "handles": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so short a learning ends at bounds
        for k in range(count + 1):
            if k % (count // PARTS) == 0:
                for name, value in (("fit", k), ("processor", time.process_time()),
                                    ("memory", resident()), ("handles", handles())):  # fmt: skip
                    seen[name].append(value)
            model = (
                kflow.KernelFlowRegressor(steps=2, n_fine=20, random_state=k)
                if k % 2
                else kflow.KernelFlowClassifier(layers=3, n_fine=10, random_state=k)
            )
            model.fit(x, x[:, 0] > 0).predict(x)
    return seen


def judge(seen: dict, pace_from: int = 1) -> list[tuple[str, Verdict]]:
    """Whether memory, open files and the time of a part at the end are those at the start."""
    pace = np.diff(seen["processor"])
    early, late = np.median(pace[pace_from : PARTS // 2]), np.median(pace[PARTS // 2 :])
    memory = seen["memory"][-1] - seen["memory"][PARTS // 4]
    return [
        ("memory", _verdict(memory < 20, f"grew by {memory:.1f} MB")),
        ("open files", _verdict(seen["handles"][-1] <= max(seen["handles"][:3]), "grew")),
        ("time", _verdict(late < 1.5 * early, f"from {early:.2f} to {late:.2f} s a part")),
    ]


def _verdict(sound: bool, why: str) -> Verdict:
    return Verdict("right") if sound else Verdict("found", why)


def tally(seed: int, count: int) -> tuple[Tally, dict]:
    """So many layers, and a twentieth as many fits; and what was seen on the way."""
    import tempfile

    found = Tally(seed)
    with tempfile.TemporaryDirectory() as folder:
        deep = layers(count, Path(folder))
    often = fits(count // 20)
    for name, seen in (("layers", deep), ("fits", often)):
        for what, verdict in judge(seen):
            found.add(0, f"{name}: {what}", verdict, [f"{name} {count}"])
    far = deep["far"][-1] / deep["far"][0]
    found.add(0, "layers: positions", _verdict(far < 100, f"{far:.3g} times as far"), [])
    return found, {"layers": deep, "fits": often}
