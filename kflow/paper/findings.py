"""What the study and the remedies found: the effect of one setting, the errors by remedy."""

from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

from kflow import checks

with checks.extra("notebooks"):
    import pandas as pd

FACTORS = {  # of the study, and how they are called; "step" is the rule with its delta
    "gamma_factor": "bandwidth over s",
    "nugget": "nugget",
    "step": "step",
    "n_fine": "points in a game",
}


class Effect(NamedTuple):
    """One configuration of the study: mean error by N_I of each seed, after the last layer."""

    settings: dict
    errors: dict[int, list[float]]

    def mean(self, n: int) -> float:
        """The error with n labelled points, mean over seeds."""
        return fmean(self.errors[n])

    def label(self, factor: str) -> str:
        """The value of a factor as it is written beside an axis."""
        if factor == "step":
            return f"{self.settings['delta']:g}{' s' if self.settings['rule'] == 'max' else ' |x|'}"
        return f"{round(self.settings[factor], 3):g}"


def effects(record: Mapping, dataset: str, layer: int | None = None) -> list[Effect]:
    """What the study found on a data set at a layer, by default the last.

    Flows that broke before the last layer are left out.
    """
    last = str(max(record["settings"]["layers"]))
    at = last if layer is None else str(layer)
    found: dict[str, Effect] = {}
    for run in record["runs"]:
        settings = run["configuration"]
        if settings["dataset"] != dataset or last not in run["by_layer"]:
            continue
        for n, _ in record["settings"]["reads"]:
            errors = found.setdefault(str(settings), Effect(settings, {})).errors
            errors.setdefault(n, []).append(fmean(run["by_layer"][at][f"errors_{n}"]))
    return list(found.values())


def by_factor(found: list[Effect]) -> dict[str, list[Effect]]:
    """By factor: what differs from the first in that factor alone, and the first; in order."""
    base = found[0].settings
    grouped = {}
    for factor in FACTORS:
        others = [g for g in FACTORS if g != factor]
        same = [e for e in found if all(_value(e.settings, g) == _value(base, g) for g in others)]
        grouped[factor] = sorted(same, key=lambda e: _value(e.settings, factor))
    return grouped


def advice(grouped: Mapping[str, list[Effect]], n: int) -> str:
    """A sentence: the value of each factor with the least mean error with n labelled points."""
    told = []
    for factor, found in grouped.items():
        first = min(found, key=lambda effect: effect.mean(n))
        told.append(f"{FACTORS[factor]} {first.label(factor)} ({first.mean(n):.2%})")
    seeds = len(first.errors[n])
    return f"With {n} labelled images the least means of {seeds} seeds are {'; '.join(told)}."


def by_remedy(record: Mapping, n: int, dataset: str = "mnist") -> dict[str, pd.DataFrame]:
    """By remedy of `kflow.paper.late`: errors with n labelled points, by layer (rows) and seed."""
    found: dict[str, dict] = {}
    for run in record["runs"]:
        if run["remedy"].get("dataset", "mnist") != dataset:
            continue
        read = {int(k): fmean(v[f"errors_{n}"]) for k, v in run["by_layer"].items()}
        found.setdefault(run["name"], {})[run["seed"]] = read
    return {name: pd.DataFrame(seeds) for name, seeds in found.items()}


def by_trial(record: Mapping, dataset: str, n: int) -> dict[str, dict[int, float]]:
    """By trial of `kflow.paper.search` on a data set: errors with n labelled points, by layer."""
    found = {}
    for run in record["runs"]:
        settings = run["settings"]
        if settings["dataset"] == dataset and run["finished"]:
            label = f"gamma {settings['gamma']:.3g} s, step {settings['delta']:g} s"
            read = {int(k): fmean(each[f"error_{n}"]) for k, each in run["by_layer"].items()}
            found[label.replace("0.707", "0.71")] = read
    return found


def _value(settings: dict, factor: str):
    return (settings["rule"], settings["delta"]) if factor == "step" else settings[factor]
