"""Time per layer of a flow against one size, precision or look-ahead at a time."""

import warnings

import torch

from kflow.engine.precisions import uses_mixed
from tests.bench.clock import Bench, Case
from tests.bench.problem import Problem, digits
from tests.bench.sizes import Sizes


def layer_case(
    bench: Bench,
    problem: Problem,
    n_fine: int,
    layers: int,
    precision: str = "float32",
    lookahead: int = 1,
    total: bool = False,
    **facts,
) -> Case:
    """Seconds per layer of `KernelFlow.run`, without what a run of no layers takes; or of all."""
    flow = problem.flow(n_fine, precision)

    def run(count):
        rng = torch.Generator().manual_seed(0)
        flow.run(problem.x, problem.y, count, rng, lookahead=lookahead)

    def seconds():
        start = bench.timed(run, 0)()
        return (bench.timed(run, layers)() - start) / (1 if total else layers)

    facts = {
        "case": "kflow",
        "n": len(problem.x),
        "n_fine": n_fine,
        "d": problem.width,
        "layers": layers,
        "precision": precision,
        "lookahead": lookahead,
    } | facts
    return Case(facts, seconds)


def precisions(device: torch.device) -> list[str]:
    """The precisions that this device computes in; without bf16 units mixed is float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixed = uses_mixed("mixed", device)
    return ["float64", "float32", *["mixed"] * mixed]


def points(bench: Bench, sizes: Sizes):
    """Against N."""
    for n in sizes.points:
        case = layer_case(bench, digits(n, device=bench.device), sizes.n_fine, sizes.layers)
        bench.compare("points", [case], sizes.repeats)


def batches(bench: Bench, sizes: Sizes):
    """Against N_f."""
    problem = digits(sizes.n, device=bench.device)
    cases = [layer_case(bench, problem, m, sizes.layers) for m in sizes.batches]
    bench.compare("batches", cases, sizes.repeats)


def widths(bench: Bench, sizes: Sizes):
    """Against d."""
    problems = [digits(sizes.n, width, bench.device) for width in sizes.widths]
    cases = [layer_case(bench, p, sizes.n_fine, sizes.layers) for p in problems]
    bench.compare("widths", cases, sizes.repeats)


def depths(bench: Bench, sizes: Sizes):
    """Against the number of layers: seconds of all of them together."""
    problem = digits(sizes.depths_n, device=bench.device)
    cases = [layer_case(bench, problem, sizes.n_fine, k, total=True) for k in sizes.depths]
    bench.compare("depths", cases, sizes.repeats)


def precision(bench: Bench, sizes: Sizes):
    """Against the precision of the positions."""
    problem = digits(sizes.n, device=bench.device)
    cases = [
        layer_case(bench, problem, sizes.n_fine, sizes.layers, name)
        for name in precisions(bench.device)
    ]
    bench.compare("precision", cases, sizes.repeats)


def ahead(bench: Bench, sizes: Sizes):
    """Against the look-ahead, for few and for many points."""
    for n in sizes.ahead_n:
        problem = digits(n, device=bench.device)
        cases = [
            layer_case(bench, problem, sizes.n_fine, sizes.ahead_layers, lookahead=ahead)
            for ahead in sizes.ahead
        ]
        bench.compare("ahead", cases, 2, warm=False)
