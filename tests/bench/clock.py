"""Times that can be compared: the cases of a part take turns, and medians are told."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch


class Case(NamedTuple):
    """What is timed: the facts of its row, and a function that does it and returns seconds."""

    facts: dict
    seconds: Callable[[], float]


class Bench:
    """The rows and the single times of one run of the command, on one device."""

    def __init__(self, device: str = "cpu"):
        self.device = torch.device(device)
        self.rows: list[dict] = []
        self.times: list[list[float]] = []

    def now(self) -> float:
        """The clock, when all work that was sent to the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()

    def timed(self, work: Callable, *arguments) -> Callable[[], float]:
        """A function that does the work and returns its seconds."""

        def seconds():
            start = self.now()
            work(*arguments)
            return self.now() - start

        return seconds

    def compare(self, part: str, cases: Sequence[Case], repeats: int, warm: bool = True):
        """A row per case: A B C A B C ..., so that a slow moment of the machine falls on all.

        Unless they are known to be warm, all are done once before the clock counts.
        """
        if warm:
            for case in cases:
                case.seconds()
        times = [[] for _ in cases]
        for _ in range(repeats):
            for case, found in zip(cases, times, strict=True):
                found.append(case.seconds())
        for case, found in zip(cases, times, strict=True):
            self.add(part, case.facts | {"seconds": median(found), "least": min(found)}, found)

    def add(self, part: str, facts: dict, times: Sequence[float] = ()):
        """One row, and the times that it is the median of."""
        self.rows.append({"part": part, **facts})
        self.times.append(list(times))
        print("  ".join(f"{k} {_short(v)}" for k, v in self.rows[-1].items()), flush=True)


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
