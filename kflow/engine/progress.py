"""One line of progress: rewritten on a terminal, one line per interval in a log."""

import sys
import time

LOG_INTERVAL = 30.0  # seconds between two lines of a log


class Progress:
    """Shows layer, rho, layers per second and time left on standard error."""

    def __init__(self, shown: bool, first: int, last: int):
        self.shown, self.first, self.last = shown, first, last
        self.terminal = sys.stderr.isatty()
        self.started = self.said = time.monotonic()

    def __call__(self, layer: int, rho: float):
        """Say that so many layers are done, the last of them played at rho."""
        now = time.monotonic()
        interval = 0.2 if self.terminal else LOG_INTERVAL
        if not self.shown or (now - self.said < interval and layer < self.last):
            return
        self.said = now
        speed = (layer - self.first) / max(now - self.started, 1e-9)
        left = (self.last - layer) / speed if speed else 0.0
        start, end = ("\r", "") if self.terminal and layer < self.last else ("", "\n")
        line = (
            f"layer {layer}/{self.last}  rho {rho:.4f}  {speed:.3g} layers/s  {_clock(left)} left"
        )
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
