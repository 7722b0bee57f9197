"""What a run goes through to reach a layer: its stages, as data."""

from dataclasses import replace

from kflow.paper import runs
from kflow.paper.experiments import EXPERIMENTS

PLAIN = EXPERIMENTS["fashion-large-steps"]
LATER = replace(PLAIN, nugget=1.0, begins_as="fashion-large-steps", after=6_000)


def told(stages):
    return [(stage.name, stage.first, stage.last, stage.experiment.nugget) for stage in stages]


def test_a_run_of_one_kind_is_one_stage():
    assert told(runs.stages("run", PLAIN, 12_000)) == [("run", 0, 12_000, 1e-3)]


def test_a_run_that_begins_as_another_has_its_layers_first():
    assert told(runs.stages("run", LATER, 12_000)) == [
        ("run-first", 0, 6_000, 1e-3), ("run", 6_000, 12_000, 1.0)
    ]  # fmt: skip


def test_a_run_that_is_stopped_early_has_no_second_stage():
    assert told(runs.stages("run", LATER, 4_000)) == [("run-first", 0, 4_000, 1e-3)]
    assert told(runs.stages("run", LATER, 6_000)) == [("run-first", 0, 6_000, 1e-3)]


def test_every_observed_layer_is_observed_by_one_stage():
    stages = runs.stages("run", LATER, 12_000)
    seen = [stage.first + k for stage in stages for k in stage.observe_at()]
    first = set(replace(PLAIN, layers=6_000).observe_at())
    assert seen == sorted(first | {k for k in LATER.observe_at() if k > 6_000})
    assert len(seen) == len(set(seen)) and seen[0] == 0
