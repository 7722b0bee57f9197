"""What came of many cases: counts, and what was found."""

from collections import Counter, defaultdict


class Tally:
    """What came of the cases: counts by function, and what was found, once for each cause."""

    def __init__(self, seed: int):
        self.seed, self.counts = seed, defaultdict(Counter)
        self.found: dict[str, dict] = {}

    def add(self, number, name, verdict, said):
        """Count one case."""
        self.counts[name][verdict.kind] += 1
        if verdict.kind == "found":
            seen = self.found.setdefault(verdict.key, {"case": number, "why": verdict.why[:400],
                                                       "said": said[:8], "times": 0})  # fmt: skip
            seen["times"] += 1

    @property
    def total(self) -> int:
        """How many cases there were."""
        return sum(sum(kinds.values()) for kinds in self.counts.values())
