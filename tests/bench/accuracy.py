"""Displacement error of float32 and mixed against float64 on real digits, early and late.

python -m tests.bench.accuracy prints the table and writes tests/bench/accuracy.json. Where the
hardware has no bf16 matrix units, mixed is computed with the same rounding by float32 products.
"""

import json
from pathlib import Path

import torch

import kflow
from kflow import data, game, transport
from kflow.transport import Layer

LAYERS = (0, 500)
NUGGETS = (1e-4, 1e-2, 1e-1)


def moved(kernel, layer, x, dtype, mixed):
    points = x.to(dtype, copy=True)
    transport.move(points, None, [Layer(layer.z.to(dtype), layer.c.to(dtype))], kernel, mixed)
    return points.double()


def displacement_error(kernel, layer, x, precision):
    """Median over the points x of |error| / |displacement|, against float64."""
    mixed, dtype = precision == "mixed", torch.float32
    x = x.to(dtype).double()
    exact = moved(kernel, layer, x, torch.float64, False) - x
    found = moved(kernel, layer, x, dtype, mixed) - x
    return float(((found - exact).norm(dim=1) / exact.norm(dim=1)).median())


def measure():
    """A row for each depth, nugget and precision: the errors on batch and on unseen points."""
    digits = data.mnist()
    moving = (digits.x != digits.x[0]).any(0)
    start, y = digits.x[:3000, moving], digits.y[:3000]
    unseen = digits.x_test[:1000, moving]
    kernel = kflow.Gaussian.for_points(start)
    step = kflow.MaxDisplacement(0.1 * kernel.gamma)
    for nugget in NUGGETS:
        flow = kflow.KernelFlow(kernel, 600, step, nugget)
        for depth in LAYERS:
            rng = torch.Generator().manual_seed(5)
            path = flow.run(start, y, depth, rng, carry=unseen)
            sample = kflow.draw(len(start), 600, rng)
            for precision in ("float32", "mixed"):
                z = path.points[sample.fine]
                z = (z.bfloat16() if precision == "mixed" else z).double()
                played = game.play(kernel, z, y[sample.fine].double(), sample.coarse, nugget)
                g = -played.gradient
                layer = Layer(z, step(z, g) * torch.cholesky_solve(g, played.factor))
                batch = path.points[sample.fine]
                yield {
                    "nugget": nugget,
                    "layers": depth,
                    "precision": precision,
                    "batch": displacement_error(kernel, layer, batch, precision),
                    "unseen": displacement_error(kernel, layer, path.carried, precision),
                    "c_over_g": float(torch.cholesky_solve(g, played.factor).norm() / g.norm()),
                }


def main():
    rows = []
    for row in measure():
        rows.append(row)
        print("  ".join(f"{k} {v:.3g}" if k != "precision" else v for k, v in row.items()))
    target = Path("tests/bench/accuracy.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
