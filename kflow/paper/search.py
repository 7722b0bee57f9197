"""Settings for the large runs, tried on training images that are held out; the test set is unread.

`python -m kflow.paper search` tries them in order, as many as its time allows, and writes
book/records/paper/search.json after every reading: N = 50000, 10000 held out, on a GPU minutes.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from kflow import game
from kflow.classify import error_rate
from kflow.distances import mean_squared_distance
from kflow.engine import State
from kflow.flow import KernelFlow
from kflow.kernels import Gaussian
from kflow.paper import runs
from kflow.paper.experiments import HALF, step_rule
from kflow.paper.record import write

DRAWS = ((6000, 1), (600, 2), (60, 5), (10, 10))  # (N_I, draws); ten are one of each class
GAMES, BATCH = 10, 600  # of the held-out points, which never play, for the rho of a reading
PATH = Path("book/records/paper/search.json")


@dataclass(frozen=True)
class Trial:
    """One flow: gamma and delta in units of s; nuggets are (from which layer, nugget)."""

    dataset: str
    gamma: float
    delta: float
    nuggets: tuple[tuple[int, float], ...]
    layers: int
    seed: int = 0
    n_fine: int = 600
    every: int = 500
    precision: str = "mixed"

    def stages(self) -> list[tuple[int, int, float]]:
        """First layer, last layer and nugget of each part with one nugget."""
        stops = [first for first, _ in self.nuggets[1:]] + [self.layers]
        return [(a, b, nugget) for (a, nugget), b in zip(self.nuggets, stops, strict=True)]


class OutOfTime(Exception):
    """The time of the search is up."""


def trials() -> list[Trial]:
    """What is tried, the most telling first."""
    clothes, digits = "fashion_mnist", "mnist"
    return [
        Trial(clothes, HALF, 0.03, ((0, 1e-3),), 8000),
        Trial(digits, 1.0, 0.1, ((0, 1e-2),), 4000),
        Trial(digits, 1.25, 0.1, ((0, 1e-2),), 4000),
        Trial(digits, 1.5, 0.1, ((0, 1e-2),), 4000),
        Trial(clothes, 0.85, 0.03, ((0, 1e-3),), 7000),
        Trial(digits, 1.25, 0.05, ((0, 1e-2),), 5000),
        Trial(clothes, 1.0, 0.03, ((0, 1e-3),), 5000),
        Trial(clothes, HALF, 0.03, ((0, 1e-2),), 7000),
        Trial(digits, 1.25, 0.1, ((0, 1e-1),), 4000),
        Trial(digits, 1.25, 0.1, ((0, 1e-3),), 4000),
        Trial(clothes, HALF, 0.02, ((0, 1e-3),), 10_000),
        Trial(digits, 1.0, 0.05, ((0, 1e-2),), 5000),
        Trial(clothes, HALF, 0.03, ((0, 1e-3), (5000, 1.0)), 8000),
        Trial(clothes, HALF, 0.05, ((0, 1e-3),), 5000),
    ]


def run(
    root: Path,
    device: torch.device | str = "cpu",
    seconds: float = float("inf"),
    tried: list[Trial] | None = None,
    load: Callable = runs.load,
) -> dict:
    """Try what the record under root does not hold yet, until the time is up; the record."""
    deadline, path, sets = time.monotonic() + seconds, root / PATH, {}
    saved = json.loads(path.read_text())["runs"] if path.is_file() else []
    finished = [run for run in saved if run["finished"]]
    record: dict[str, Any] = {"name": "search", "draws": DRAWS, "runs": finished}
    for trial in trials() if tried is None else tried:
        settings = json.loads(json.dumps(asdict(trial)))
        if any(run["settings"] == settings for run in record["runs"]):
            continue
        if trial.dataset not in sets:
            sets[trial.dataset] = [part.to(device) for part in load(trial.dataset, True)]
        found: dict[str, Any] = {"settings": settings, "finished": False, "by_layer": {}}
        found |= {"commit": runs.commit(root), "hardware": runs.hardware(torch.device(device))}
        record["runs"].append(found)

        def keep(layer, read, found=found):
            found["by_layer"][str(layer)] = read
            write(path, record)
            if time.monotonic() > deadline:
                raise OutOfTime

        begun = time.monotonic()
        try:
            _flow(trial, sets[trial.dataset], keep)
        except OutOfTime:
            break
        except (FloatingPointError, ValueError) as error:  # a result too: others go on
            found["broke"] = str(error)
        found |= {"finished": True, "seconds": time.monotonic() - begun}
        write(path, record)
        print(f"{trial}: {found['seconds']:.0f} s, {_told(found)}", file=sys.stderr, flush=True)
    return record


def _flow(trial: Trial, sets, keep: Callable[[int, dict], None]):
    x, y, held, y_held = sets
    s = mean_squared_distance(x) ** 0.5
    kernel, step = Gaussian(trial.gamma * s), step_rule("max", trial.delta, s)
    rng = torch.Generator().manual_seed(trial.seed)
    points, carried = x, held
    for first, last, nugget in trial.stages():

        def observe(state: State, first=first, nugget=nugget):
            layer = first + state.layer
            read = _read(kernel, nugget, state, y, y_held, trial.seed, layer)
            if state.layer:
                read["rho"] = float(state.rho[-trial.every :].mean())
            keep(layer, read)

        at = [k - first for k in range(first, last + 1, trial.every) if k > first or k == 0]
        path = KernelFlow(kernel, trial.n_fine, step, nugget, trial.precision).run(
            points, y, last - first, rng, carry=carried, observe=observe, observe_at=at,
            lookahead=runs.AHEAD,
        )  # fmt: skip
        points, carried = path.points, path.carried


def _read(kernel, nugget, state: State, y, y_held, seed: int, layer: int) -> dict:
    """Errors on the held-out points by N_I, and their own rho."""
    assert state.carried is not None  # the held-out points
    rng = torch.Generator().manual_seed(1_000_003 * seed + layer)
    found = {}
    for n, draws in DRAWS:
        sets = (state.points, y, state.carried, y_held)
        errors = [error_rate(kernel, *sets, n, rng, nugget, n == 10) for _ in range(draws)]
        found[f"error_{n}"] = errors
    samples = [game.draw(len(y_held), BATCH, rng) for _ in range(GAMES)]
    found["rho_held"] = [
        float(game.rho(kernel, state.carried[s.fine.to(y.device)], y_held[s.fine.to(y.device)],
                       s.coarse, nugget))
        for s in samples
    ]  # fmt: skip
    return found


def _told(found: dict) -> str:
    def mean(errors):
        return 100 * sum(errors) / len(errors)

    return "; ".join(
        f"{layer}: " + " ".join(f"{mean(read[f'error_{n}']):.2f}" for n, _ in DRAWS)
        for layer, read in list(found["by_layer"].items())[::2]
    )
