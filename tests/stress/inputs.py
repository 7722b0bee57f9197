"""Hostile inputs: each case calls one function of kflow with arguments of a seed and a number.

Cases are made in a process of their own, so that one that crashes it or never ends is found too.
"""

import multiprocessing
import os
import queue
import time

import torch

from tests.stress.calls import CALLS, SLOW
from tests.stress.tally import Tally
from tests.stress.values import Draw
from tests.stress.verdict import Verdict, judge

LIMIT = 60.0  # seconds for a case
AT_ONCE = 200  # cases whose answers travel together
NAMES = [name for name in CALLS for _ in range(1 if name in SLOW else 12)]


def case(seed: int, number: int):
    """The call of a case, and whether it is made twice."""
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
    made, sent, parent = [], time.monotonic(), os.getppid()
    for number in range(start, stop):
        if os.getppid() != parent:
            return  # it was killed, and nobody listens
        at.value = number
        made.append((number, *try_case(seed, number)))
        if len(made) == AT_ONCE or time.monotonic() - sent > 5:
            answers.put(made)
            made, sent = [], time.monotonic()
    answers.put(made)
    answers.put(None)


def run(seed: int, count: int | None = None, seconds: float | None = None, told=None) -> Tally:
    """So many cases, or as many as the time allows; `told(tally)` is called now and then."""
    tally, began, number = Tally(seed), time.monotonic(), 0
    stop = count if count is not None else 10**9
    ends = began + seconds if seconds is not None else float("inf")
    spawn = multiprocessing.get_context("spawn")
    while number < stop and time.monotonic() < ends:
        at, answers = spawn.Value("q", number), spawn.Queue()
        worker = spawn.Process(target=_work, args=(seed, number, stop, at, answers), daemon=True)
        worker.start()
        number = _watch(worker, at, answers, tally, number, ends, told)
    return tally


def _watch(worker, at, answers, tally, number, ends, told) -> int:
    """Count a worker's cases until it ends, dies, hangs or the time is up; the next case."""
    reached, since = -1, time.monotonic()
    while time.monotonic() < ends:
        if at.value != reached:
            reached, since = at.value, time.monotonic()
        try:
            made = answers.get(timeout=1)
        except queue.Empty:
            died, hangs = not worker.is_alive(), time.monotonic() - since > LIMIT
            if not (died or hangs):
                continue
            worker.kill()
            worker.join()
            what = f"died ({worker.exitcode})" if died else f"took more than {LIMIT:g} s"
            draw = Draw(tally.seed, reached)
            name = draw.pick(NAMES)
            tally.add(reached, name, Verdict("found", f"{name} {what}"), [])
            return reached + 1
        if made is None:
            worker.join()
            return 10**9
        for each in made:
            tally.add(*each)
        if told:
            told(tally)
    worker.kill()
    return 10**9
