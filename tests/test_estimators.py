import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_moons
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import kflow


def test_it_learns_real_digits_with_one_point_per_class():
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=500, random_state=0, stratify=y)
    flow = kflow.KernelFlowClassifier(n_interp=10).fit(x, y)
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


def test_the_same_seed_gives_the_same_model():
    x, y = make_moons(100, noise=0.1, random_state=0)
    one, other = (kflow.KernelFlowClassifier(layers=10, n_fine=20).fit(x, y) for _ in range(2))
    assert np.array_equal(one.decision_function(x), other.decision_function(x))


def test_the_last_interpolant_is_that_of_the_flowed_points_with_the_nugget():
    x, y = make_moons(60, noise=0.1, random_state=0)
    model = kflow.KernelFlowClassifier(layers=5, n_fine=20, n_interp=30, nugget=0.3).fit(x, y)
    v = model.interpolant_
    gram = model.kernel_(v.x, v.x) + 0.3 * torch.eye(30, dtype=torch.float64)
    labels = gram @ v.coefficients  # (K + nugget I) c = y, one-hot, as many of each class
    assert torch.allclose(labels, labels.round(), atol=1e-6)
    assert labels.round().sum(0).tolist() == [15, 15] and labels.round().unique().tolist() == [0, 1]


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="one class only"):
        kflow.KernelFlowClassifier().fit(np.random.default_rng(0).normal(size=(10, 2)), [1] * 10)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.EstimatorCheckFailedWarning")
def test_it_keeps_the_rules_of_scikit_learn():
    check_estimator(kflow.KernelFlowClassifier(layers=10, n_fine=20))
