"""How figures look: a light and a dark style, colours by name, images whose bytes repeat."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kflow import checks
from kflow.figures.parameters import nearest

with checks.extra("notebooks"):
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

THEMES = {"light": "", "dark": "-dark"}  # and the ending of their files
FORMATS = ("svg", "pdf", "png")
DATES = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
COLORS = {  # Okabe and Ito's colours; the dark set is lighter where the ground needs it
    "light": dict(
        blue="#0072b2", orange="#d98200", green="#00835f", red="#d55e00", purple="#b3588f",
        sky="#3b9bd6", yellow="#b39b00", ink="#1f2328", muted="#6b7280", ground="#ffffff",
    ),
    "dark": dict(
        blue="#5aaee6", orange="#f0a830", green="#2fc39a", red="#ff8340", purple="#dd9ac0",
        sky="#8fcdf5", yellow="#f0e442", ink="#e6e8eb", muted="#9aa3ad", ground="#14171a",
    ),
}  # fmt: skip
STYLE = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "savefig.dpi": 200,
    "savefig.transparent": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "image.cmap": "viridis",
    "legend.frameon": False,
    "svg.fonttype": "path",
}

_theme = "light"


def color(name: str) -> str:
    """A colour by name, for the style that is being drawn; safe for colour-blind readers."""
    if name not in COLORS[_theme]:
        raise ValueError(f"unknown colour {name!r}: {nearest(name, COLORS[_theme])}")
    return COLORS[_theme][name]


def diverging(negative: str, positive: str) -> mpl.colors.Colormap:
    """A colour map for values of both signs: two colours by name, and the page's at zero."""
    ends = [color(negative), color("ground"), color(positive)]
    return mpl.colors.LinearSegmentedColormap.from_list("diverging", ends, N=257)


@contextmanager
def drawing(theme: str, slug: str) -> Iterator[None]:
    """The style of a `theme`; `slug` salts the ids of an SVG, so that they repeat."""
    global _theme
    ink, muted = COLORS[theme]["ink"], COLORS[theme]["muted"]
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    cycle = plt.cycler(color=[COLORS[theme][n] for n in ("blue", "orange", "green", "red")])
    style = STYLE | dict.fromkeys(inks, ink) | {"grid.color": muted, "axes.prop_cycle": cycle}
    with mpl.rc_context(style | {"svg.hashsalt": slug}):  # type: ignore[arg-type]
        _theme = theme
        try:
            yield
        finally:
            _theme = "light"


def images(folder: Path, slug: str, draw: Callable[[], Figure]) -> list[Path]:
    """The figure in every theme and format; the files written."""
    files = []
    for theme, ending in THEMES.items():
        with drawing(theme, slug):
            figure = draw()
            for kind in FORMATS:
                files.append(folder / f"{slug}{ending}.{kind}")
                figure.savefig(files[-1], metadata=DATES[kind])
            plt.close(figure)
    return files


def stills(folder: Path, slug: str, frames: Callable | None, n_frames: int) -> list[Path]:
    """The frames of an animation in every theme, SLUG-000.png and so on; the files written."""
    files: list[Path] = []
    if frames is None:
        return files
    for theme, ending in THEMES.items():
        for i in range(n_frames):
            with drawing(theme, slug):
                figure = frames(i)
                files.append(folder / f"{slug}{ending}-{i:03d}.png")
                figure.savefig(files[-1], metadata=DATES["png"], dpi=100)
                plt.close(figure)
    return files
