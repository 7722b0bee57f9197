"""Figures that can be cited: each is drawn, stored with its data and numbers, and shown.

`chapter = begin("flow")` opens a chapter; `chapter.publish` makes each of its figures, by a slug
that never changes. Files go to `figures/SLUG/` under the folder named by the variable KFLOW_OUTPUT
(default kflow-output).
"""

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from kflow.figures import contents, drawing, provenance, records
from kflow.figures.parameters import complete, of_session
from kflow.figures.records import Quantity

MIME = "application/vnd.kflow.figure+json"
Columns = Mapping[str, tuple[Any, str]]


@dataclass(frozen=True)
class Chapter:
    """The notebook that figures belong to: its parameters in this run, and their defaults."""

    name: str
    parameters: dict
    defaults: dict
    started: float = field(default_factory=perf_counter)
    titles: dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> list[str]:
        """The parameters that are not at their defaults."""
        return sorted(k for k, v in self.parameters.items() if v != self.defaults[k])

    def quantity(self, name: str, value, kind: str, **rule) -> Quantity:
        """A number to be checked; `value` may be a NumPy or PyTorch scalar. See `records.Quantity`.

        With a reader's own parameters a statistical quantity becomes a single run: its interval
        came from seeds at the defaults, and says nothing about others.
        """
        value = value.item() if hasattr(value, "item") else value
        if kind == "statistical" and self.changed:
            kind, rule = "single-run", {k: v for k, v in rule.items() if k not in ("low", "high")}
        return Quantity(name, value, kind, **rule)

    def publish(
        self,
        slug: str,
        draw: Callable[[], drawing.Figure] | None = None,
        *,
        title: str,
        claim: str,
        caption: str,
        alt: str,
        data: Columns,
        quantities: Sequence[Quantity] = (),
        seeds: Sequence[int] = (),
        frames: Callable[[int], drawing.Figure] | None = None,
        n_frames: int = 0,
        dtype: str,
        device: str = "cpu",
        images: tuple[str, str, str] | None = None,
    ) -> None:
        """Draw a figure in the light and the dark style, write its record and show it.

        `data` holds every plotted number, and what it is: `{"layer": (layers, "layers moved so
        far")}`. 1-D arrays of one length become CSV, others NPZ. An animation gives `frames(i)` and
        `n_frames` too; without `draw` its last frame is the still image. `dtype` and `device` say
        what the numbers were computed in, and on. Images of others keep their licence:
        `images=data.CREDITS["mnist"]` says whose they are.
        """
        still = contents.still(slug, draw, frames, n_frames)
        texts = contents.texts(slug, title=title, claim=claim, caption=caption, alt=alt)
        arrays = {name: contents.array(slug, name, column) for name, column in data.items()}
        checked, timings = contents.quantities(slug, quantities)
        final = self._folder(slug, title)
        with records.replaced(final) as folder:
            data_file = records.write_data(folder, slug, arrays)
            files = [data_file] if data_file else []
            files += drawing.images(folder, slug, still)
            files += drawing.stills(folder, slug, frames, n_frames)
            record = {
                **texts,
                **contents.credit(slug, images),
                "schema": 1,
                "slug": slug,
                "notebook": self.name,
                "parameters": self.parameters,
                "derived_from": slug if self.changed else None,
                "changed": self.changed,
                "seeds": [int(seed) for seed in seeds],
                "dtype": dtype,
                "device": device,
                "frames": n_frames,
                "data": {
                    "file": data_file.name if data_file else None,
                    "columns": {name: text for name, (_, text) in data.items()},
                },
                "files": {path.name: records.sha256(path) for path in files},
                "quantities": checked,
            }
            records.write_json(folder / "record.json", record)
            origin = provenance.collect(perf_counter() - self.started, self.name)
            records.write_json(folder / "provenance.json", origin | {"timings": timings})
        _show(final, slug, alt)

    def _folder(self, slug: str, title: str) -> Path:
        """The figure's folder; refused where another figure owns it."""
        if self.titles.setdefault(contents.slug(slug), title) != title:
            raise ValueError(
                f"two figures with one slug, {slug!r}: {self.titles[slug]!r} and {title!r}; "
                "rename one, or run the cell with figures.begin again"
            )
        folder = Path(os.environ.get("KFLOW_OUTPUT", "kflow-output")) / "figures" / slug
        if (folder / "record.json").exists():
            owner = records.read_json(folder / "record.json").get("notebook")
            if owner != self.name:
                raise ValueError(f"two figures with one slug, {slug!r}: also in notebook {owner!r}")
        return folder


def begin(name: str, parameters: Mapping | None = None, records: Sequence[str] = ()) -> Chapter:
    """Open the chapter of notebook `name`: check its parameters and own the figures that follow.

    In a notebook the parameters cell and papermill's are read from the session; an unknown name
    (the nearest is given), a wrong type or a value out of range is refused. Elsewhere give
    `parameters`. `records` names those at the talk's scale that the chapter reads: who executes
    notebooks looks for them here, without running it (`kflow.reproduce.dependencies`).
    """
    contents.slug(name.replace("_", "-"))  # the name of the notebook, which may hold underscores
    if parameters is not None:
        return Chapter(name, dict(parameters), dict(parameters))
    session = _session()
    if session is None:
        raise ValueError("begin outside a notebook needs parameters=dict(...)")
    schema, injected = of_session(session["In"])
    given = {key: session[key] for key in {*schema, *injected} if key in session}
    values = complete(schema, given)
    for key, value in given.items():
        if type(value) is float and type(values[key]) is int:  # 1e3 is no number for range()
            raise TypeError(f"parameter {key} = {value!r} must be written {values[key]!r}")
    return Chapter(name, values, {key: parameter.default for key, parameter in schema.items()})


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
