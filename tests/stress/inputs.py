"""Hostile inputs: each case calls one function of kflow with arguments of a seed and a number.

Cases are made in a process of their own, so that one that crashes it or never ends is found too.
"""

import multiprocessing
import os
import time

import torch

from tests.stress.calls import CALLS, SLOW
from tests.stress.tally import Tally
from tests.stress.values import Draw
from tests.stress.verdict import Verdict, judge

LIMIT = 30.0  # seconds for a case
NAMES = [name for name in CALLS for _ in range(1 if name in SLOW else 12)]


def case(seed: int, number: int):
    """The call of a case, and the draw that made its arguments."""
    draw = Draw(seed, number)
    name = draw.pick(NAMES)
    call = CALLS[name](draw)
    call.said = draw.said
    return name, call, draw.random.random() < 0.25


def try_case(seed: int, number: int) -> tuple[str, Verdict, list[str]]:
    """Make a case and judge it."""
    name, call, twice = case(seed, number)
    return name, judge(call, twice), call.said


def _work(seed, start, stop, at, answers):
    torch.set_num_threads(1)
    for number in range(start, stop):
        at.value = number
        answers.put((number, *try_case(seed, number)))
    answers.put(None)


def run(seed: int, count: int | None = None, seconds: float | None = None) -> Tally:
    """So many cases, or as many as the time allows, in a process that is watched."""
    tally, began, number = Tally(seed), time.monotonic(), 0
    last = count if count is not None else 10**9
    spawn = multiprocessing.get_context("spawn")
    while number < last and (seconds is None or time.monotonic() - began < seconds):
        at, answers = spawn.Value("q", number), spawn.Queue()
        worker = spawn.Process(target=_work, args=(seed, number, last, at, answers), daemon=True)
        worker.start()
        number = _watch(worker, at, answers, tally, number, began, seconds)
    return tally


def _watch(worker, at, answers, tally, number, began, seconds) -> int:
    """Count a worker's cases until it ends, dies, hangs or the time is up; the next case."""
    seen = time.monotonic() + 60  # to start
    while True:
        if seconds is not None and time.monotonic() - began > seconds:
            worker.kill()
            return 10**9
        try:
            answer = answers.get(timeout=1)
        except Exception:  # nothing yet
            died, hangs = not worker.is_alive(), time.monotonic() - seen > LIMIT
            if not died and not hangs:
                continue
            worker.kill()
            worker.join()
            what = f"died ({worker.exitcode})" if died else f"took more than {LIMIT:g} s"
            name, call, _ = case(tally.seed, at.value)
            tally.add(at.value, name, Verdict("found", f"{call.name} {what}"), call.said)
            return at.value + 1
        if answer is None:
            worker.join()
            return 10**9
        number, *rest = answer
        tally.add(number, *rest)
        seen = time.monotonic()
        if tally.total % 5000 == 0:
            print(
                f"{tally.total} cases, {len(tally.found)} found, {os.getloadavg()[0]:.1f}",
                flush=True,
            )
