"""The talk's tables beside ours: errors over layers, verdicts, baselines, and what the study says.

All of it is read from the records of `kflow.paper`; what was not run is said, with its cost.
"""

from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from statistics import fmean

from scipy.stats import binomtest

from kflow import checks
from kflow.classify import error_table
from kflow.paper import late, study
from kflow.paper.experiments import EXPERIMENTS, N_INTERP, SEEDS
from kflow.paper.record import OtherSettings, Run, cost, read_record, read_run

with checks.extra("notebooks"):
    import pandas as pd

COLUMNS = ("average", "min", "max", "std")
TALK = {  # the talk's three tables: rows N_I
    "M": ((0.014, 0.0136, 0.0143, 1.44e-4), (0.014, 0.0137, 0.0142, 9.79e-5),
          (0.0141, 0.0136, 0.0146, 2.03e-4), (0.015, 0.0136, 0.0177, 7.13e-4)),
    "F-a": ((0.0969, 0.0944, 0.1, 7.56e-4), (0.0977, 0.0951, 0.101, 8.57e-4),
            (0.114, 0.0958, 0.22, 0.0169), (0.444, 0.15, 0.722, 0.096)),
    "F-b": ((0.10023, 0.0999, 0.1006, 1.6316e-4), (0.10013, 0.0999, 0.1004, 1.1671e-4),
            (0.10018, 0.0999, 0.1005, 1.445e-4), (0.10018, 0.0996, 0.1009, 2.2941e-4)),
}  # fmt: skip
TEST_IMAGES = 10_000  # of either set
METHODS = {  # that know all training points
    "neighbours": "nearest neighbours, all training images",
    "all_ridge": "kernel ridge, all training images",
}


def talk(name: str) -> pd.DataFrame:
    """The talk's table "M", "F-a" or "F-b": shares of wrong test images."""
    return pd.DataFrame(TALK[name], pd.Index(N_INTERP, name="N_I"), COLUMNS)


def over(run: Run, first: int, last: int) -> pd.DataFrame:
    """Our table over the observed layers from first to last of a run."""
    return error_table({k: run.at[k].errors for k in run.layers if first <= k <= last})


def tables(run: Run) -> list[tuple[int, int]]:
    """The ranges of layers that a run tabulates and has reached; else its last thousand."""
    deepest = run.layers[-1]
    reached = [(a, b) for a, b, _ in run.settings.tables if b <= deepest]
    return reached or [(max(deepest - 1000, 0), deepest)]


def verdicts(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.Series:
    """Whether our average lies within the talk's least and largest value, below or above."""
    said = pd.Series("within", ours.index)
    said[ours["average"] < theirs["min"]] = "below"
    said[ours["average"] > theirs["max"]] = "above"
    return said


def beside(
    name: str, experiment: str, first: int, last: int, start: Path | None = None, judge: bool = True
) -> pd.DataFrame:
    """The talk's table `name` and ours at those layers, in percent, or "not run" and its cost.

    With judge=False, for a run of another kind than the talk's, there is no verdict.
    """
    theirs = talk(name)
    run = read_run(experiment, start)
    if run is None or run.layers[-1] < last:
        layers = EXPERIMENTS[experiment].layers
        parts = {"talk (%)": percent(theirs), "ours": theirs[[]].assign(average="not run")}
        parts["a run takes"] = theirs[[]].assign(**{f"{layers} layers": cost(layers, start)})
    else:
        ours = over(run, first, last)
        parts = {"talk (%)": percent(theirs), f"ours (%), layers {first} to {last}": percent(ours)}
        if judge:
            parts["average, and the talk's range"] = verdicts(ours, theirs).to_frame("")
    return pd.concat(parts, axis=1).rename(index=lambda n: f"{n} labelled").rename_axis(None)


def wide(base: str, start: Path | None = None) -> dict[int, tuple[int, int, pd.DataFrame]]:
    """By seed of a run with a wider kernel: first and last layer of its table, and the table."""
    found = {}
    for seed in SEEDS:
        if run := read_run(f"{base}-{seed}", start):
            first, last = tables(run)[-1]
            found[seed] = first, last, over(run, first, last)
    return found


def along(run: Run) -> dict[int, Mapping[int, float]]:
    """The errors of a run by layer and N_I, every 500 layers."""
    return {k: reading.errors for k, reading in run.at.items() if k % 500 == 0}


def percent(table: pd.DataFrame) -> pd.DataFrame:
    """Fractions as percentages, to three digits after the point."""
    return (100 * table).round(3)


def end_beside(name: str, experiment: str, start: Path | None = None) -> pd.DataFrame:
    """The talk's table `name` beside the end of a run of another kind, without a verdict."""
    run = read_run(experiment, start)
    if run is None:
        return not_run(experiment, start)
    return beside(name, experiment, *tables(run)[-1], start, judge=False)


def without_flow(dataset: str, start: Path | None = None) -> dict[str, float] | None:
    """Errors without a flow, by name ("layer_0 6000", "neighbours", "all_ridge"); None if not run.

    Parts that were not run are absent.
    """
    record = read_record("baselines", start)
    if record is None:
        return None
    found: dict[str, float] = {}
    for name, part in record[0]["parts"].items():
        of, method = name.split()
        if of == dataset:
            test = part["test"]
            draws = test if isinstance(test, dict) else {"": [test]}
            found |= {f"{method} {n}".strip(): fmean(errors) for n, errors in draws.items()}
    return found


def paired(run: Run, dataset: str, method: str, start: Path | None = None) -> dict[str, float]:
    """The end of a run beside a method without a flow, by `mcnemar`.

    Empty where no record holds the misclassified images.
    """
    record = read_record("baselines", start)
    part = record[0]["parts"].get(f"{dataset} {method}", {}) if record else {}
    return mcnemar(wrong_at_end(run), set(part["wrong"])) if "wrong" in part else {}


def wrong_at_end(run: Run) -> set[int]:
    """The test images that a run misclassifies at its end, with 600 labelled images."""
    return set(run.arrays[f"wrong_{run.layers[-1]}"].tolist())


def mcnemar(ours: set[int], theirs: set[int]) -> dict[str, float]:
    """Two sets of misclassified test images, compared image by image.

    How many are in one alone, the 95 % interval of the difference of the errors, and the p of
    McNemar's exact test.
    """
    flow, other = len(ours - theirs), len(theirs - ours)
    difference = flow - other
    half_width = 1.96 * sqrt(flow + other - difference**2 / TEST_IMAGES)
    return {
        "flow_alone": flow,
        "other_alone": other,
        "low": (difference - half_width) / TEST_IMAGES,
        "high": (difference + half_width) / TEST_IMAGES,
        "p": float(binomtest(flow, flow + other).pvalue),
    }


def baselines_table(found: Mapping[str, float] | None) -> pd.DataFrame:
    """`without_flow` as a table, or that it was not run."""
    if not found:
        return not_run("baselines")
    missing = {name: "not run, for want of memory or time" for name in METHODS if name not in found}
    told = {name: round(100 * error, 3) for name, error in found.items()} | missing
    return pd.DataFrame({"test error (%)": {method(name): said for name, said in told.items()}})


def method(name: str) -> str:
    """A method of `without_flow` in words."""
    if name in METHODS:
        return METHODS[name]
    return f"no flow, best settings, {name.removeprefix('layer_0 ')} labelled"


def not_run(name: str, start: Path | None = None) -> pd.DataFrame:
    """A table of one row that says so, with the command and what it takes."""
    takes = "about half an hour, 11 GB of memory"
    if name == "study":
        layers = len(study.SEEDS) * len(study.CONFIGURATIONS) * max(study.Scale().layers)
        takes = cost(layers * study.Scale().points // 60_000, start)
    elif name == "late":
        layers = late.SHARED + len(late.REMEDIES) * (max(late.SCALE.layers) - late.SHARED)
        takes = cost(len(study.SEEDS) * layers * late.SCALE.points // 60_000, start)
    elif name in EXPERIMENTS:
        takes = cost(EXPERIMENTS[name].layers, start)
    told = {"ours": "not run", "command": f"make paper ONLY={name}", "takes": takes}
    return pd.DataFrame(told, index=[name])


def lacking(name: str, first: int, last: int, start: Path | None = None) -> dict[str, float]:
    """Of a run's draws of sixty at some layers: how many lack a class, and what these misclassify.

    `least` is the least error of those that lack one, `others` the largest of all others. Empty
    where the draws were not played again, or none lacks a class.
    """
    found = read_record("ones", start)
    replayed = found[0]["sixty"].get(name) if found else None
    if replayed is None:
        return {}
    rows = pd.DataFrame(replayed).query("@first <= layer <= @last")
    lack = rows["classes"] < 10
    if not lack.any():
        return {}
    least, others = rows["error"][lack].min(), rows["error"][~lack].max()
    return {"lacking": int(lack.sum()), "lacking_least": least, "lacking_others": others}


def ones(start: Path | None = None) -> tuple[dict, dict] | None:
    """The record of `kflow.replay`; None without it. OtherSettings where it is of another run."""
    found, mnist = read_record("ones", start), read_run("mnist", start)
    if found is None or mnist is None:
        return None
    of, now = found[0]["settings"]["layers"], mnist.settings.layers
    if of != now:
        raise OtherSettings(
            f"ones.json is of a run of {of} layers, mnist.json has {now}: make paper ONLY=ones"
        )
    return found
