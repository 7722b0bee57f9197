import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_iris, make_classification, make_moons
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import kflow
from kflow.engine import sealed
from kflow.estimators.pairs import tell_apart


def test_it_learns_real_digits_with_one_point_per_class():
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=500, random_state=0, stratify=y)
    flow = kflow.KernelFlowClassifier(layers=300, n_interp=10).fit(x, y)
    still = clone(flow).set_params(layers=0).fit(x, y)
    assert flow.score(x_test, y_test) > 0.97 > 0.8 > still.score(x_test, y_test)
    one_neighbour = KNeighborsClassifier(1).fit(flow.transform(x), y)
    assert one_neighbour.score(flow.transform(x_test), y_test) > 0.97


def test_it_names_classes_as_they_came_and_works_in_a_pipeline():
    x, y = make_moons(200, noise=0.1, random_state=0)
    names = np.array(["left", "right"])[y]
    model = make_pipeline(StandardScaler(), kflow.KernelFlowClassifier(layers=30, n_fine=50))
    assert cross_val_score(model, x, names, cv=3).min() > 0.9
    model.fit(x, names)
    assert set(model.predict(x)) == {"left", "right"}
    assert model.decision_function(x).shape == (200,)


def test_a_class_around_another_is_not_lost():
    # without the constant of ordinary kriging all is zero far from the points; without pairs the
    # middle one of three shells has no largest value
    x = np.random.default_rng(0).normal(size=(300, 5))
    shells = np.digitize((x**2).sum(1), [3.4, 5.2])
    model = kflow.KernelFlowClassifier(layers=0).fit(x[:200], shells[:200])
    assert model.score(x[200:], shells[200:]) > 0.8


def test_layers_are_taken_where_they_help():
    x, y = load_digits(return_X_y=True)
    few = kflow.KernelFlowClassifier(n_interp=10).fit(x[:500], y[:500])
    many = kflow.KernelFlowClassifier().fit(x[:500], y[:500])
    assert few.layers_ >= 30 > many.layers_
    still = clone(few).set_params(layers=0).fit(x[:500], y[:500])
    assert few.score(x[500:], y[500:]) > still.score(x[500:], y[500:]) + 0.1


def test_pairs_and_votes_by_hand():
    # one point of each class: the constant is their mean, 0, and the nearer point wins its pair
    x = torch.tensor([[0.0], [1.0], [3.0]])
    pairs = tell_apart(kflow.Gaussian(1.0), x, torch.arange(3), 3, 0.5)
    torch.testing.assert_close(pairs.constants, torch.zeros(3, dtype=torch.float64))
    assert (pairs(torch.tensor([[0.2]])) > 0).tolist() == [[True, True, True]]
    votes = pairs.votes(torch.tensor([[0.2], [2.5]]))
    assert votes.argmax(1).tolist() == [0, 2]
    assert votes.round().tolist() == [[2, 1, 0], [0, 1, 2]]


def test_games_hold_a_quarter_of_the_points_at_least_20_at_most_200():
    def size(n, n_fine=None):
        x, y = make_moons(n, noise=0.1, random_state=0)
        model = kflow.KernelFlowClassifier(layers=1, n_fine=n_fine).fit(x, y)
        return len(list(model.map_.layers)[0].z)

    assert [size(n) for n in (9, 50, 150, 1000)] == [8, 20, 36, 200]
    assert size(50, 30) == 30 and size(50, 200) == 50


def test_the_nugget_of_the_interpolant_can_be_chosen_by_leaving_one_out():
    x, y = make_moons(200, noise=0.2, random_state=0)
    model = kflow.KernelFlowClassifier(layers=5, interp_nugget="loo").fit(x, y)
    assert 1e-6 < model.interp_nugget_ < 10 and model.score(x, y) > 0.9


def test_it_has_no_probabilities_and_says_why():
    x, y = make_moons(100, noise=0.2, random_state=0)
    model = kflow.KernelFlowClassifier(layers=5)
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match="CalibratedClassifierCV"):
        model.predict_proba(x)
    calibrated = CalibratedClassifierCV(model, cv=3).fit(x, y)
    assert calibrated.predict_proba(x).shape == (100, 2)


def test_a_frame_comes_back_with_names():
    x, y = load_iris(return_X_y=True, as_frame=True)
    model = kflow.KernelFlowClassifier(layers=3).set_output(transform="pandas").fit(x, y)
    moved = model.transform(x)
    assert list(model.feature_names_in_) == list(x.columns)
    assert moved.shape == x.shape and moved.columns[0] == "kernelflowclassifier0"


@pytest.mark.parametrize("layers", [0, 4])
def test_a_saved_model_predicts_the_same(layers, tmp_path):
    x, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["a", "b", "c"])[y]
    model = kflow.KernelFlowClassifier(layers=layers, interp_nugget="loo").fit(x, names)
    model.save(tmp_path / "model.safetensors")
    again = kflow.KernelFlowClassifier.load(tmp_path / "model.safetensors")
    np.testing.assert_allclose(again.decision_function(x), model.decision_function(x), rtol=1e-6)
    np.testing.assert_allclose(again.transform(x), model.transform(x), rtol=1e-6)
    assert (again.predict(x) == model.predict(x)).all() and again.layers_ == layers
    with pytest.raises(ValueError, match="holds KernelFlowClassifier, not a KernelFlowRegressor"):
        kflow.KernelFlowRegressor.load(tmp_path / "model.safetensors")


@pytest.mark.wrong_types
def test_a_model_with_numbers_of_numpy_and_torch_is_saved(tmp_path):
    x, y = make_moons(60, noise=0.2, random_state=0)
    model = kflow.KernelFlowClassifier(interp_nugget=np.float32(0.5), n_fine=np.int64(10))
    grid = {"layers": np.arange(1, 4), "nugget": [*torch.tensor([0.5, 1.0])]}
    fit = GridSearchCV(model, grid, cv=2).fit(x, y)
    fit.best_estimator_.save(tmp_path / "model")
    again = kflow.KernelFlowClassifier.load(tmp_path / "model")
    assert (again.predict(x) == fit.best_estimator_.predict(x)).all() and again.nugget in (0.5, 1)


def test_no_seed_differs_and_a_random_state_repeats():
    x, y = make_moons(60, noise=0.2, random_state=0)

    def scores(state):
        return kflow.KernelFlowClassifier(layers=2, random_state=state).fit(x, y).transform(x)

    assert not np.array_equal(scores(None), scores(None))
    one, same = (scores(np.random.RandomState(0)) for _ in range(2))
    assert np.array_equal(one, same)


def test_rows_that_are_not_finite_are_named():
    x, y = make_moons(60, noise=0.2, random_state=0)
    x[[3, 17], 0] = np.nan
    with pytest.raises(ValueError, match="2 of 60 rows: 3, 17"):
        kflow.KernelFlowClassifier().fit(x, y)


def test_the_same_seed_gives_the_same_model():
    x, y = make_moons(100, noise=0.1, random_state=0)
    one, other = (kflow.KernelFlowClassifier(layers=10, n_fine=20).fit(x, y) for _ in range(2))
    assert np.array_equal(one.decision_function(x), other.decision_function(x))


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="one class only"):
        kflow.KernelFlowClassifier().fit(np.random.default_rng(0).normal(size=(10, 2)), [1] * 10)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["a", None], "y holds no label in 10 of 20 rows: 1, 3, 5, 7, 9, ...; leave these rows"),
        (["a", np.nan], "y holds no label in 10 of 20 rows"),
        ([1, pd.NA], "y holds no label in 10 of 20 rows"),
        (["a", 1], "y must be all numbers or all words"),
    ],
)
@pytest.mark.wrong_types
def test_classes_that_are_missing_or_of_two_kinds_are_refused(labels, says):
    with pytest.raises(ValueError, match=says):
        kflow.KernelFlowClassifier().fit(np.eye(20), np.array(labels * 10, dtype=object))


@pytest.mark.wrong_types
def test_a_nugget_may_be_any_real_number():
    x, y = make_moons(60, noise=0.2, random_state=0)
    for tenth in (Fraction(1, 10), np.float32(0.1)):
        one, other = (
            kflow.KernelFlowClassifier(layers=2, nugget=v, interp_nugget=v).fit(x, y)
            for v in (tenth, float(tenth))
        )
        np.testing.assert_array_equal(one.decision_function(x), other.decision_function(x))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.EstimatorCheckFailedWarning")
def test_it_keeps_the_rules_of_scikit_learn():
    check_estimator(kflow.KernelFlowClassifier(n_fine=20))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (dict(gamma="wide"), "gamma must be a number, not 'wide'"),
        (dict(delta=0), "delta must be above 0"),
        (dict(n_interp="all"), "n_interp must be an integer, not 'all'"),
        (dict(n_fine=2.5), "n_fine must be an integer, not 2.5"),
        (dict(random_state=10**30), "random_state must be at most"),
        (dict(random_state=-1), "random_state must be at least 0"),
    ],
)
def test_a_bad_setting_is_refused_by_name(settings, says):
    X, y = load_iris(return_X_y=True)  # noqa: N806
    with pytest.raises((TypeError, ValueError), match=says):
        kflow.KernelFlowClassifier(**settings).fit(X, y)


def test_columns_of_one_name_are_refused():
    X = pd.DataFrame(np.eye(4), columns=["a", "b", "a", "c"])  # noqa: N806
    with pytest.raises(ValueError, match="several columns of one name: a; rename them"):
        kflow.KernelFlowClassifier().fit(X, [0, 1, 0, 1])


@pytest.mark.parametrize(
    "change",
    [
        dict(dtype="load"),
        dict(fill=10**9),
        dict(mixed="yes"),
        dict(layers=-1),
        dict(nugget=None),
        dict(classes=["int64", [0]]),
        dict(classes=3),
        dict(moving=torch.tensor([99])),
        dict(centre=torch.zeros(7)),
        dict(z=torch.zeros(1, 2, 2)),
        dict(coefficients=torch.zeros(3, 3)),
        dict(constants=torch.zeros(2, 2)),  # one new point fits these, two do not
    ],
)
@pytest.mark.wrong_types
def test_a_sealed_file_that_is_no_model_is_refused(tmp_path, change):
    X, y = make_moons(20, random_state=0)  # noqa: N806
    path = tmp_path / "model.safetensors"
    kflow.KernelFlowClassifier(layers=2).fit(X, y).save(path)
    tensors, facts = sealed.read(path)
    for name, value in change.items():
        (facts if name in facts else tensors)[name] = value
    sealed.write(path, tensors, facts)
    with pytest.raises(ValueError, match="model.safetensors holds no sound model"):
        kflow.KernelFlowClassifier.load(path)


def test_a_fit_that_fails_leaves_the_model_as_it_was():
    x, y = load_iris(return_X_y=True)
    model = kflow.KernelFlowClassifier(layers=3).fit(x, np.array(["a", "bb", "ccc"])[y])
    before = model.predict(x)
    with pytest.raises(kflow.NotPositiveDefinite):
        model.set_params(interp_nugget=0.0).fit(np.r_[x, x] * 5, np.r_[y, y])
    np.testing.assert_array_equal(model.predict(x), before)


def test_classes_that_cannot_be_saved_are_refused_by_name(tmp_path):
    x, y = make_moons(60, random_state=0)
    days = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")[y]
    model = kflow.KernelFlowClassifier(layers=0).fit(x, days)
    assert set(model.predict(x)) <= set(days)
    with pytest.raises(ValueError, match=r"classes of datetime64\[D\] cannot be saved"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_interp", [2000, None])
def test_unequal_classes_keep_their_shares(n_interp):
    x, y = make_classification(
        1000, 8, n_informative=4, weights=[0.9], flip_y=0.1, class_sep=0.7, random_state=0
    )
    flow = kflow.KernelFlowClassifier(n_interp=n_interp)
    model = make_pipeline(StandardScaler(), flow).fit(x[:600], y[:600])
    assert model.score(x[600:], y[600:]) > np.mean(y[600:] == 0)


def test_points_that_layers_are_tried_with_are_named_by_their_rows():
    """They were named by their places among those that are not held out."""
    x, y = make_moons(200, noise=0.2, random_state=0)
    for settings in ({"interp_nugget": 0.0}, {"nugget": 0.0, "gamma": 5.0, "precision": "float64"}):
        with pytest.raises(kflow.NotPositiveDefinite) as caught:
            kflow.KernelFlowClassifier(**settings).fit(x, y)
        i, j = caught.value.pair
        apart = float(str(caught.value).split(" apart")[0].split()[-1])
        assert apart == pytest.approx(np.linalg.norm(x[i] - x[j]), rel=0.05)
        assert f"{i} and {j}" in str(caught.value)
    far = np.array([[5.0, 0], [5.0005, 0]])  # of which one at least is not held out
    x, y = np.concatenate([x, far]), np.append(y, [0, 0])
    with pytest.raises(ValueError, match=r"row (\d+) of x is") as refused:
        kflow.KernelFlowClassifier(gamma=0.02).fit(x, y)
    row, reach = re.search(r"row (\d+) of x is (\S+) from", str(refused.value)).groups()
    gamma = 0.02 * kflow.Gaussian.for_points(torch.from_numpy(x)).gamma
    distance = np.linalg.norm(x[int(row)] - np.median(x, axis=0)) / gamma
    assert float(reach) == pytest.approx(distance, rel=0.1)


def test_rows_in_reverse_order_are_taken():
    x, y = make_moons(60, noise=0.2, random_state=0)
    model = kflow.KernelFlowClassifier(layers=5).fit(x[::-1], y[::-1])
    again = kflow.KernelFlowClassifier(layers=5).fit(x[::-1].copy(), y[::-1].copy())
    np.testing.assert_array_equal(
        model.decision_function(x[::-1]), again.decision_function(x)[::-1]
    )
    regressor = kflow.KernelFlowRegressor(steps=2, normalize_y=False).fit(x[::-1], x[::-1, 0])
    assert np.isfinite(regressor.predict(x[::-1])).all()
