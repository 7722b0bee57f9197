"""What a figure is published with, checked: its slug, texts, data, quantities and credits."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from kflow.figures import records
from kflow.figures.records import Quantity


def slug(text: str) -> str:
    """The slug; ValueError where it is none."""
    if not records.SLUG.fullmatch(text):
        raise ValueError(f"{text!r} is no slug: lowercase words joined by hyphens")
    return text


def still(slug: str, draw: Callable | None, frames: Callable | None, n_frames: int) -> Callable:
    """What draws the still image: `draw`, or else the last frame."""
    if frames is not None and n_frames < 2:
        raise ValueError(f"figure {slug!r}: frames need n_frames of at least 2, not {n_frames}")
    if draw is not None:
        return draw
    if frames is None:
        raise ValueError(f"figure {slug!r} needs draw or frames")
    return partial(frames, n_frames - 1)


def texts(slug: str, **texts: str) -> dict[str, str]:
    """The texts of a figure, its caption and alternative text in one line each."""
    for name, text in texts.items():
        _told(f"figure {slug!r}: its {name}", text)
    return texts | {name: " ".join(texts[name].split()) for name in ("caption", "alt")}


def _told(name: str, text: str):
    if not text.strip():
        raise ValueError(f"{name} is empty")
    if not set(text) <= {*filter(str.isprintable, text), "\n"}:  # "\rho" is no Greek letter
        raise ValueError(f"{name} holds a control character, {text!r}: write it raw or doubled")


def credit(slug: str, images: tuple[str, str, str] | None) -> dict[str, dict[str, str]]:
    """Whose the images of a figure are, their licence, and its address; empty where all is ours."""
    if images is None:
        return {}
    whose = dict(zip(("of", "licence", "url"), images, strict=True))
    for name, text in whose.items():
        _told(f"figure {slug!r}: the {name!r} of its images", text)
    return {"images": whose}


def array(slug: str, name: str, column) -> np.ndarray:
    """The values of a column, which is a pair of these and what they are."""
    if not (isinstance(column, tuple) and len(column) == 2 and isinstance(column[1], str)):
        raise TypeError(
            f"figure {slug!r}: data {name!r} must be a pair of values and what they are, "
            f'"{name}": (values, "layers moved so far"), not {column!r}'
        )
    values, text = column
    _told(f"figure {slug!r}: the description of data {name!r}", text)
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.dtype == object:
        raise TypeError(f"figure {slug!r}: data {name!r} is not an array of numbers or text")
    return array


def quantities(slug: str, quantities: Sequence[Quantity]) -> tuple[dict, dict]:
    """The quantities that are checked, and the timings, by name, as they are written."""
    names = [q.name for q in quantities]
    if len(set(names)) < len(names):
        raise ValueError(f"figure {slug!r} has two quantities of one name: {names}")
    timings = {q.name: q.to_json() for q in quantities if q.kind == "timing"}
    return {q.name: q.to_json() for q in quantities if q.name not in timings}, timings
