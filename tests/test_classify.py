import numpy as np
import pandas as pd
import pytest
import torch

import kflow
from kflow import classify


@pytest.fixture
def clusters(rng, anywhere):
    """Three classes of 20 points each, far apart, and 30 test points among them."""
    centres = torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    label = torch.arange(60) % 3
    test_label = torch.arange(30) % 3
    y, y_test = (torch.nn.functional.one_hot(k, 3).float() for k in (label, test_label))
    x = centres[label] + 0.3 * torch.randn(60, 2, generator=rng)
    x_test = centres[test_label] + 0.3 * torch.randn(30, 2, generator=rng)
    return tuple(part.to(anywhere) for part in (x, y, x_test, y_test))


def test_one_point_per_class_is_enough_where_classes_are_far_apart(clusters, rng):
    rate = kflow.error_rate(kflow.Gaussian(2.0), *clusters, 3, rng, 1e-6, per_class=True)
    assert rate == 0


def test_points_of_one_class_only_give_the_error_of_guessing_it(clusters, rng):
    x, y, x_test, y_test = clusters
    y = torch.zeros_like(y)
    y[:, 0] = 1
    assert kflow.error_rate(kflow.Gaussian(2.0), x, y, x_test, y_test, 6, rng) == pytest.approx(
        2 / 3
    )


def test_the_rate_counts_wrong_test_points(clusters, rng):
    x, y, x_test, y_test = clusters
    y_test = y_test.clone()
    y_test[:6] = y_test[[1, 2, 0, 4, 5, 3]]  # six labels that no classifier can get right
    rate = kflow.error_rate(kflow.Gaussian(2.0), x, y, x_test, y_test, 60, rng, 1e-6)
    assert rate == pytest.approx(6 / 30)


def test_one_output_is_classified_by_its_sign(clusters, rng):
    x, y, x_test, y_test = clusters
    one, one_test = 2 * y[:, :1] - 1, 2 * y_test[:, :1] - 1
    assert kflow.error_rate(kflow.Gaussian(2.0), x, one, x_test, one_test, 60, rng, 1e-6) == 0
    assert kflow.error_rate(
        kflow.Gaussian(2.0), x, one, x_test, one_test, 2, rng, 1e-6, per_class=True
    ) <= 1 / 3  # fmt: skip


@pytest.mark.parametrize("labels", [(0.0, 1.0), (1.0, 2.0), (-1.0, 0.0), (0.0, 0.0), (-3.0, -1.0)])
def test_labels_that_their_sign_does_not_tell_apart_are_refused(labels, clusters, rng):
    x, y, x_test, y_test = clusters
    low, high = labels
    one, one_test = low + (high - low) * y[:, :1], low + (high - low) * y_test[:, :1]
    both, both_test = 2 * y[:, :1] - 1, 2 * y_test[:, :1] - 1
    says = (
        rf"of one column is classified by its sign, .* from {low:g} to {high:g}.*; take \+1 and -1"
    )
    with pytest.raises(ValueError, match="y " + says):
        kflow.error_rate(kflow.Gaussian(2.0), x, one, x_test, both_test, 6, rng)
    with pytest.raises(ValueError, match="y_test " + says):
        kflow.error_rate(kflow.Gaussian(2.0), x, both, x_test, one_test, 6, rng)
    all_one = torch.ones_like(both_test)  # one class, which a test set may be
    rate = kflow.error_rate(kflow.Gaussian(2.0), x, both, x_test, all_one, 60, rng, 1e-6)
    assert rate == pytest.approx(2 / 3)


def test_as_many_points_are_drawn_as_asked(rng):
    y = torch.eye(3)[torch.arange(12) % 3]
    drawn = classify.positions(y, 5, False, rng)
    assert len(drawn) == len(drawn.unique()) == 5
    drawn = classify.positions(y, 6, True, rng)
    assert len(drawn.unique()) == 6 and torch.equal(y[drawn].sum(0), torch.full((3,), 2.0))
    assert torch.equal(classify.positions(y, 12, True, rng).sort().values, torch.arange(12))
    assert torch.equal(classify.draw_per_class(y[:4], 2, rng).sort().values, torch.arange(4))


def test_coincident_points_are_named_by_their_rows_whichever_were_drawn(clusters, rng):
    x, y = clusters[:2]
    x[5] = x[3]
    with pytest.raises(kflow.NotPositiveDefinite, match="points 3 and 5 are 0.0e"):
        kflow.error_rate(kflow.Gaussian(1.0), x, y, x, y, len(x), rng)


def test_labels_of_one_column_are_two_classes(rng):
    y = torch.tensor([[-1.0], [0.0], [0.5], [2.0]])
    assert classify.classes(y).tolist() == [0, 0, 1, 1]
    assert sorted(classify.positions(y, 4, True, rng).tolist()) == [0, 1, 2, 3]
    drawn = classify.positions(y, 2, True, rng)
    assert classify.classes(y[drawn]).tolist() == [0, 1]


def test_the_table_is_average_min_max_and_standard_deviation_over_layers():
    rates = {10: {600: 0.1, 60: 0.3}, 20: {600: 0.2, 60: 0.3}, 30: {600: 0.6, 60: 0.3}}
    table = kflow.error_table(rates)
    expected = pd.DataFrame(
        {"average": [0.3, 0.3], "min": [0.1, 0.3], "max": [0.6, 0.3],
         "std": [np.std([0.1, 0.2, 0.6], ddof=1), 0.0]},
        index=pd.Index([600, 60], name="N_I"),
    )  # fmt: skip
    pd.testing.assert_frame_equal(table, expected)


def test_a_table_needs_every_rate():
    with pytest.raises(ValueError, match="rates is empty"):
        kflow.error_table({})
    with pytest.raises(ValueError, match="rates at layer 20 lack"):
        kflow.error_table({10: {600: 0.1, 60: 0.3}, 20: {600: 0.2}, 30: {60: 0.2}})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(n_interp=61), "n_interp must be at most 60"),
        (dict(n_interp=0), "n_interp must be at least 1"),
        (dict(n_interp=4, per_class=True), "multiple of the 3 classes, not 4"),
        (dict(n_interp=60, per_class=True, only=30), "class 0 has 10 points, fewer than the 20"),
        (dict(x_test=torch.zeros(0, 2), y_test=torch.zeros(0, 3)), "x_test is empty"),
        (dict(x_test=torch.zeros(30, 5)), "x_test must have 2 columns"),
        (dict(y_test=torch.zeros(30, 2)), "y_test must have 3 columns"),
    ],
)
@pytest.mark.wrong_types
def test_bad_input_is_refused_by_name(change, says, clusters, rng):
    x, y, x_test, y_test = clusters
    change = {k: v.to(x) if isinstance(v, torch.Tensor) else v for k, v in change.items()}
    given = dict(x=x, y=y, x_test=x_test, y_test=y_test, n_interp=6) | change
    if only := given.pop("only", None):
        given |= dict(x=torch.cat([x[:only], x[:30]]), y=torch.cat([y[:only], y[:30]]))
        labels = torch.eye(3)[[0] * 10 + [1] * 25 + [2] * 25]
        given["y"] = torch.roll(labels, 5, 0).to(x)
    with pytest.raises(ValueError, match=says):
        kflow.error_rate(kflow.Gaussian(2.0), rng=rng, nugget=1e-6, **given)


@pytest.mark.parametrize(
    ("rates", "error", "says"),
    [
        ([0.1], TypeError, r"rates must be rates\[layer\]\[n_interp\], not \[0.1\]"),
        ({0: 0.1}, TypeError, "rates must be rates"),
        ({0: {}}, ValueError, "rates is empty"),
        ({0: {6: "much"}}, TypeError, r"rates\[0\]\[6\] must be a number, not 'much'"),
        ({0: {6: np.nan}}, ValueError, r"rates\[0\]\[6\] must be finite"),
        ({0: {6: 7.0}}, ValueError, r"rates\[0\]\[6\] must be at most 1"),
    ],
)
@pytest.mark.wrong_types
def test_a_table_is_made_of_rates(rates, error, says):
    with pytest.raises(error, match=says):
        kflow.error_table(rates)


@pytest.mark.parametrize(
    "counts, size, shares",
    [
        ((90, 10, 0), 50, [45, 5, 0]),
        ((90, 10, 5), 10, [8, 1, 1]),  # 8.57, 0.95 and 0.48: each has one at least
        ((400, 3, 3), 3, [2, 1, 1]),
        ((5, 5, 5), 4, [2, 1, 1]),
        ((5, 5, 5), 100, [5, 5, 5]),
    ],
)
def test_points_are_drawn_in_proportion_to_their_classes(counts, size, shares, rng):
    labels = torch.arange(3).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=rng)]
    drawn = classify.draw_in_proportion(torch.eye(3)[labels], size, rng)
    assert len(drawn.unique()) == len(drawn)
    assert torch.bincount(labels[drawn], minlength=3).tolist() == shares
