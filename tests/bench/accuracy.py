"""Displacement error of float32 and mixed against float64 on real digits, early and late.

Where the hardware has no bf16 matrix units, mixed is computed with the same rounding by float32
products. 5 % of the displacement, in the median, is the most that is allowed.
"""

import torch

import kflow
from kflow import data, game
from kflow.engine import transport
from kflow.engine.transport import Layer
from tests.bench.clock import Bench
from tests.bench.sizes import Sizes

NUGGETS = (1e-4, 1e-2, 1e-1)


def accuracy(bench: Bench, sizes: Sizes):
    """A row for each nugget, depth and precision: the errors on batch and on unseen points."""
    digits = data.mnist()
    moving = (digits.x != digits.x[0]).any(0)
    start, y = digits.x[: 5 * sizes.n_fine, moving], digits.y[: 5 * sizes.n_fine]
    unseen = digits.x_test[:1000, moving]
    kernel = kflow.Gaussian.for_points(start)
    step = kflow.MaxDisplacement(0.1 * kernel.gamma)
    for nugget in NUGGETS:
        flow = kflow.KernelFlow(kernel, sizes.n_fine, step, nugget)
        for depth in sizes.accuracy_layers:
            rng = torch.Generator().manual_seed(5)
            path = flow.run(start, y, depth, rng, carry=unseen)
            sample = kflow.draw(len(start), sizes.n_fine, rng)
            batch, labels = path.points[sample.fine], y[sample.fine].double()
            for precision in ("float32", "mixed"):
                z = (batch.bfloat16() if precision == "mixed" else batch).double()
                played = game.play(kernel, z, labels, sample.coarse, nugget)
                g = -played.gradient
                c = torch.cholesky_solve(g, played.factor)
                layer = Layer(z, step(z, g) * c)
                facts = {"nugget": nugget, "layers": depth, "precision": precision}
                facts["batch"] = displacement_error(kernel, layer, batch, precision)
                facts["unseen"] = displacement_error(kernel, layer, path.carried, precision)
                bench.add("accuracy", facts | {"c_over_g": float(c.norm() / g.norm())})


def displacement_error(kernel, layer: Layer, x, precision: str) -> float:
    """Median over the points x of |error| / |displacement|, against float64."""
    x = x.float().double()
    exact = moved(kernel, layer, x, torch.float64, False) - x
    found = moved(kernel, layer, x, torch.float32, precision == "mixed") - x
    return float(((found - exact).norm(dim=1) / exact.norm(dim=1)).median())


def moved(kernel, layer: Layer, x, dtype, mixed: bool):
    """The points x moved by a layer in an arithmetic, as float64."""
    points = x.to(dtype, copy=True)
    transport.move(points, None, [Layer(layer.z.to(dtype), layer.c.to(dtype))], kernel, mixed)
    return points.double()
