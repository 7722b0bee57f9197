"""Classify with a few interpolation points, and tabulate the errors over layers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks
from kflow.interpolation import Kernel, interpolate, rows_of

if TYPE_CHECKING:
    import pandas


def error_rate(
    kernel: Kernel,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n c"],
    x_test: Float[Tensor, "m d"],
    y_test: Float[Tensor, "m c"],
    n_interp: int,
    rng: torch.Generator,
    nugget: float = 0.0,
    per_class: bool = False,
) -> float:
    """Fraction of wrong labels of the interpolant on n_interp of the points, drawn with rng.

    Drawn uniformly, or n_interp / c of each class. One output (c = 1) is classified by its sign,
    so its labels are of both signs, +1 and -1 say; more by the largest. Raises ValueError on bad
    arguments, NotPositiveDefinite on coincident points without a nugget.
    """
    checks.points_and_labels(x, y)
    checks.points_and_labels(x_test, y_test, "x_test", "y_test", x.shape[1], y.shape[1])
    _have_signs("y", y)
    _have_signs("y_test", y_test)
    checks.same_place("x_test", x_test, "x", x)
    checks.integer("n_interp", n_interp, least=1, most=len(x))
    checks.generator(rng)
    if len(x_test) == 0:
        raise ValueError("x_test is empty, so there is nothing to classify")
    drawn = positions(y, n_interp, per_class, rng).to(x.device)
    with rows_of(x):
        predicted = interpolate(kernel, x[drawn], y[drawn], nugget)(x_test)
    wrong = classes(predicted) != classes(y_test)
    return float(wrong.double().mean())


def _have_signs(name: str, y: Float[Tensor, "n c"]):
    """Refuse one column of labels that their signs do not tell apart, such as 0 and 1."""
    if y.shape[1] > 1 or not len(y):
        return
    low, high = (float(end) for end in y.aminmax())
    zero = bool((y == 0).any())
    if zero or low != high and (low > 0) == (high > 0):
        raise ValueError(
            f"{name} of one column is classified by its sign, but holds labels from {low:g} to "
            f"{high:g}{', 0 among them' * zero}; take +1 and -1, or a column of 0 "
            f"and 1 for each class"
        )


def classes(y: Float[Tensor, "n c"]) -> Tensor:
    """The class of each row: its sign where c = 1 (0 or 1), its largest column otherwise."""
    return (y[:, 0] > 0).long() if y.shape[1] == 1 else y.argmax(dim=1)


def error_table(rates: Mapping[int, Mapping[int, float]]) -> "pandas.DataFrame":
    """Rows N_I; columns average, min, max, std (n - 1) of the error rates over a range of layers.

    rates[layer][n_interp] is what `error_rate` returned at that layer; every layer must hold the
    same n_interp.
    """
    with checks.extra("notebooks"):
        import pandas as pd

    _check_rates(rates)
    table = pd.DataFrame(rates).T
    if table.isna().any(axis=None):
        layer = table.index[table.isna().any(axis=1)][0]
        raise ValueError(f"rates at layer {layer} lack some N_I that other layers have")
    table = table.agg(["mean", "min", "max", "std"]).T
    table.columns = ["average", "min", "max", "std"]
    table.index.name = "N_I"
    return table.sort_index(ascending=False)


def _check_rates(rates):
    if not isinstance(rates, Mapping) or not all(isinstance(r, Mapping) for r in rates.values()):
        raise TypeError(f"rates must be rates[layer][n_interp], not {rates!r}")
    if not any(rates.values()):
        raise ValueError("rates is empty: give the error rates of at least one layer")
    for layer, by_size in rates.items():
        for size, rate in by_size.items():
            checks.number(f"rates[{layer!r}][{size!r}]", rate, least=0, most=1)


def draw_per_class(y: Float[Tensor, "n c"], size: int, rng: torch.Generator) -> Tensor:
    """Positions of `size` points of each class, drawn uniformly; of all, where it has fewer."""
    labels = classes(y).cpu()
    members = [(labels == label).nonzero()[:, 0] for label in range(max(2, y.shape[1]))]
    return torch.cat(
        [m[torch.randperm(len(m), generator=rng, device="cpu")[:size]] for m in members]
    )


def draw_in_proportion(y: Float[Tensor, "n c"], size: int, rng: torch.Generator) -> Tensor:
    """Positions of `size` points, each class in proportion to its own, and with one at least.

    Where there are more classes than `size` it is one of each; of all, where there are no more.
    """
    counts = torch.bincount(classes(y).cpu(), minlength=max(2, y.shape[1])).double()
    wanted = min(size / len(y), 1) * counts
    shares = torch.where(counts > 0, wanted.floor().clamp_min(1), 0.0).long()
    rest = (wanted - shares).sort(descending=True, stable=True)
    shares[rest.indices[: max(0, min(size, len(y)) - int(shares.sum()))]] += 1
    order = draw_per_class(y, len(y), rng).split(counts.long().tolist())
    return torch.cat([members[:share] for members, share in zip(order, shares, strict=True)])


def positions(y: Float[Tensor, "n c"], size: int, per_class: bool, rng: torch.Generator) -> Tensor:
    """Positions of `size` points drawn uniformly, or of size / c of each class; else ValueError."""
    if not per_class:
        return torch.randperm(len(y), generator=rng, device="cpu")[:size]
    n_classes = max(2, y.shape[1])
    if size % n_classes:
        raise ValueError(f"n_interp must be a multiple of the {n_classes} classes, not {size}")
    share = size // n_classes
    counts = torch.bincount(classes(y), minlength=n_classes)
    if counts.min() < share:
        label = int(counts.argmin())
        raise ValueError(
            f"class {label} has {int(counts[label])} points, fewer than the {share} that "
            f"n_interp = {size} asks of each class"
        )
    return draw_per_class(y, share, rng)
