"""Make the paper-scale runs again and compare their errors with the published ones; takes hours."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from kflow.paper import experiments, runs
from kflow.reproduce.compare import Row
from kflow.reproduce.verify import Report


def add(report: Report, root: Path) -> Report:
    """The report with a row per error of each table of each paper-scale record."""
    rows = list(report.rows)
    for name in report.paper:
        experiment = experiments.EXPERIMENTS.get(name)
        if experiment is None:
            continue
        published = _read(root, name)
        reached = max(map(int, published))
        with TemporaryDirectory(dir=root / "_build") as folder:
            runs.run(name, experiment, Path(folder), stop=reached)
            again = _read(Path(folder), name)
        rows += compare(name, replace(experiment, layers=reached), published, again)
    others = [name for name in report.paper if name not in experiments.EXPERIMENTS]
    return Report(rows, others, report.elsewhere)


def compare(name: str, experiment: experiments.Experiment, old: dict, new: dict) -> list[Row]:
    """Averages over the tables within the layers run; each must lie in the published range."""
    rows = []
    for first, last, every in experiment.tables:
        if last > experiment.layers:
            continue
        for n in experiments.N_INTERP:
            before = [old[str(k)][f"error_{n}"] for k in range(first, last + 1, every)]
            after = fmean(new[str(k)][f"error_{n}"] for k in range(first, last + 1, every))
            low, high = min(before), max(before)
            verdict = "agrees" if low <= after <= high else "differs"
            label = f"error_{n} at {first}-{last}"
            allowed = f"{low:.4g} to {high:.4g}"
            rows.append(Row(name, label, "statistical", fmean(before), after, allowed, verdict))
    return rows


def _read(root: Path, name: str) -> dict:
    return json.loads((root / "book/records/paper" / f"{name}.json").read_text())["by_layer"]
