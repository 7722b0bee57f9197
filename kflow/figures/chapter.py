"""Figures that can be cited: each is drawn, stored with its data and numbers, and shown.

A chapter begins with `begin("flow")` and publishes each figure by a slug that never changes. Files
go to `figures/SLUG/` under the folder named by the variable KFLOW_OUTPUT (default kflow-output).
"""

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

from kflow.figures import drawing, provenance, records
from kflow.figures.parameters import complete, of_session
from kflow.figures.records import Quantity

MIME = "application/vnd.kflow.figure+json"


@dataclass
class Chapter:
    """What `begin` found: every figure published afterwards belongs to it."""

    name: str
    parameters: dict
    defaults: dict
    started: float = field(default_factory=perf_counter)
    titles: dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> list[str]:
        """The parameters that are not at their defaults."""
        return sorted(k for k, v in self.parameters.items() if v != self.defaults[k])


_chapter: Chapter | None = None


def begin(chapter: str, parameters: Mapping | None = None, records: Sequence[str] = ()) -> None:
    """Open a chapter: check the notebook's parameters and own the figures that follow.

    In a notebook the parameters cell and papermill's are read from the session; an unknown name
    (the nearest is given), a wrong type or a value out of range is refused. Elsewhere give
    `parameters`. `records` names those at the paper's scale that the chapter reads: who executes
    notebooks looks for them here, without running it (`kflow.reproduce.dependencies`).
    """
    global _chapter
    space = _session()
    if parameters is not None:
        values = defaults = dict(parameters)
    elif space is None:
        raise ValueError("begin outside a notebook needs parameters=dict(...)")
    else:
        schema, injected = of_session(space["In"])
        given = {name: space[name] for name in {*schema, *injected} if name in space}
        values = complete(schema, given)
        defaults = {name: parameter.default for name, parameter in schema.items()}
        space.update(values)
    _slug(chapter.replace("_", "-"))  # the name of the notebook, which may hold underscores
    _chapter = Chapter(chapter, values, defaults)


def quantity(name: str, value, kind: str, **rule) -> Quantity:
    """A number to be checked; `value` may be a NumPy or PyTorch scalar. See `records.Quantity`.

    With a reader's own parameters a statistical quantity becomes a single run: its interval came
    from seeds at the defaults, and says nothing about others.
    """
    value = value.item() if hasattr(value, "item") else value
    if kind == "statistical" and _chapter is not None and _chapter.changed:
        kind, rule = "single-run", {k: v for k, v in rule.items() if k not in ("low", "high")}
    return Quantity(name, value, kind, **rule)


def publish(
    slug: str,
    draw: Callable[[], drawing.Figure] | None = None,
    *,
    title: str,
    claim: str,
    caption: str,
    alt: str,
    data: Mapping[str, object],
    columns: Mapping[str, str],
    quantities: Sequence[Quantity] = (),
    seeds: Sequence[int] = (),
    frames: Callable[[int], drawing.Figure] | None = None,
    n_frames: int = 0,
    dtype: str = "float32",
    device: str = "cpu",
) -> None:
    """Draw a figure in the light and the dark style, write its record and show it.

    `data` holds every plotted number (1-D arrays of one length become CSV, others NPZ), `columns`
    say what each is. An animation gives `frames(i)` and `n_frames` too; without `draw` its last
    frame is the still image.
    """
    chapter = _claim_slug(slug, title)
    if frames is not None and n_frames < 2:
        raise ValueError(f"figure {slug!r}: frames need n_frames of at least 2, not {n_frames}")
    if draw is None:
        if frames is None:
            raise ValueError(f"figure {slug!r} needs draw or frames")
        draw = lambda: frames(n_frames - 1)  # noqa: E731
    for name, text in dict(title=title, claim=claim, caption=caption, alt=alt).items():
        if not text.strip():
            raise ValueError(f"figure {slug!r}: its {name} is empty")
    arrays = {name: _array(slug, name, value) for name, value in data.items()}
    if set(arrays) != set(columns):
        raise ValueError(
            f"figure {slug!r}: data has {sorted(arrays)}, columns describe {sorted(columns)}"
        )
    names = [q.name for q in quantities]
    if len(set(names)) < len(names):
        raise ValueError(f"figure {slug!r} has two quantities of one name: {names}")

    final = _folder(slug, chapter)
    with records.replaced(final) as folder:
        data_file = records.write_data(folder, slug, arrays)
        files = drawing.images(folder, slug, draw)
        files += drawing.stills(folder, slug, frames, n_frames)
        record = {
            "schema": 1,
            "slug": slug,
            "notebook": chapter.name,
            "title": title,
            "claim": claim,
            "caption": " ".join(caption.split()),
            "alt": " ".join(alt.split()),
            "parameters": chapter.parameters,
            "derived_from": slug if chapter.changed else None,
            "changed": chapter.changed,
            "seeds": [int(seed) for seed in seeds],
            "dtype": dtype,
            "device": device,
            "frames": n_frames,
            "data": {"file": data_file.name if data_file else None, "columns": dict(columns)},
            "files": {
                p.name: records.sha256(p) for p in ([data_file] if data_file else []) + files
            },
            "quantities": {q.name: q.to_json() for q in quantities if q.kind != "timing"},
        }
        records.write_json(folder / "record.json", record)
        origin = provenance.collect(perf_counter() - chapter.started, chapter.name)
        origin["timings"] = {q.name: q.to_json() for q in quantities if q.kind == "timing"}
        records.write_json(folder / "provenance.json", origin)
    _show(final, slug, alt)


def _claim_slug(slug: str, title: str) -> Chapter:
    if _chapter is None:
        raise ValueError('call kflow.figures.begin("chapter") before the first figure')
    if _chapter.titles.setdefault(_slug(slug), title) != title:
        raise ValueError(
            f"two figures with one slug, {slug!r}: {_chapter.titles[slug]!r} and {title!r}; "
            "rename one, or run the cell with figures.begin again"
        )
    return _chapter


def _slug(text: str) -> str:
    if not records.SLUG.fullmatch(text):
        raise ValueError(f"{text!r} is no slug: lowercase words joined by hyphens")
    return text


def _array(slug: str, name: str, value) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"figure {slug!r}: data {name!r} is not an array of numbers or text")
    return array


def _folder(slug: str, chapter: Chapter) -> Path:
    """The figure's folder; refused where another chapter owns it."""
    folder = Path(os.environ.get("KFLOW_OUTPUT", "kflow-output")) / "figures" / slug
    if (folder / "record.json").exists():
        owner = records.read_json(folder / "record.json").get("notebook")
        if owner != chapter.name:
            raise ValueError(f"two figures with one slug, {slug!r}: also in notebook {owner!r}")
    return folder


def _session() -> dict | None:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return shell.user_ns if shell is not None else None


def _show(folder: Path, slug: str, alt: str) -> None:
    if _session() is None:
        return
    from IPython.display import display

    png = base64.b64encode((folder / f"{slug}.png").read_bytes()).decode()
    bundle = {"image/png": png, "text/plain": alt, MIME: {"slug": slug}}
    display(bundle, raw=True)
