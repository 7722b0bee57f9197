"""Which labelled points were drawn: the observations in the records of runs, played again.

The draws of an observation follow from the seed and the layer, so that they can be known after the
run. `python -m kflow.paper ones` writes book/records/paper/ones.json, and ones.npz: the digits that
stood for the ones among the ten of "mnist", with their images and the test images that are wrong at
the end, and how many classes the sixty had that runs drew uniformly.
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

SIXTY = ("mnist", "fashion-nugget-of-one", "fashion-small-steps")  # runs


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
    drawn = torch.stack([draws(y, seed, k, mnist.draws_by)[10][1] for k in mnist.layers])
    record = {
        "name": "ones",
        "settings": {"of": "mnist", "seed": seed, "layers": last},
        "draws_by": mnist.draws_by,
        "commit": provenance.commit(),
        "layer": mnist.layers,
        "error_10": mnist.errors(10),
        "position": drawn.tolist(),
        "slant": slant(x[drawn].view(-1, 28, 28)).tolist(),
        "sixty": sixty(root, load or baselines.images),
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


def draws(y: Float[Tensor, "n c"], seed: int, layer: int, rule: str = RULE) -> dict[int, Tensor]:
    """The positions of the labelled points that the observer drew at a layer, by their number."""
    rng = generator(seed, layer, rule)
    return {n: positions(y, n, n == 10, rng) for n in observing.N_INTERP}


def sixty(root: Path, load: Callable) -> dict[str, dict]:
    """Of the runs that there are: the error with sixty by layer, and the classes of the sixty."""
    found = {}
    for name in SIXTY:
        if (known := read_run(name, root)) is not None:
            _, y, *_ = load(known.settings.dataset)
            seed, rule = known.settings.seed, known.draws_by
            drawn = [draws(y, seed, k, rule)[60] for k in known.layers]
            counts = [len(classes(y[each]).unique()) for each in drawn]
            found[name] = {"layer": known.layers, "error": known.errors(60), "classes": counts}
    return found


def slant(images: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """How far ink moves to the right per unit of height: the slope of a regression on the rows."""
    rows, columns = (torch.arange(float(size)) for size in images.shape[1:])
    ink = images.sum((1, 2))
    row, column = (images.sum(2) @ rows) / ink, (images.sum(1) @ columns) / ink
    height, right = row[:, None, None] - rows[:, None], columns - column[:, None, None]
    return (images * height * right).sum((1, 2)) / (images * height**2).sum((1, 2))
