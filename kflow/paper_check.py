"""Make the paper-scale runs again and compare their errors with the published ones; takes hours."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from kflow import paper
from kflow.compare import Row
from kflow.verify import Report


def add(report: Report, root: Path) -> Report:
    """The report with a row per error of each table of each paper-scale record."""
    rows = list(report.rows)
    for name in report.paper:
        experiment = paper.EXPERIMENTS.get(name)
        if experiment is None:
            continue
        published = _read(root, name)
        experiment = replace(experiment, layers=max(map(int, published)))
        with TemporaryDirectory(dir=root / "_build") as folder:
            paper.run(name, experiment, Path(folder))
            again = _read(Path(folder), name)
        rows += compare(name, experiment, published, again)
    again = [name for name in report.paper if name not in paper.EXPERIMENTS]
    return Report(rows, again, report.elsewhere)


def compare(name: str, experiment: paper.Experiment, old: dict, new: dict) -> list[Row]:
    """Averages over the tables within the layers run; each must lie in the published range."""
    rows = []
    for first, last, every in experiment.tables:
        if last > experiment.layers:
            continue
        for n in paper.N_INTERP:
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
