"""A published figure leaves its images, data and record; a wrong one is refused."""

import csv
import dataclasses
import errno
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from kflow import data, figures
from kflow.figures import drawing, records

DATA = {
    "layer": (np.arange(3), "layers moved so far"),
    "error": (np.array([0.3, 0.2, 0.1]), "share of test images misclassified"),
}


def draw():
    fig, ax = plt.subplots(figsize=(2, 1.5))
    ax.plot([0, 1, 2], [0.3, 0.2, 0.1], color=figures.color("blue"))
    return fig


def flow():
    return figures.begin("flow", parameters={"layers": 3})


def publish(chapter=None, slug="flow-error", **changes):
    texts = dict(title="Error", claim="It falls", caption="It *falls*", alt="A falling line")
    (chapter or flow()).publish(slug, draw, **(texts | dict(data=DATA, dtype="float64") | changes))


@pytest.fixture
def output(tmp_path, monkeypatch):
    monkeypatch.setenv("KFLOW_OUTPUT", str(tmp_path))
    return tmp_path / "figures"


def test_a_figure_leaves_images_of_both_styles_its_data_and_two_records(output):
    publish(quantities=[flow().quantity("last", np.float64(0.1), kind="close", rtol=1e-3)])
    names = {path.name for path in (output / "flow-error").iterdir()}
    images = {f"flow-error{t}.{e}" for t in ("", "-dark") for e in ("svg", "pdf", "png")}
    assert names == images | {"flow-error.csv", "record.json", "provenance.json"}
    with (output / "flow-error" / "flow-error.csv").open() as file:
        assert [float(row["error"]) for row in csv.DictReader(file)] == [0.3, 0.2, 0.1]
    record = records.load(output / "flow-error")
    assert record["parameters"] == {"layers": 3}
    assert record["data"]["columns"] == {name: text for name, (_, text) in DATA.items()}
    assert records.quantities(record)["last"].rtol == 1e-3
    assert not plt.get_fignums()


def test_arrays_of_several_shapes_become_one_npz(output):
    publish(data=DATA | {"image": (np.eye(2), "a picture")})
    with np.load(output / "flow-error" / "flow-error.npz", allow_pickle=False) as kept:
        assert np.array_equal(kept["image"], np.eye(2))


def test_two_publications_are_the_same_bytes(output, tmp_path, monkeypatch):
    for folder in ("one", "two"):
        monkeypatch.setenv("KFLOW_OUTPUT", str(tmp_path / folder))
        publish(data=DATA | {"image": (np.eye(2), "a picture")})
        publish(slug="flow-line")
    for slug in ("flow-error", "flow-line"):
        for path in (tmp_path / "one" / "figures" / slug).iterdir():
            if path.name != "provenance.json":
                twin = tmp_path / "two" / "figures" / slug / path.name
                assert path.read_bytes() == twin.read_bytes(), path.name


def test_seconds_stand_in_the_provenance_and_not_in_the_record(output):
    publish(quantities=[flow().quantity("seconds", 12.0, kind="timing")])
    assert not records.load(output / "flow-error")["quantities"]
    origin = json.loads((output / "flow-error" / "provenance.json").read_text())
    assert origin["timings"]["seconds"]["value"] == 12.0
    assert set(origin["commit"]) == {"id", "date", "dirty"}


def test_the_styles_differ_and_are_left_as_they_were(output):
    before = plt.rcParams["text.color"]
    publish()
    light, dark = (output / "flow-error" / f"flow-error{t}.svg" for t in ("", "-dark"))
    assert light.read_text() != dark.read_text()
    assert plt.rcParams["text.color"] == before


def test_an_animation_leaves_its_frames(output):
    flow().publish(
        "flow-film", frames=lambda i: draw(), n_frames=2, title="Film", claim="It moves",
        caption="A film", alt="A line", data={}, dtype="float64",
    )  # fmt: skip
    record = records.load(output / "flow-film")
    assert record["frames"] == 2 and record["data"]["file"] is None
    assert (output / "flow-film" / "flow-film-dark-001.png").exists()


def test_images_of_others_keep_their_licence(output):
    publish(images=data.CREDITS["mnist"])
    whose = records.load(output / "flow-error")["images"]
    assert whose["licence"] == "CC BY-SA 3.0" and "by-sa/3.0" in whose["url"]


def test_two_figures_with_one_slug_are_refused(output):
    chapter = flow()
    publish(chapter)
    with pytest.raises(ValueError, match="two figures with one slug, 'flow-error'"):
        publish(chapter, title="Another")
    with pytest.raises(ValueError, match="also in notebook 'flow'"):
        publish(figures.begin("game", parameters={}))


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"layer": [0, 1]}}, "data 'layer' must be a pair of values and what they are"),
        ({"data": {"layer": ([0, 1], " ")}}, "description of data 'layer' is empty"),
        ({"data": {"rho": ([0, 1], "$\rho$")}}, "data 'rho' holds a control character, .*raw"),
        ({"alt": " "}, "its alt is empty"),
        ({"data": {"layer": ([object()], "?")}}, "not an array"),
        ({"frames": lambda i: draw(), "n_frames": 1}, "n_frames of at least 2, not 1"),
        ({"slug": "Flow_7"}, "is no slug"),
        ({"images": ("A", "B", "")}, "the 'url' of its images is empty"),
        ({"quantities": [flow().quantity("a", 1, kind="exact")] * 2}, "two quantities"),
    ],
)
def test_an_incomplete_figure_is_refused(output, changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        publish(**changes)


@pytest.mark.parametrize(
    "rule",
    [
        {"value": 1.0, "kind": "nearly"},
        {"value": float("nan"), "kind": "exact"},
        {"value": 1.0, "kind": "close"},
        {"value": 1.0, "kind": "statistical"},
        {"value": 1.0, "kind": "statistical", "low": 2.0, "high": 3.0},
    ],
)
def test_a_quantity_that_could_not_be_compared_is_refused(rule):
    with pytest.raises(ValueError):
        flow().quantity("q", **rule)


@pytest.mark.parametrize(("theme", "ground"), [("light", "#ffffff"), ("dark", "#14171a")])
def test_a_map_of_both_signs_has_the_colour_of_the_page_at_zero(theme, ground):
    with drawing.drawing(theme, "slug"):
        shades = figures.diverging("red", "blue")
        ends = figures.color("red"), figures.color("blue")
    assert [to_hex(shades(x)) for x in (0.0, 0.5, 1.0)] == [ends[0], ground, ends[1]]


def test_an_unknown_colour_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'purple'"):
        figures.color("purpel")


def test_with_a_readers_parameters_an_interval_is_not_claimed():
    rule = dict(kind="statistical", low=0.2, high=0.4, paper=0.3)
    assert flow().quantity("error", 0.3, **rule).kind == "statistical"
    chapter = dataclasses.replace(flow(), defaults={"layers": 500})
    found = chapter.quantity("error", 0.9, **rule)
    assert (found.kind, found.low, found.paper) == ("single-run", None, 0.3)


def test_a_figure_that_cannot_be_drawn_or_written_leaves_the_former_one(output, monkeypatch):
    publish()
    before = {p.name: p.read_bytes() for p in (output / "flow-error").iterdir()}

    def broken():
        raise RuntimeError("no picture")

    with pytest.raises(RuntimeError, match="no picture"):
        flow().publish("flow-error", broken, title="Error", claim="C", caption="C", alt="A",
                       data=DATA, dtype="float64")  # fmt: skip

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(plt.Figure, "savefig", full)
    with pytest.raises(OSError, match="cannot be written, No space left on device.*flow-error"):
        publish()
    assert {p.name: p.read_bytes() for p in (output / "flow-error").iterdir()} == before
    assert [p.name for p in output.iterdir()] == ["flow-error"]


CELL = "layers: int = 500  # [1, 9000] layers\ngamma: float = 1.0  # (0, 9] bandwidth"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("layers = 1e3", TypeError, "parameter layers = 1000.0 must be written 1000"),
        ("gamma = 9.5", ValueError, r"parameter gamma = 9.5 is outside \(0, 9\]"),
        ("layrs = 3", ValueError, "unknown parameter 'layrs': did you mean 'layers'"),
    ],
)
def test_a_notebooks_parameters_are_checked_and_nothing_is_written_into_it(
    monkeypatch, given, error, message
):
    session = {}
    monkeypatch.setattr(figures.chapter, "_session", lambda: session)
    for cells, wrong in ([CELL], False), ([CELL, f"# Parameters\n{given}"], True):
        for source in cells:
            exec(source, session)
        session["In"] = cells
        before = dict(session)
        if wrong:
            with pytest.raises(error, match=message):
                figures.begin("flow")
        else:
            chapter = figures.begin("flow")
            assert chapter.parameters == chapter.defaults == {"layers": 500, "gamma": 1.0}
        assert session == before
