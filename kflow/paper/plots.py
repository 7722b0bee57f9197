"""Drawings that the two chapters of images share; all draw in the style of `kflow.figures`."""

from collections.abc import Mapping, Sequence

import numpy as np

from kflow import checks
from kflow.figures.drawing import color, diverging

with checks.extra("notebooks"):
    import matplotlib.pyplot as plt
    import pandas as pd

EXAMPLES = {6000: "purple", 600: "blue", 60: "green", 10: "red"}  # the colour of each N_I
REMEDIES = ("ink", "orange", "green", "blue", "purple", "red")  # the first is for none
TITLES = {"mnist-wide": "MNIST", "fashion-wide": "Fashion-MNIST"}
WITHOUT = {  # baselines that know all training points: name, line
    "all_ridge": ("kernel ridge, all points", "--"),
    "neighbours": ("nearest neighbours", ":"),
}


def error_by_depth(layers, errors: Mapping, ticks: Sequence[int], without: Mapping = {}):  # noqa: B006
    """Curves of error in percent by N_I along depth, and levels that are reached without a flow."""
    fig, ax = plt.subplots(figsize=(7, 3.6))
    for n, found in errors.items():
        line, order = ("", 2) if n <= 60 else ("-", 3)  # few labels vary from draw to draw
        (curve,) = ax.plot(layers, 100 * np.array(found), "." + line, color=color(EXAMPLES[n]))
        curve.set(label=f"$N_I$ = {n}", zorder=order, lw=0.8, ms=4)
    for name, (label, line) in WITHOUT.items():
        if name in without:
            ax.axhline(100 * without[name], color=color("ink"), ls=line, lw=1, label=label)
    ax.set(yscale="log", xlabel="layers", ylabel="wrong test images (%)", xlim=(0, layers[-1]))
    ax.set(yticks=ticks, yticklabels=ticks)
    ax.minorticks_off()
    ax.legend(fontsize=9)
    return fig


def against_the_talk(
    theirs: pd.DataFrame, ours: pd.DataFrame, ticks: Sequence[int], without: Mapping
):
    """By N_I: the talk's average and range, ours, and the best without a flow; in percent."""
    fig, ax = plt.subplots(figsize=(7, 3))
    rows = np.arange(len(theirs))[::-1]
    for table, shift, name, marker, label in (
        (theirs, 0.14, "muted", "D", "talk, with its range"),
        (ours, -0.14, "blue", "o", "ours, with its range"),
    ):
        spread = 100 * np.stack([table["average"] - table["min"], table["max"] - table["average"]])
        ax.errorbar(
            100 * table["average"], rows + shift, xerr=spread.clip(0),
            fmt=marker, color=color(name), ms=5, elinewidth=3, label=label,
        )  # fmt: skip
    if first := [(100 * without[k], r) for k, r in _layer_0(theirs, rows) if k in without]:
        ax.plot(*zip(*first, strict=True), "x", color=color("red"), label="no flow, best settings")
    for name, (label, line) in WITHOUT.items():
        if name in without:
            ax.axvline(100 * without[name], color=color("ink"), ls=line, lw=1, label=label)
    ax.set(xscale="log", xlabel="wrong test images (%)", ylabel="$N_I$")
    ax.set_yticks(rows, theirs.index)
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    fig.legend(fontsize=8, ncols=3, loc="outside upper center")
    return fig


def _layer_0(theirs: pd.DataFrame, rows):
    return [(f"layer_0 {n}", row) for n, row in zip(theirs.index, rows, strict=True)]


def distances_and_scores(layers, squared: Mapping[str, Sequence[float]], rho_at, rho):
    """Squared distances over s^2 along depth, "between" and "within"; beside them the score."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3), sharex=True)
    for word, name, label in (
        ("between", "blue", "between class means"),
        ("within", "orange", "within a class"),
    ):
        left.plot(layers, squared[word], color=color(name), lw=1.8, label=label)
    left.set(xlabel="layers", ylabel="mean squared distance (units of $s^2$)", ylim=(0, None))
    left.legend()
    right.plot(rho_at, rho, color=color("purple"), lw=1.8)
    right.set(xlabel="layers", ylabel=r"score $\rho$ of a game", ylim=(0, None))
    right.set(xlim=(0, layers[-1]))
    return fig


def study(panels: Mapping[str, Sequence[tuple[str, Mapping]]], ticks: Sequence[int]):
    """A panel per factor: errors by N_I at each value, bars from seed to seed, in percent.

    panels[title] are pairs (label, errors), where errors[n] has one number for each seed. Where
    there are several panels, a line joins the values of each that are in one unit.
    """
    widths = [len(values) + 0.5 for values in panels.values()]
    fig, axes = plt.subplots(
        1, len(panels), figsize=(7.5, 3.2), sharey=True, squeeze=False, width_ratios=widths
    )
    for ax, (title, values) in zip(axes[0], panels.items(), strict=True):
        for n, name in EXAMPLES.items():
            errors = 100 * np.array([errors[n] for _, errors in values])
            mean = errors.mean(1)
            bars = np.stack([mean - errors.min(1), errors.max(1) - mean])
            style = dict(fmt="o", color=color(name), ms=4, lw=0.8, capsize=2)
            ax.errorbar(range(len(values)), mean, bars.clip(0), label=f"$N_I$ = {n}", **style)
            joined = [k for k, (label, _) in enumerate(values) if "|x|" not in label]
            if len(panels) > 1:
                ax.plot(joined, mean[joined], color=color(name), lw=0.8)
        ax.set_xticks(range(len(values)), [label for label, _ in values], fontsize=7.5)
        ax.set(yscale="log", xlabel=title, xlim=(-0.4, len(values) - 0.6))
    axes[0, 0].set(yticks=ticks, yticklabels=ticks, ylabel="wrong held-out images (%)")
    axes[0, 0].minorticks_off()
    handles = axes[0, 0].get_legend_handles_labels()
    fig.legend(*handles, fontsize=8, ncols=4, loc="outside upper center")
    return fig


def remedies(panels: Mapping[int, Mapping[str, pd.DataFrame]], ticks: Mapping[int, Sequence]):
    """A panel per N_I: the error of each remedy along depth, mean over seeds, in percent.

    panels[n][remedy] has a row per layer and a column per seed; ticks[n] are those of its axis.
    """
    fig, axes = plt.subplots(1, len(panels), figsize=(7.5, 3.4), squeeze=False)
    for ax, (n, found) in zip(axes[0], panels.items(), strict=True):
        for (name, errors), shade in zip(found.items(), REMEDIES, strict=False):
            style = dict(color=color(shade), label=name, ms=4, lw=1.6 if shade == "ink" else 0.9)
            ax.plot(errors.index, 100 * errors.mean(axis=1), ".-", **style)
        ax.set(yscale="log", xlabel="layers", title=f"$N_I$ = {n}")
        ax.set_yticks(ticks[n], ticks[n])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("wrong held-out images (%)")
    handles = axes[0, 0].get_legend_handles_labels()
    fig.legend(*handles, fontsize=8, ncols=3, loc="outside upper center")
    return fig


def trials(panels: Mapping[tuple[str, int], Mapping[str, Mapping[int, float]]]):
    """A panel per data set and N_I: the error in percent of each trial along depth."""
    fig, axes = plt.subplots(2, 2, figsize=(7.5, 5.6))
    for ax, ((name, n), curves) in zip(axes.flat, panels.items(), strict=True):
        for (label, curve), shade in zip(curves.items(), REMEDIES[1:], strict=False):
            late = {k: e for k, e in curve.items() if k >= 500}
            shown = [100 * e for e in late.values()]
            ax.plot(list(late), shown, ".-", color=color(shade), lw=0.9, ms=4, label=label)
        ticks = (1.4, 1.6, 2, 9, 10, 11, 12) if n == 6000 else (2, 5, 10, 20, 40)
        ax.set(yscale="log", xlabel="layers", title=f"{name}, $N_I$ = {n}")
        low, high = ax.get_ylim()
        ax.set_yticks(shown := [t for t in ticks if low <= t <= high], shown)
        ax.minorticks_off()
        ax.legend(fontsize=7)
    for ax in axes[:, 0]:
        ax.set_ylabel("wrong held-out images (%)")
    return fig


def along_depth(
    curves: Mapping[str, Mapping[int, Mapping[int, Mapping[int, float]]]], levels: Mapping
):
    """A panel per run: errors in percent with 6000 and ten along depth, a line per seed."""
    fig, axes = plt.subplots(1, len(curves), figsize=(7.5, 3.2))
    for ax, (name, seeds) in zip(axes, curves.items(), strict=True):
        for seed, read in seeds.items():
            late = [k for k in read if k >= 500]
            for n, width in ((6000, 1.8), (10, 0.8)):
                label = f"$N_I$ = {n}" if seed == min(seeds) else None
                shown = [100 * read[k][n] for k in late]
                ax.plot(late, shown, color=color(EXAMPLES[n]), lw=width, label=label)
        ax.axhline(100 * levels[name], color=color("ink"), ls="--", lw=1, label="talk")
        ax.set(yscale="log", xlabel="layers", title=TITLES[name])
        low, high = ax.get_ylim()
        ax.set_yticks(shown := [t for t in (1.4, 2, 5, 10, 20, 50) if low <= t <= high], shown)
        ax.minorticks_off()
    axes[0].set_ylabel("wrong test images (%)")
    axes[0].legend(fontsize=8)
    return fig


def show_image(ax, image, vmax: float):
    """28 x 28 values, blue above zero and red below."""
    signed = diverging("red", "blue")
    ax.imshow(image.reshape(28, 28), cmap=signed, vmin=-vmax, vmax=vmax, interpolation="nearest")


def wall(layers: Sequence[int], images, vmax: float = 1.2, size: float = 0.66):
    """Rows of images, (rows, images, pixels), each row beside its number of layers."""
    fig, axes = plt.subplots(len(layers), len(images[0]), figsize=(7.5, size * len(layers)))
    for row, k, shown in zip(axes, layers, images, strict=True):
        for ax, image in zip(row, shown, strict=True):
            show_image(ax, image, vmax)
            ax.set(xticks=(), yticks=())
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(k, rotation=0, ha="right", va="center")
    fig.supylabel("layers", fontsize=10)
    return fig


def pairs(above, below, titles: Sequence[str], names: tuple[str, str], vmax: float = 1.2):
    """Images above and what became of them below, each pair with its title."""
    fig, axes = plt.subplots(2, len(titles), figsize=(7.5, 1.75), squeeze=False)
    for column, title, *images in zip(axes.T, titles, above, below, strict=True):
        for ax, image in zip(column, images, strict=True):
            show_image(ax, image, vmax)
        column[0].set_title(title, fontsize=9 if "\n" not in title else 7)
    for ax in axes.flat:
        ax.set(xticks=(), yticks=())
        ax.spines[:].set_visible(False)
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
    return fig
