"""Which one stood for the ones: the draws of ten in the record of "mnist", played again.

The draws of an observation follow from the seed and the layer, so that they can be known after the
run. `python -m kflow.paper ones` writes book/records/paper/ones.json, and ones.npz with the images
of the drawn ones and of the test images that are wrong at the end.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from kflow.classify import classes, positions
from kflow.figures import provenance
from kflow.paper import baselines, observing
from kflow.paper.record import RECORDS, read_run, write
from kflow.paper.seeds import RULE, generator


def run(root: Path, load: Callable | None = None) -> dict:
    """Write and return, for every observed layer, the error of ten and the drawn one's slant.

    Raises FileNotFoundError without the record of "mnist" or without the full data.
    """
    folder = root / RECORDS
    mnist = read_run("mnist", root)
    if mnist is None:
        raise FileNotFoundError(f"no {folder}/mnist.json: make it first, make paper ONLY=mnist")
    x, y, x_test, y_test = (load or baselines.images)("mnist")
    seed, last = mnist.settings.seed, mnist.settings.layers
    drawn = torch.stack([ten(y, seed, k, mnist.draws_by)[1] for k in mnist.layers])
    record = {
        "name": "ones",
        "settings": {"of": "mnist", "seed": seed, "layers": last},
        "draws_by": mnist.draws_by,
        "commit": provenance.commit(),
        "layer": mnist.layers,
        "error_10": mnist.errors(10),
        "position": drawn.tolist(),
        "slant": slant(x[drawn].view(-1, 28, 28)).tolist(),
    }
    wrong = torch.from_numpy(mnist.arrays[f"wrong_{last}"])
    images = {
        "images": x[drawn],
        f"wrong_raw_{last}": x_test[wrong[:24]],
    }
    stored = {name: (255 * part).round().byte().numpy() for name, part in images.items()}
    stored[f"truth_{last}"] = classes(y_test)[wrong].numpy()
    write(folder / "ones.json", record, stored)
    return record


def ten(y: Float[Tensor, "n c"], seed: int, layer: int, rule: str = RULE) -> Tensor:
    """The positions of the ten labelled points that the observer drew at a layer."""
    rng = generator(seed, layer, rule)
    return [positions(y, n, n == 10, rng) for n in observing.N_INTERP][-1]


def slant(images: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """How far ink moves to the right per unit of height: the slope of a regression on the rows."""
    rows, columns = (torch.arange(float(size)) for size in images.shape[1:])
    ink = images.sum((1, 2))
    row, column = (images.sum(2) @ rows) / ink, (images.sum(1) @ columns) / ink
    height, right = row[:, None, None] - rows[:, None], columns - column[:, None, None]
    return (images * height * right).sum((1, 2)) / (images * height**2).sum((1, 2))
