"""The study of small tables: what a row says, and that a record is added to, not made again."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from kflow.paper import read_record, tabular
from kflow.paper.record import RECORDS


@pytest.fixture
def small(monkeypatch):
    """One linear set to regress and one to classify, two models each."""
    x = np.random.RandomState(0).normal(size=(40, 2))
    monkeypatch.setattr(tabular, "regression", lambda seed: {"line": (x, x[:, 0] + 7)})
    monkeypatch.setattr(tabular, "classification", lambda seed: {"half": (x, x[:, 0] > 0)})
    every = tabular.models

    def two(task):
        names = ("SVC", "no layers") if task == "classification" else ("ridge", "likelihood")
        return {name: every(task)[name] for name in names}

    monkeypatch.setattr(tabular, "models", two)


@pytest.mark.filterwarnings("ignore")
def test_the_record_is_a_row_for_each_fold_and_is_added_to(small, tmp_path, monkeypatch):
    tabular.run(tmp_path)
    rows = read_record("tabular", tmp_path)[0]["rows"]
    assert len(rows) == 2 * tabular.SEEDS * (3 + 5)
    means, spreads = tabular.table(rows, "regression")
    assert means.loc["line", "ridge"] > 0.999 and spreads.loc["line", "ridge"] < 1e-3
    assert means.loc["line", "likelihood"] > 0.99
    covered = [row["covered"] for row in rows if row["model"] == "likelihood"]
    assert len(covered) == 3 * tabular.SEEDS and min(covered) > 0.5
    assert {row["layers"] for row in rows if row["model"] == "no layers"} == {0}
    shown = tabular.summary(rows, "classification", ["SVC", "no layers"])
    assert shown["rank"].sum() == 1 + 2
    monkeypatch.setattr(tabular, "judge", lambda *_: pytest.fail("made again"))
    tabular.run(tmp_path)
    assert (tmp_path / RECORDS / "tabular.json").is_file()


def test_sets_repeat_and_have_two_classes_or_more():
    for x, y in tabular.classification(0).values():
        assert len(x) == len(y) <= 1500 and len(np.unique(y)) >= 2
    one, again = (tabular.regression(1)["friedman1"][1] for _ in range(2))
    assert np.array_equal(one, again)


def test_length_scales_of_the_peer_are_one_for_each_feature():
    x = np.random.RandomState(0).normal(size=(30, 3))
    model = tabular.models("regression")["GaussianProcessRegressor"]
    rows = tabular.judge("regression", "s", 0, "GaussianProcessRegressor", model, x, x[:, 0])
    assert all(row["score"] > 0.99 and 0 <= row["covered"] <= 1 for row in rows)
    ridge = tabular.judge("regression", "s", 0, "ridge", RidgeCV(), x, x[:, 0])
    assert "covered" not in ridge[0]


def test_the_best_of_two_has_rank_one_and_its_time_is_the_median_over_folds():
    rows = [
        dict(task="regression", set="s", seed=seed, model=model, score=score - seed, seconds=time)
        for seed in (0, 1)
        for model, scores in (("a", (0.9, 0.8, 0.1)), ("b", (0.5, 0.5, 0.5)))
        for score, time in zip(scores, (1.0, 2.0, 9.0), strict=True)
    ]
    rows += [row | {"model": "c", "score": 1.0} for row in rows[:1]]
    shown = tabular.summary(rows, "regression", ["a", "b"])
    assert shown["rank"].to_dict() == {"a": 1, "b": 2}
    assert shown["seconds"].to_dict() == {"a": 2, "b": 2}


def test_what_seeds_differ_by_is_no_part_of_the_deviation_over_folds():
    scores = {0: (0.0, 2.0), 1: (10.0, 14.0)}  # of variance 2 and 8
    rows = [
        dict(task="regression", set="s", seed=seed, model="a", score=score)
        for seed, folds in scores.items()
        for score in folds
    ]
    means, deviations = tabular.table(rows, "regression")
    assert means.loc["s", "a"] == 6.5
    assert deviations.loc["s", "a"] == pytest.approx(5**0.5)
