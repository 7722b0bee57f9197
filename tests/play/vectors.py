"""Games played by kflow, for the game of the book to be compared with.

`python tests/play/vectors.py FILE` writes them as JSON. The points are spread so that the condition
number of every Gram matrix is below 1e4, where the numbers must agree to 1e-10.
"""

import json
import sys
from pathlib import Path

import torch

from kflow import Gaussian, KernelFlow, MaxDisplacement, draw, interpolate, rho_and_gradient

WIDEST_CONDITION = 1e4
# points, gamma, nugget
GAMES = [
    (2, 1.0, 0.0),
    (6, 2.0, 0.0),
    (20, 1.5, 0.0),
    (40, 0.9, 1e-2),
    (100, 0.6, 0.0),
    (250, 0.6, 1e-2),
]
LAYERS = 3
DELTA = 0.05


def spread(n, rng):
    """n points in a square of half width 2, the closest two as far apart as a grid allows."""
    side = int(n**0.5) + 1
    cells = torch.randperm(side * side, generator=rng)[:n]
    place = torch.stack([cells // side, cells % side], dim=1).double()
    return (place + 0.3 * torch.rand(n, 2, generator=rng, dtype=torch.float64)) * (4 / side) - 2


def game(seed, n, gamma, nugget):
    """One game as kflow plays it: rho, its gradient, interpolants and three layers."""
    rng = torch.Generator().manual_seed(seed)
    z, y = spread(n, rng), torch.randint(0, 2, (n, 1), generator=rng).double() * 2 - 1
    elsewhere = 4 * torch.rand(5, 2, generator=rng, dtype=torch.float64) - 2
    kernel = Gaussian(gamma)
    gram = kernel(z, z) + nugget * torch.eye(n)
    condition = torch.linalg.cond(gram).item()
    if condition >= WIDEST_CONDITION:
        raise ValueError(f"the condition number {condition:.0f} of game {seed} is too large")
    coarse = draw(n, n, rng).coarse
    value, gradient = rho_and_gradient(kernel, z, y, coarse, nugget)
    fine = interpolate(kernel, z, y, nugget)
    half = interpolate(kernel, z[coarse], y[coarse], nugget)
    state = rng.get_state()
    path = KernelFlow(kernel, n, MaxDisplacement(DELTA), nugget, precision="float64").run(
        z, y, LAYERS, rng, carry=elsewhere
    )
    return {
        "gamma": gamma,
        "nugget": nugget,
        "delta": DELTA,
        "condition": condition,
        "points": z.tolist(),
        "labels": y[:, 0].tolist(),
        "coarse": coarse.tolist(),
        "rho": value.item(),
        "gradient": gradient.tolist(),
        "energies": [fine.energy, half.energy],
        "elsewhere": elsewhere.tolist(),
        "fine": fine(elsewhere)[:, 0].tolist(),
        "half": half(elsewhere)[:, 0].tolist(),
        "halves": halves(n, state),
        "moved": path.points.tolist(),
        "carried": path.carried.tolist(),
        "rhos": path.rho.tolist(),
    }


def halves(n, state):
    """The halves that the flow draws from this state of its generator, as indices of points."""
    rng = torch.Generator()
    rng.set_state(state)
    samples = [draw(n, n, rng) for _ in range(LAYERS)]
    return [sample.fine[sample.coarse].tolist() for sample in samples]


def main(path):
    """Write the games to a file."""
    torch.set_num_threads(1)
    games = [game(seed, *settings) for seed, settings in enumerate(GAMES)]
    Path(path).write_text(json.dumps(games), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
