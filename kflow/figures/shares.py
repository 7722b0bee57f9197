"""How much of what a run costs grows with a parameter, as the comment beside it declares.

`(75 % of the time)` and `(20 % of the memory)` end the comment. `(50 % of the time, in the flow)`
names the part of the run, where several parameters make the same part longer. `(60 % of the time,
doubled by each)` is for a parameter of which one more makes it twice as long.
"""

import re
from dataclasses import dataclass

SHARE = re.compile(
    r"\s*\((\d+) % of the (time|memory)(?:, in the ([\w ]+))?(, doubled by each)?\)$"
)


@dataclass(frozen=True)
class Shares:
    """The shares of a run at the defaults that grow with one parameter, and how."""

    time: float = 0.0
    memory: float = 0.0
    part: str = ""
    doubles: bool = False

    def factor(self, value: float, default: float) -> float:
        """How many times the default's cost a value has, in this share of the run."""
        return 2.0 ** (value - default) if self.doubles else value / default


def read(comment: str) -> tuple[str, Shares]:
    """A comment without the shares that end it, and these."""
    found: dict[str, float] = {}
    part, doubles = "", False
    while match := SHARE.search(comment):
        comment = comment[: match.start()]
        found[match[2]] = int(match[1]) / 100
        part, doubles = match[3] or part, doubles or bool(match[4])
    return comment, Shares(found.get("time", 0.0), found.get("memory", 0.0), part, doubles)
