"""The parts of a layer beside what the machine itself can do: its matrix products, its memory."""

import numpy as np
import torch
import torch.nn.functional as F

from kflow import game
from kflow.engine import transport
from kflow.engine.transport import Layer
from tests.bench.clock import Bench, Case
from tests.bench.layers import layer_case, precisions
from tests.bench.problem import Problem, digits
from tests.bench.sizes import Sizes


def games(bench: Bench, sizes: Sizes):
    """The game alone, against N_f and against d: all that a layer does but the transport."""
    whole = digits(sizes.n, device=bench.device)
    asked = [(whole, n_fine) for n_fine in sorted({sizes.n_fine, *sizes.batches})]
    asked += [(digits(sizes.n, width, bench.device), sizes.n_fine) for width in sizes.widths]
    cases = []
    for problem, n_fine in asked:
        facts = {"case": "game", "n_fine": n_fine, "d": problem.width}
        cases.append(Case(facts, bench.timed(_game(problem, n_fine))))
    bench.compare("games", cases, sizes.repeats)


def parts(bench: Bench, sizes: Sizes):
    """A layer, its game and its transport, and the two bare products by every library here."""
    problem = digits(sizes.n, device=bench.device)
    x = problem.x[:, problem.moving].contiguous()
    z = x[: sizes.n_fine].clone()
    play = _game(problem, sizes.n_fine)
    c = play().to(x)
    facts = {"n": sizes.n, "n_fine": sizes.n_fine, "d": x.shape[1]}
    flop = 4 * sizes.n * sizes.n_fine * x.shape[1]
    cases = [Case({"case": "game", **facts}, bench.timed(play))]
    for name in precisions(bench.device):
        cases.append(layer_case(bench, problem, sizes.n_fine, sizes.layers, name, case="layer"))
        dtype = torch.float64 if name == "float64" else torch.float32
        layer, points = Layer(z.to(dtype), c.to(dtype)), x.to(dtype, copy=True)
        work = (points, None, [layer], problem.kernel, name == "mixed")
        told = {"case": "transport", **facts, "precision": name, "flop": flop}
        cases.append(Case(told, bench.timed(transport.move, *work)))
    rows = transport.block_rows(x.shape[1], sizes.n_fine, x.device)
    k, c_t = torch.rand(rows, sizes.n_fine).to(x), c.mT.contiguous()
    for library, product in libraries(bench.device).items():
        told = {"case": "products", "library": library, **facts, "flop": flop}
        cases.append(Case(told, bench.timed(_products, product, x, z, k, c_t)))
    bench.compare("parts", cases, sizes.repeats)


def _game(problem: Problem, n_fine: int):
    """A function that plays a game on the first points and returns c of the layer."""
    x = problem.x[:n_fine, problem.moving].double()
    y = problem.y[:n_fine].double()
    coarse = torch.arange(n_fine // 2, device=x.device)

    def play():
        played = game.play(problem.kernel, x, y, coarse, problem.nugget)
        g = -played.gradient
        return problem.step(x, g) * torch.cholesky_solve(g, played.factor)

    return play


def machine(bench: Bench, sizes: Sizes):
    """Rates of the machine: a large square product, and a copy and a sum of long vectors."""
    side = torch.rand(sizes.square, sizes.square).to(bench.device)
    cases = [
        Case(
            {"case": "square product", "library": name, "flop": 2 * sizes.square**3},
            bench.timed(product, side, side),
        )
        for name, product in libraries(bench.device).items()
    ]
    a, b, out = (torch.rand(sizes.stream).to(bench.device) for _ in range(3))
    cases.append(Case({"case": "copy", "bytes": 8 * sizes.stream}, bench.timed(out.copy_, a)))
    add = bench.timed(lambda: torch.add(a, b, alpha=2.0, out=out))
    cases.append(Case({"case": "sum", "bytes": 12 * sizes.stream}, add))
    bench.compare("machine", cases, sizes.repeats)


def libraries(device: torch.device) -> dict:
    """The ways to x @ w.T in float32 that this machine has, by the name of the library."""
    if device.type == "cuda":
        halves = lambda x, w: F.linear(x.bfloat16(), w.bfloat16())  # noqa: E731
        return {"cuBLAS float32": F.linear, "cuBLAS bf16": halves}
    found = {"OpenBLAS": lambda x, w: np.dot(x.numpy(), w.numpy().T)}
    if torch.backends.mkl.is_available():
        found["MKL"] = F.linear
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        found["oneDNN"] = lambda x, w: torch.ops.mkldnn._linear_pointwise(
            x, w, None, "none", [], ""
        )
    return found


def _products(product, x, z, k, c_t):
    """x @ z.T and k @ c for every block of rows of x."""
    for block in x.split(len(k)):
        product(block, z)
        product(k[: len(block)], c_t)
