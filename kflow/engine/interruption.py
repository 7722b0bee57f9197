"""Ctrl-C and SIGTERM: a run with a checkpoint ends its layer, saves, and says how to go on."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run was interrupted by Ctrl-C, and its state is saved; the message says how to go on."""


@contextlib.contextmanager
def noticed(on: bool) -> Iterator[Callable[[], int | None]]:
    """A function that tells which signal has arrived, while it is on; a second one ends at once.

    Only the main thread of a program hears signals; elsewhere nothing changes.
    """
    if not on or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    arrived: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back():
        for number, handler in before.items():
            if handler is not None:  # one that was not set by Python cannot be set by it
                signal.signal(number, handler)

    def notice(number, _):
        arrived.append(number)
        put_back()

    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, notice)
    try:
        yield lambda: arrived[0] if arrived else None
    finally:
        put_back()


def stop(number: int, layer: int, path):
    """End as the signal asks: SystemExit of status 143 for SIGTERM, Interrupted for Ctrl-C."""
    told = f"stopped at layer {layer}, which is saved in {path}; the same call goes on from there"
    if number == signal.SIGTERM:
        print(told, file=sys.stderr)
        raise SystemExit(128 + number)
    raise Interrupted(told)
