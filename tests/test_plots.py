"""The shared drawings show every number that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kflow.paper import plots, report


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def labels(fig):
    return {text.get_text() for legend in fig.legends for text in legend.get_texts()}


def test_the_table_against_the_talk_shows_the_averages_and_the_baselines():
    theirs = report.talk("M")
    fig = plots.against_the_talk(
        theirs, theirs * 2, (1, 10), {"layer_0 10": 0.5, "all_ridge": 0.0125}
    )
    shown = [line.get_xdata() for line in fig.axes[0].lines]
    assert any(np.allclose(x, 200 * theirs["average"]) for x in shown if len(x) == 4)
    assert any(list(x) == [50.0] for x in shown) and any(list(x) == [1.25] * 2 for x in shown)
    assert labels(fig) >= {"kernel ridge, all points", "no flow, best settings"}


def test_without_baselines_none_is_drawn():
    fig = plots.against_the_talk(report.talk("M"), report.talk("M"), (1, 10), {})
    assert labels(fig) == {"talk, with its range", "ours, with its range"}


def test_the_study_has_a_panel_per_factor_and_bars_from_seed_to_seed():
    errors = dict.fromkeys(plots.EXAMPLES, [0.02, 0.04])
    fig = plots.study(
        {"nugget": [("0.01", errors), ("0.1", errors)], "step": [("0.1", errors)]}, (2,)
    )
    assert [ax.get_xlabel() for ax in fig.axes] == ["nugget", "step"]
    points, _, (bars,) = fig.axes[0].containers[0].lines
    assert list(points.get_ydata()) == [3.0, 3.0]
    assert np.allclose(bars.get_segments()[0][:, 1], [2.0, 4.0])


def test_distances_and_scores_stand_side_by_side():
    squared = {"between": [1, 3], "within": [1, 2]}
    fig = plots.distances_and_scores([0, 10], squared, [5], [0.25])
    left, right = fig.axes
    assert [list(line.get_ydata()) for line in left.lines] == [[1, 3], [1, 2]]
    assert list(right.lines[0].get_ydata()) == [0.25] and right.get_xlim() == (0, 10)


def test_the_remedies_are_drawn_as_means_over_seeds():
    none = pd.DataFrame({0: [0.02, 0.03], 1: [0.04, 0.05]}, [600, 800])
    found = {"none": none, "a larger nugget": none / 2}
    fig = plots.remedies({6000: found, 10: found}, {6000: (2, 3), 10: (5, 20)})
    assert [list(line.get_ydata()) for line in fig.axes[1].lines] == [[3, 4], [1.5, 2]]
    assert [ax.get_title() for ax in fig.axes] == ["$N_I$ = 6000", "$N_I$ = 10"]
    assert labels(fig) == {"none", "a larger nugget"}


def test_curves_and_walls_are_drawn_as_given():
    fig = plots.error_by_depth([0, 5], {10: [0.5, 0.1]}, (10, 50), {"neighbours": 0.03})
    assert [list(line.get_ydata()) for line in fig.axes[0].lines] == [[50, 10], [3, 3]]
    fig = plots.wall([0, 7], np.zeros((2, 3, 784)))
    assert len(fig.axes) == 6 and fig.axes[3].get_ylabel() == "7"
    fig = plots.pairs(np.zeros((2, 784)), np.ones((2, 784)), ["4 → 9", "1 → 7"], ("a", "b"))
    assert [ax.get_title() for ax in fig.axes] == ["4 → 9", "1 → 7", "", ""]
    assert fig.axes[0].images[0].get_array().max() == 0 < fig.axes[2].images[0].get_array().min()
