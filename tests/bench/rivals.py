"""kflow and its peers on the same data in the same run: layer, transport, classification."""

import importlib.util

import torch

import kflow
from kflow.engine import transport
from kflow.engine.transport import Layer
from tests.bench.clock import Bench, Case
from tests.bench.layers import layer_case, precisions
from tests.bench.peers import numpy_layer, sklearn_classify, torch_layer
from tests.bench.problem import digits
from tests.bench.sizes import Sizes


def layer(bench: Bench, sizes: Sizes):
    """One layer, game and all."""
    problem = digits(sizes.n, device=bench.device)
    x, y = problem.x, problem.y
    fine, coarse = kflow.draw(sizes.n, sizes.n_fine, torch.Generator().manual_seed(0))
    settings = (problem.kernel.gamma, problem.step.delta, problem.nugget)
    cases = [
        layer_case(bench, problem, sizes.n_fine, sizes.layers, name)
        for name in precisions(bench.device)
    ]
    draw = (fine.to(x.device), coarse.to(x.device))
    work = (torch_layer.layer, x, y, *draw, *settings)
    cases.append(Case({"case": "torch", "precision": "float32"}, bench.timed(*work)))
    if bench.device.type == "cpu":
        arrays = (x.double().numpy(), y.double().numpy(), fine.numpy(), coarse.numpy())
        work = (numpy_layer.layer, *arrays, *settings)
        cases.append(Case({"case": "NumPy", "precision": "float64"}, bench.timed(*work)))
    facts = {"n": sizes.n, "n_fine": sizes.n_fine, "d": problem.width}
    bench.compare("peers: layer", [c._replace(facts=facts | c.facts) for c in cases], sizes.repeats)


def motion(bench: Bench, sizes: Sizes):
    """The transport alone: x + K(x, z) c."""
    problem = digits(sizes.n, device=bench.device)
    x, gamma = problem.x[:, problem.moving].contiguous(), problem.kernel.gamma
    z = x[: sizes.n_fine].clone()
    c = 1e-6 * torch.randn(z.shape, generator=torch.Generator().manual_seed(0)).to(x)
    cases = []
    for name in precisions(bench.device):
        dtype = torch.float64 if name == "float64" else torch.float32
        layers = [Layer(z.to(dtype), c.to(dtype))]
        work = (transport.move, x.to(dtype, copy=True), None, layers, problem.kernel)
        told = {"case": "kflow", "precision": name}
        cases.append(Case(told, bench.timed(*work, name == "mixed")))
    work = (torch_layer.transport, x, z, c, gamma)
    cases.append(Case({"case": "torch", "precision": "float32"}, bench.timed(*work)))
    if bench.device.type == "cpu":
        arrays = (x.double().numpy(), z.double().numpy(), c.double().numpy(), gamma)
        told = {"case": "NumPy", "precision": "float64"}
        cases.append(Case(told, bench.timed(numpy_layer.transport, *arrays)))
    if importlib.util.find_spec("pykeops"):
        from tests.bench.peers import keops_transport

        work = (keops_transport.transport, x, z, c, gamma)
        cases.append(Case({"case": "KeOps", "precision": "float32"}, bench.timed(*work)))
    facts = {"n": sizes.n, "n_fine": sizes.n_fine, "d": x.shape[1]}
    cases = [case._replace(facts=facts | case.facts) for case in cases]
    bench.compare("peers: transport", cases, min(sizes.repeats, 3))


def classification(bench: Bench, sizes: Sizes):
    """The error of an interpolant on N_I points, read on `sizes.read` others."""
    for kept in sizes.kept:
        problem = digits(kept + sizes.read, device=bench.device)
        x, y = problem.x, problem.y
        sets = (x[:kept], y[:kept], x[kept:], y[kept:])
        gamma, nugget = problem.kernel.gamma, problem.nugget

        def ours(sets=sets, kernel=problem.kernel, nugget=nugget):
            kflow.error_rate(kernel, *sets, len(sets[0]), torch.Generator().manual_seed(0), nugget)

        facts = {"n": kept, "read": sizes.read, "d": problem.width}
        cases = [Case({"case": "kflow", "precision": "float64", **facts}, bench.timed(ours))]
        for name in ("float64", "float32") if bench.device.type == "cpu" else ():
            arrays = [t.to(getattr(torch, name)).numpy() for t in sets]
            work = (sklearn_classify.error_rate, *arrays, gamma, nugget)
            told = {"case": "scikit-learn", "precision": name, **facts}
            cases.append(Case(told, bench.timed(*work)))
        bench.compare("peers: classification", cases, min(sizes.repeats, 3))
