"""Draw the picture of the README and of links to the book: a Swiss roll, and where it flows.

`python book/card.py` writes book/_static/card.png, with settings of the chapter on the roll.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

import kflow
from kflow import data

CARD = Path(__file__).resolve().parent / "_static" / "card.png"
LAYERS = (0, 250, 2200)


def main():
    """Flow, draw and write the picture, 1200 x 630 pixels as link previews want it."""
    torch.set_num_threads(1)
    x, y = data.swiss_roll(100, rng=torch.Generator().manual_seed(0))
    step = kflow.RelativeDisplacement(0.2)
    flow = kflow.KernelFlow(kflow.Gaussian(0.5), len(x), step, 0.1, "float64")
    path = flow.run(
        x,
        y,
        LAYERS[-1],
        torch.Generator().manual_seed(3),
        observe_at=LAYERS,
        observe=lambda state: {"points": state.points},
    )
    fig, axes = plt.subplots(1, 3, figsize=(12, 6.3), dpi=100, facecolor="#fbfcfd")
    plus = y[:, 0] > 0
    for ax, layers in zip(axes, LAYERS, strict=True):
        points = path.observed[layers]["points"]
        for arm, hue in ((plus, "#0072b2"), (~plus, "#e69f00")):
            ax.scatter(*points[arm].T, s=42, color=hue, linewidths=0)
        reach = 1.1 * points.abs().max()
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        ax.set_title(f"{layers} layers", fontsize=17, color="#445")
        ax.axis("off")
    fig.suptitle("Kernel Flows", fontsize=40, x=0.05, y=0.93, ha="left", color="#0b3c5d")
    fig.text(0.05, 0.06, "kernels learned by halving the data", fontsize=19, color="#445")
    fig.subplots_adjust(left=0.03, right=0.97, bottom=0.12, top=0.8, wspace=0.06)
    fig.savefig(CARD, metadata={"Software": None})


if __name__ == "__main__":
    main()
