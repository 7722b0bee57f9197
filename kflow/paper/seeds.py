"""The draws of an observation follow from the seed of the run and the layer, and from nothing else.

Records say by which RULE they were drawn. The older rule collides: seed 0 at layer 1200 draws what
seed 1 draws at layer 200. What was made by it is read by it, and stays as it was published.
"""

from collections.abc import Mapping

import numpy as np
import torch

RULE = "SeedSequence(seed, layer)"
OLDER = "1000 seed + layer"


def generator(seed: int, layer: int, rule: str = RULE) -> torch.Generator:
    """The generator of an observation at a layer; ValueError on another rule than these two."""
    if rule not in (RULE, OLDER):
        raise ValueError(f"draws follow {RULE!r} or {OLDER!r}, not {rule!r}")
    if rule == OLDER:
        return torch.Generator().manual_seed(1000 * seed + layer)
    (word,) = np.random.SeedSequence((seed, layer)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(word))


def rule_of(record: Mapping) -> str:
    """The rule by which the draws of a record were made; those that state none are older."""
    return record.get("draws_by", OLDER)
