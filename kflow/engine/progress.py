"""One line of progress: tqdm's on a terminal, one line per interval in a log."""

import sys
import time

from tqdm import tqdm

LOG_INTERVAL = 30.0  # seconds between two lines of a log
FORMAT = "layer {n}/{total}{postfix}  {rate_noinv_fmt}  {remaining} left"


class Progress:
    """Shows layer, rho, layers per second and time left on standard error."""

    def __init__(self, shown: bool, first: int, last: int):
        self.shown, self.first, self.last = shown, first, last
        self.started = self.said = time.monotonic()
        terminal = shown and sys.stderr.isatty()
        options = {"total": last, "initial": first, "unit": " layers", "bar_format": FORMAT}
        self.bar = tqdm(mininterval=0.2, **options) if terminal else None

    def __call__(self, layer: int, rho: float):
        """Say that so many layers are done, the last of them played at rho."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"rho {rho:.4f}", refresh=False)
            self.bar.update(layer - self.bar.n)
            if layer == self.last:
                self.bar.close()
        elif self.shown:
            self._log(layer, rho)

    def _log(self, layer: int, rho: float):
        now = time.monotonic()
        if now - self.said < LOG_INTERVAL and layer < self.last:
            return
        self.said = now
        line = tqdm.format_meter(
            layer, self.last, now - self.started, initial=self.first, unit=" layers",
            postfix=f"rho {rho:.4f}", bar_format=FORMAT,
        )  # fmt: skip
        print(line, file=sys.stderr, flush=True)
