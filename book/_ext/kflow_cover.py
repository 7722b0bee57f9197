"""The moving picture of the cover, drawn from the data of a published animation.

    :::{kflow-cover} swiss-roll-unrolling
    The line below the picture.
    :::

The figure's data hold `layer` (T), `points` (T, n, 2) and `y` (n, 1).
"""

import json
from html import escape
from pathlib import Path

import figure_parts
import numpy as np
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from kflow.figures import records

UNITS = 1000  # positions are written in thousandths
MARKUP = """<link rel="stylesheet" href="_static/cover/cover.css">
<canvas role="img" aria-label="{alt}"></canvas>
<p class="cover-controls"><button type="button">Play</button><output aria-live="off"></output></p>
<script type="application/json">{data}</script>
<script type="module" src="_static/cover/cover.js"></script>"""


class Cover(SphinxDirective):
    """A canvas, a button, and the positions of the points at each layer that was kept.

    On paper and without scripts the still image of the figure stands there.
    """

    required_arguments = 1
    has_content = True

    def run(self):
        """Build the picture; an unknown figure is a warning."""
        try:
            figure = figure_parts.read(Path(self.env.srcdir), self.arguments[0])
        except records.RecordError as error:
            return [self.state.document.reporter.warning(str(error), line=self.lineno)]
        self.env.note_dependency(str(figure.folder / "record.json"))
        data = picture(figure.folder / figure.record["data"]["file"])
        slug, alt = figure.record["slug"], figure.record["alt"]
        cover = nodes.container(classes=["cover"])
        for theme, name, _ in figure.images:
            still = f"/_figures/{slug}/{name}"
            cover += nodes.image(uri=still, alt=alt, classes=["cover-still", f"only-{theme}"])
        markup = MARKUP.format(alt=escape(alt), data=json.dumps(data))
        cover += nodes.raw("", markup, format="html")
        self.state.nested_parse(self.content, self.content_offset, cover)
        return [cover]


def picture(path):
    """What cover.js draws, from the data of the figure."""
    with np.load(path, allow_pickle=False) as arrays:
        layers, points, y = (arrays[name] for name in ("layer", "points", "y"))
    frames = np.rint(points.reshape(len(points), -1) * UNITS).astype(int)
    return {
        "layers": layers.tolist(),
        "labels": np.sign(y[:, 0]).astype(int).tolist(),
        "frames": frames.tolist(),
        "reach": int(np.abs(frames).max() * 1.04),
    }


def setup(app):
    """Register with Sphinx."""
    app.add_directive("kflow-cover", Cover)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
