"""The regressor: what it predicts, how sure it is, the rules of scikit-learn, files, bad input."""

import errno
import io
import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_linnerud, make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import kflow
from kflow.engine import sealed
from kflow.learning import (
    ARD,
    DeepFeatures,
    Isotropic,
    LeaveOneOut,
    Linear,
    Metric,
    Periodic,
    Polynomial,
)

QUICK = dict(steps=40, n_fine=100)


@pytest.fixture(scope="module")
def friedman():
    x, y = make_friedman1(400, noise=1.0, random_state=0)
    return train_test_split(x, y, test_size=200, random_state=0)


@pytest.fixture(scope="module")
def fitted(friedman):
    x, _, y, _ = friedman
    return kflow.KernelFlowRegressor(**QUICK).fit(x, y)


def test_it_predicts_and_finds_the_features_that_matter(friedman):
    x, x_test, y, y_test = friedman
    model = kflow.KernelFlowRegressor(n_fine=100, steps=100).fit(x, y)
    assert model.score(x_test, y_test) > 0.9  # the noise alone leaves 0.96
    assert {0, 1, 2} < set(model.bandwidths_.argsort()[:4])  # 3 and 4 act linearly
    loo = 1 - ((model.loo_predictions_ - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert loo == pytest.approx(model.score(x_test, y_test), abs=0.05)


def test_nine_of_ten_intervals_hold_the_label(friedman, fitted):
    _, x_test, _, y_test = friedman
    mean, std = fitted.predict(x_test, return_std=True, noise=True)
    assert 0.85 < (abs(mean - y_test) < 1.645 * std).mean() < 0.95
    _, narrow = fitted.predict(x_test, return_std=True)
    noise = fitted.amplitude_ * fitted.nugget_
    np.testing.assert_allclose(std**2 - narrow**2, noise, rtol=1e-9)
    assert 0.6 < noise**0.5 < 1.4  # the true standard deviation of the noise is 1


def test_the_covariance_has_the_variances_and_the_draws(friedman, fitted):
    x_test = friedman[1][:5]
    mean, covariance = fitted.predict(x_test, return_cov=True, noise=True)
    _, std = fitted.predict(x_test, return_std=True, noise=True)
    np.testing.assert_allclose(np.diag(covariance), std**2, rtol=1e-9)
    draws = fitted.sample(x_test, 20_000, noise=True)
    assert draws.shape == (5, 20_000)
    np.testing.assert_allclose(draws.mean(1), mean, atol=0.1)
    np.testing.assert_allclose(np.cov(draws), covariance, atol=0.2)


def test_several_outputs_share_a_kernel_and_have_their_own_scale():
    x, y = load_linnerud(return_X_y=True)
    model = kflow.KernelFlowRegressor(**QUICK).fit(x, y * [1, 1, 1000])
    mean, std = model.predict(x, return_std=True)
    assert mean.shape == std.shape == (20, 3) and model.amplitude_.shape == (3,)
    assert model.predict(x, return_cov=True)[1].shape == (20, 20, 3)
    assert model.sample(x, 7).shape == (20, 3, 7)
    other = clone(model).fit(x, y)
    np.testing.assert_allclose(mean / [1, 1, 1000], other.predict(x), rtol=1e-6)


def test_units_of_features_and_labels_do_not_matter(friedman, fitted):
    x, x_test, y, _ = friedman
    scales = np.logspace(-3, 3, 10)
    other = clone(fitted).fit(x * scales + 5, 100 * y - 7)
    expected = 100 * fitted.predict(x_test) - 7
    np.testing.assert_allclose(other.predict(x_test * scales + 5), expected, rtol=1e-6)
    shift = len(x) * np.log(100)
    assert other.log_marginal_likelihood_ == pytest.approx(fitted.log_marginal_likelihood_ - shift)


def test_constant_columns_are_left_out(friedman, fitted):
    x, x_test, y, _ = friedman
    constant = np.insert(x, 3, 0.1, axis=1)
    model = clone(fitted).fit(constant, y)
    np.testing.assert_array_equal(
        model.predict(np.insert(x_test, 3, 9.0, axis=1)), fitted.predict(x_test)
    )
    assert model.bandwidths_[3] == np.inf and len(model.bandwidths_) == 11


def test_a_column_that_differs_by_rounding_is_left_out_with_a_warning():
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        means = [np.full(k, 0.1, dtype).mean() for k in rng.integers(1, 2000, 200)]
        frame = pd.DataFrame({"mean": means, "x": rng.normal(size=200).astype(dtype)})
        assert frame["mean"].nunique() > 2
        with pytest.warns(UserWarning, match="constant but for rounding are left out: mean; if"):
            model = kflow.KernelFlowRegressor(steps=1).fit(frame, frame["x"])
        assert model.varies_.tolist() == [False, True]


def test_a_column_counts_where_it_differs_by_more_than_rounding():
    rng = np.random.default_rng(0)  # degrees, a metre apart
    x = np.stack([13.4 + 1e-5 * rng.normal(size=100), rng.normal(size=100)], 1).astype(np.float32)
    y = (x[:, 0] - np.float32(13.4)) * 1e5
    model = kflow.KernelFlowRegressor(steps=40).fit(x[:70], y[:70])
    assert model.varies_.all() and model.score(x[70:], y[70:]) > 0.99


def test_coincident_points_with_other_labels_need_a_nugget_and_learn_one():
    x = np.repeat(np.linspace(0, 1, 20)[:, None], 2, axis=0)
    y = np.sin(5 * x[:, 0]) + np.tile([-0.1, 0.1], 20)
    model = kflow.KernelFlowRegressor(**QUICK).fit(x, y)
    np.testing.assert_allclose(model.predict(x), np.sin(5 * x[:, 0]), atol=0.07)
    with pytest.raises(kflow.NotPositiveDefinite, match="pass a nugget"):
        kflow.KernelFlowRegressor(nugget=0.0).fit(x, y)


@pytest.mark.parametrize(
    "settings",
    [dict(n_fine=900), dict(kernel=kflow.Matern32(1.0)), dict(criterion="half", n_fine=998)],
)
def test_coincident_rows_are_named_as_rows_of_x_whatever_batch_they_are_found_in(settings):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1000, 2)), rng.normal(size=1000)
    x[900] = x[7]
    settings = dict(kernel="matern32", n_interp=990, steps=9, nugget=0.0) | settings
    with pytest.raises(kflow.NotPositiveDefinite, match=r"points 7 and 900 are") as error:
        kflow.KernelFlowRegressor(**settings).fit(x, y)
    assert error.value.pair == (7, 900)


@pytest.mark.parametrize("criterion", ["rho", "loo", "half", "kfold", LeaveOneOut(50)])
def test_every_criterion_learns(criterion, friedman):
    x, x_test, y, y_test = friedman
    model = kflow.KernelFlowRegressor(criterion=criterion, **QUICK).fit(x, y)
    assert model.score(x_test, y_test) > 0.8 and model.n_iter_ == 40


@pytest.mark.parametrize(
    "kernel", ["gaussian", Isotropic(kflow.Matern32, 2.0) + Linear(10), kflow.Matern52(4.0)]
)
def test_kernels_by_name_with_parameters_or_as_they_are(kernel, friedman):
    x, x_test, y, y_test = friedman
    model = kflow.KernelFlowRegressor(kernel, ard=False, **QUICK).fit(x, y)
    assert model.score(x_test, y_test) > 0.75


def test_a_seed_repeats_and_none_does_not(friedman):
    x, _, y, _ = friedman
    quick = dict(steps=5, n_fine=40)

    def nugget(state):
        return kflow.KernelFlowRegressor(random_state=state, **quick).fit(x, y).bandwidths_[0]

    assert nugget(3) == nugget(3) != nugget(4)
    assert nugget(np.random.RandomState(0)) == nugget(np.random.RandomState(0))
    assert nugget(None) != nugget(None)


def test_it_works_in_a_pipeline_and_a_search():
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    model = kflow.KernelFlowRegressor(steps=10, n_fine=50, n_interp=100)
    assert cross_val_score(make_pipeline(StandardScaler(), model), x, y, cv=3).min() > 0.3
    search = GridSearchCV(model, {"kernel": ["gaussian", "matern52"], "ard": [True, False]}, cv=2)
    assert search.fit(x, y).best_score_ > 0.3
    assert list(search.best_estimator_.feature_names_in_) == list(x.columns)
    assert len(search.best_estimator_.posterior_.x) == 100


TO_SAVE = [
    "matern52",
    kflow.RationalQuadratic(3.0, 0.7),
    0.5 * ARD(kflow.Matern32, 10) + Linear(10) * Periodic(),
]


@pytest.mark.parametrize("kernel", TO_SAVE, ids=lambda k: type(k).__name__)
def test_a_saved_model_predicts_the_same(kernel, friedman, tmp_path):
    x, x_test, y, _ = friedman
    model = kflow.KernelFlowRegressor(kernel, steps=5, n_fine=50).fit(x, y)
    model.save(tmp_path / "model.safetensors")
    again = kflow.KernelFlowRegressor.load(tmp_path / "model.safetensors")
    for ours, theirs in zip(
        *(m.predict(x_test, return_std=True) for m in (model, again)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert again.log_marginal_likelihood_ == pytest.approx(model.log_marginal_likelihood_)
    assert again.get_params()["steps"] == 5
    assert (tmp_path / "model.safetensors").stat().st_size < 50_000


@pytest.mark.wrong_types
@pytest.mark.parametrize("nugget", [np.int64(1), np.float32(1), Fraction(1), torch.tensor(1)])
def test_a_nugget_of_any_kind_of_number_is_saved(nugget, tmp_path):
    for kernel in ("matern52", kflow.Gaussian(1.0)):
        model = kflow.KernelFlowRegressor(kernel, nugget=nugget, steps=np.int64(1)).fit(X, Y)
        model.save(tmp_path / "model")
        again = kflow.KernelFlowRegressor.load(tmp_path / "model")
        assert type(again.nugget_) is float and again.nugget_ == 1.0
        np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-9)


@pytest.mark.wrong_types
def test_kernels_with_numbers_of_numpy_are_saved(tmp_path):
    n, two = np.int64(X.shape[1]), np.int64(2)
    terms = (Polynomial(n, two), Metric(kflow.Gaussian, n, np.int64(1)))
    kernel = np.float32(0.5) * ARD(kflow.Matern32, n) + terms[0] * terms[1]
    model = kflow.KernelFlowRegressor(kernel, nugget=0.1, steps=1).fit(X, Y)
    model.save(tmp_path / "model")
    again = kflow.KernelFlowRegressor.load(tmp_path / "model")
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-9)


def test_what_is_no_saved_model_is_refused(tmp_path, friedman):
    x, _, y, _ = friedman
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(ValueError, match="is damaged, or no file of safetensors"):
        kflow.KernelFlowRegressor.load(tmp_path / "text")
    with pytest.raises(FileNotFoundError):
        kflow.KernelFlowRegressor.load(tmp_path / "absent")
    net = torch.nn.Linear(10, 2)
    model = kflow.KernelFlowRegressor(DeepFeatures(net, Isotropic()), steps=2).fit(x, y)
    with pytest.raises(ValueError, match="DeepFeatures cannot be saved"):
        model.save(tmp_path / "deep")


X = np.random.default_rng(0).normal(size=(20, 3))
Y = X[:, 0]


@pytest.mark.parametrize(
    ("settings", "x", "y", "message"),
    [
        (
            {},
            np.where(np.arange(20)[:, None] == 7, np.nan, X),
            Y,
            "X contains NaN.*1 of 20 rows: 7",
        ),
        (
            {},
            X,
            np.where(np.arange(20) > 12, np.inf, Y),
            "y contains NaN.*7 of 20 rows: 13, 14, 15",
        ),
        ({}, X, np.ones(20), "all labels y are equal"),
        ({}, np.ones((20, 3)), Y, "all features of X are constant"),
        *[
            (
                dict(kernel=made),
                X * [1, 0, 1],
                Y,
                "made for 3 features, but 2 columns of X vary .constant ones are left out",
            )
            for made in (ARD(kflow.Gaussian, 3), ARD(kflow.Gaussian, 3).freeze())
        ],
        ({"kernel": "rbf"}, X, Y, "kernel must be one of 'gaussian', .*not 'rbf'"),
        ({"criterion": "mse"}, X, Y, "criterion must be one of 'loo'"),
        ({"nugget": -1}, X, Y, "nugget must be at least 0"),
        ({"n_interp": 1}, X, Y, "n_interp must be at least 2"),
        ({"kernel": ARD(kflow.Gaussian, 4)}, X, Y, "made for 4 features, but 3 columns"),
        ({}, X, np.array([b"a", b"b"] * 10), "y must hold numbers to be regressed"),
        ({}, np.where(X == X[3, 1], 1e300, X), Y, r"X must be at most 1e\+100.*1e\+300"),
        ({}, X, np.where(Y == Y[3], 1e300, Y), r"y must be at most 1e\+100.*1e\+300"),
        ({"random_state": 10**30}, X, Y, "random_state must be at most"),
    ],
)
def test_bad_input_is_refused_by_name(settings, x, y, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        kflow.KernelFlowRegressor(**settings).fit(x, y)


def test_deviation_and_covariance_exclude_each_other(fitted, friedman):
    with pytest.raises(ValueError, match="exclude each other"):
        fitted.predict(friedman[1], return_std=True, return_cov=True)


@pytest.mark.parametrize("name", ["return_std", "return_cov", "noise"])
@pytest.mark.wrong_types
def test_what_is_asked_for_with_a_prediction_is_true_or_false(name, fitted):
    with pytest.raises(TypeError, match=f"{name} must be True or False, not 'no'"):
        fitted.predict(X, **{name: "no"})


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.filterwarnings("ignore::kflow.learning.LearningWarning")
def test_it_keeps_the_rules_of_scikit_learn():
    check_estimator(kflow.KernelFlowRegressor(steps=5))


def test_what_is_no_number_in_a_data_frame_is_named_by_its_label():
    frame = pd.DataFrame({"m": [1.0, 2, np.nan, 4, 5], "K": [1, 2, 3, 4, 5]}, index=[*"abcde"])
    labels = pd.Series([1.0, 2, 3, np.nan, 5], index=frame.index)
    model = kflow.KernelFlowRegressor()
    with pytest.raises(ValueError, match=r"X contains NaN .* in 1 of 5 rows: c \(columns m\)"):
        model.fit(frame, labels.fillna(0))
    with pytest.raises(ValueError, match="y contains NaN .* in 1 of 5 rows: d; leave"):
        model.fit(frame.fillna(0), labels)
    rows = frame.to_numpy().tolist()
    with pytest.raises(ValueError, match="X contains NaN .* in 1 of 5 rows: 2; leave"):
        model.fit(rows, labels.fillna(0).tolist())
    with pytest.raises(ValueError, match="y contains NaN .* in 1 of 5 rows: 3; leave"):
        model.fit(frame.fillna(0).to_numpy().tolist(), labels.tolist())
    words = frame.fillna(0).assign(soil=[*"xyxyx"], day=pd.date_range("2020", periods=5))
    with pytest.raises(ValueError, match="no numbers: soil, day; turn words .*OneHotEncoder"):
        model.fit(words, labels.fillna(0))
    numbers = frame.fillna(0).astype(object)  # numbers, though in a column of objects
    assert kflow.KernelFlowRegressor(steps=1).fit(numbers, labels.fillna(0)).n_features_in_ == 2


@pytest.mark.parametrize("model", [kflow.KernelFlowRegressor(), kflow.KernelFlowClassifier()])
def test_masked_entries_are_refused_by_their_rows(model):
    rows, labels = np.arange(20), np.arange(20) % 2
    x = np.ma.masked_array(X, (rows == 7)[:, None] & [True, False, False])
    with pytest.raises(ValueError, match="X is masked in 1 of 20 rows: 7; leave them out, or fill"):
        model.fit(x, labels)
    for y in (labels, labels.astype(float), np.array([*"ab"])[labels]):
        with pytest.raises(ValueError, match="y is masked in 2 of 20 rows: 18, 19; leave these"):
            model.fit(X, np.ma.masked_array(y, rows > 17))
    fitted = clone(model).fit(X, np.ma.masked_array(labels, np.zeros(20, bool)))
    with pytest.raises(ValueError, match="X is masked in 1 of 20 rows: 7"):
        fitted.predict(x)


def resealed(path, **change):
    """The saved model with other settings or tensors, and the seal of these."""
    tensors, facts = sealed.read(path)
    for name, value in change.items():
        (facts if name in facts else tensors)[name] = value
    sealed.write(path, tensors, facts)


@pytest.mark.parametrize(
    "change",
    [
        dict(kernel={"class": "os.system"}),
        dict(kernel={"class": "Radial", "gamma": 1.0}),
        dict(kernel={"class": "ARD", "base": {"class": "Gaussian", "gamma": 1.0},
                     "n_features": 10**12}),
        dict(kernel=None),
        dict(nugget=-1.0),
        dict(nugget="none"),
        dict(one_output=3),
        dict(parameters={"evil": 1}),
        dict(parameters=None),
        dict(n_features_in_=10**15),
        dict(n_features_in_="2"),
        dict(feature_names_in_=["a"]),
        dict(feature_names_in_=3),
        dict(y_mean_=torch.full((1,), torch.nan, dtype=torch.float64)),
        dict(mean_=torch.zeros(7)),
        dict(x=torch.zeros(0, 3)),
        dict(amplitude=torch.zeros(2, 2)),
        dict(amplitude=torch.zeros(1, dtype=torch.float64)),
        dict(amplitude=torch.full((1,), -1.0)),
        dict(amplitude=torch.full((1,), torch.inf)),
    ],
)  # fmt: skip
def test_a_sealed_file_that_is_no_model_is_refused(tmp_path, change):
    path = tmp_path / "model.safetensors"
    kflow.KernelFlowRegressor(steps=1).fit(X, Y).save(path)
    resealed(path, **change)
    with pytest.raises(ValueError, match="model.safetensors (holds|is damaged)"):
        kflow.KernelFlowRegressor.load(path)


def test_a_model_of_which_a_bit_was_flipped_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    kflow.KernelFlowRegressor(steps=1).fit(X, Y).save(path)
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="is damaged.*digest"):
        kflow.KernelFlowRegressor.load(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="is damaged.*it is a folder"):
        kflow.KernelFlowRegressor.load(path)


def test_a_full_disk_leaves_the_model_that_was_saved_before(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    model = kflow.KernelFlowRegressor(steps=1).fit(X, Y)
    model.save(path)
    before = path.read_bytes()

    def full(tensors, file, metadata=None):
        file.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sealed, "save_file", full)
    with pytest.raises(OSError, match="could not be written to .*No space left.*free some space"):
        model.save(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_bytes() == before


def test_a_saved_model_with_an_output_that_is_constant_is_read_again(tmp_path):
    y = np.column_stack([Y, np.zeros(len(Y))])
    model = kflow.KernelFlowRegressor(steps=1).fit(X, y)
    model.save(tmp_path / "model.safetensors")
    again = kflow.KernelFlowRegressor.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(X)[:, 1], 0.0)


@pytest.mark.parametrize("scale", [1e-140, 1e-60, 1e60, 1e99])
@pytest.mark.parametrize("calibrated", [4000, 10])
def test_a_model_whose_labels_are_in_any_unit_is_read_again(
    scale, calibrated, tmp_path, monkeypatch
):
    monkeypatch.setattr(kflow.estimators.regressor, "CALIBRATED", calibrated)
    model = kflow.KernelFlowRegressor(steps=1, normalize_y=False).fit(X, scale * Y)
    model.save(tmp_path / "model")
    again = kflow.KernelFlowRegressor.load(tmp_path / "model")
    for ours, theirs in zip(*(m.predict(X, return_std=True) for m in (model, again)), strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * scale)


def test_a_model_that_can_only_predict_near_its_points_is_read_again(tmp_path):
    x = 1e9 + 1e-3 * X
    model = kflow.KernelFlowRegressor(Polynomial(3, 30), nugget=1e20, steps=1).fit(x, Y)
    model.save(tmp_path / "model")
    again = kflow.KernelFlowRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    with pytest.raises(ValueError, match="too large for degree 30"):
        again.predict(0 * x)


@pytest.mark.parametrize("model", [
    kflow.KernelFlowRegressor(steps=1), kflow.KernelFlowClassifier(layers=2)],
    ids=lambda m: type(m).__name__)  # fmt: skip
def test_a_model_of_a_device_that_is_not_here_is_read_on_another(model, tmp_path):
    path = tmp_path / "model"
    model = clone(model).fit(X, Y > 0)
    model.set_params(device="cuda:99").save(path)
    with pytest.raises(ValueError, match="another device .* here: .*'cuda:99'; pass .*\"cpu\""):
        type(model).load(path)
    again = type(model).load(path, device="cpu")
    assert again.device == "cpu"
    model.set_params(device="cpu")
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=1e-9)
    with pytest.raises(ValueError, match="device must be one of this machine's"):
        type(model).load(path, device="nowhere")


def test_points_to_predict_from_that_hold_no_label_but_0_are_refused():
    x = np.random.RandomState(0).normal(size=(30, 2))
    y = np.where(np.arange(30) == 29, 1.0, 0.0)
    model = kflow.KernelFlowRegressor(steps=0, n_interp=2, normalize_y=False)
    with pytest.raises(ValueError, match="of the 2 points drawn .* of output 0 are 0, .* n_interp"):
        model.fit(x, y)
    two = np.stack([np.arange(30.0), y], 1)
    with pytest.raises(ValueError, match="all labels of output 1 are 0, and others are not"):
        model.fit(x, two)
    assert np.isfinite(model.set_params(n_interp=None).fit(x, y).log_marginal_likelihood_)


@pytest.mark.parametrize("criterion", ["likelihood", "loo", "half", "kfold", "rho"])
def test_a_batch_that_holds_no_label_but_0_is_named_with_the_cure(criterion):
    x = np.random.RandomState(0).normal(size=(300, 2))
    y = np.where(np.arange(300) == 299, 1.0, 0.0)
    model = kflow.KernelFlowRegressor(criterion=criterion, steps=1, n_fine=4, normalize_y=False)
    with pytest.raises(FloatingPointError, match="output 0 are 0 among the 4 .* a larger n_fine"):
        model.fit(x, y)


def test_an_output_without_a_label_but_0_has_no_part_in_the_likelihood():
    x = np.random.RandomState(0).normal(size=(30, 2))
    y = np.stack([x[:, 0], np.zeros(30)], 1)
    both, one = (kflow.KernelFlowRegressor(steps=0).fit(x, labels) for labels in (y, y[:, 0]))
    assert both.log_marginal_likelihood_ == pytest.approx(one.log_marginal_likelihood_)


@pytest.mark.parametrize("constant", [0.1, 0.5, "by rounding"])
def test_a_constant_output_has_no_part_in_the_likelihood_whatever_its_value(constant):
    x = np.random.RandomState(0).normal(size=(40, 2))
    rounded = [np.full(k, 0.1).mean() for k in range(1, 1600, 40)]
    other = rounded if constant == "by rounding" else np.full(40, constant)
    model = kflow.KernelFlowRegressor(steps=0)
    one = clone(model).fit(x, x[:, 0]).log_marginal_likelihood_
    model.fit(x, np.stack([x[:, 0], other], 1))
    assert model.log_marginal_likelihood_ == pytest.approx(one)
    assert model.amplitude_[1] == 0
    np.testing.assert_allclose(model.predict(x + 1)[:, 1], other[0], rtol=1e-14)
    with pytest.raises(ValueError, match="all labels y are equal"):
        model.fit(x, other)


def test_a_fit_that_fails_leaves_the_model_as_it_was(friedman, monkeypatch):
    x, x_test, y, _ = friedman
    model = kflow.KernelFlowRegressor(**QUICK).fit(x, y)
    before, known = model.predict(x_test), set(vars(model))
    with pytest.raises(kflow.NotPositiveDefinite):
        model.set_params(nugget=0.0).fit(np.r_[x, x] * 5 + 3, np.r_[y, -y])
    np.testing.assert_array_equal(model.predict(x_test), before)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("kflow.estimators.regressor.condition", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(nugget="learn").fit(x[:, :4] * 5, y)
    np.testing.assert_array_equal(model.predict(x_test), before)
    assert set(vars(model)) == known


def test_columns_and_labels_whose_squares_underflow_count_as_any_other(friedman, fitted):
    x, x_test, y, _ = friedman
    small = np.array([1, 1, 1, 1e-200, *np.ones(6)])
    model = kflow.KernelFlowRegressor(**QUICK).fit(x * small, y * 1e-90)
    mean, covariance = model.predict(x_test * small, return_cov=True)
    np.testing.assert_allclose(mean * 1e90, fitted.predict(x_test), 1e-6)
    expected = fitted.predict(x_test, return_cov=True)[1]
    np.testing.assert_allclose(covariance * 1e180, expected, 1e-4, 1e-6)
    with pytest.raises(ValueError, match="y varies by .*e-200, too little to be squared"):
        model.fit(x, y * 1e-200)  # its variance is 0


def test_rows_that_predict_are_named_and_saved(friedman, tmp_path):
    x, _, y, _ = friedman
    model = kflow.KernelFlowRegressor(n_interp=150, **QUICK).fit(x, y)
    model.save(tmp_path / "model")
    for found in (model, kflow.KernelFlowRegressor.load(tmp_path / "model")):
        assert len(set(found.interp_indices_)) == 150
        left = y[found.interp_indices_] - found.loo_predictions_
        assert left.std() < y.std() / 2  # other rows would leave more than all of it


def test_rows_stay_in_order_where_a_part_of_them_calibrates(friedman, monkeypatch):
    monkeypatch.setattr("kflow.estimators.regressor.CALIBRATED", 100)
    x, _, y, _ = friedman
    model = kflow.KernelFlowRegressor(**QUICK).fit(x, y)
    assert (y - model.loo_predictions_).std() < y.std() / 2
    np.testing.assert_array_equal(model.interp_indices_, np.arange(len(y)))


def test_a_fit_leaves_nothing_of_the_one_before(friedman):
    x, _, y, _ = friedman
    model = kflow.KernelFlowRegressor(steps=2).fit(x, y)
    assert len(model.bandwidths_) == x.shape[1]
    model.set_params(kernel=kflow.Gaussian(2.0)).fit(x[:, :2], y)
    assert not hasattr(model, "bandwidths_")


def test_a_loaded_model_asks_for_the_parameters_that_could_not_be_saved(friedman, tmp_path):
    x, _, y, _ = friedman
    settings = dict(n_fine=np.int64(50), steps=2, device=torch.device("cpu"))
    model = loaded = kflow.KernelFlowRegressor(kflow.Gaussian(2.0), **settings).fit(x, y)
    for _ in range(2):
        loaded.save(tmp_path / "model")
        loaded = kflow.KernelFlowRegressor.load(tmp_path / "model")
    np.testing.assert_allclose(loaded.predict(x), model.predict(x), rtol=1e-9)
    assert loaded.n_fine == 50
    with pytest.raises(TypeError, match=r"<Gaussian\(gamma=2.0\), which was not saved"):
        clone(loaded).fit(x, y)
    assert loaded.set_params(kernel=kflow.Gaussian(2.0)).fit(x, y).score(x, y) == model.score(x, y)


def test_a_path_that_is_no_file_s_is_refused_and_nothing_is_left(fitted, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="choose another path"):
        fitted.save(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    for path in (io.BytesIO(), ""):
        with pytest.raises(TypeError, match="path must be the path of a file"):
            fitted.save(path)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        (dict(kernel=kflow.Gaussian), TypeError, "not the class"),
        (dict(kernel=lambda a, b: -a @ b.T), ValueError, "it must be positive and finite"),
        (dict(kernel=lambda a, b: (a @ b.T)[:1]), ValueError, "a matrix of 200 x 200"),
        (dict(kernel=lambda a, b: (a @ b.T).numpy()), TypeError, "must return a torch.Tensor"),
        (dict(ard="no"), TypeError, "ard must be True or False, not 'no'"),
        (dict(refit_nugget=2), TypeError, "refit_nugget must be True or False"),
        (dict(normalize_y="no"), TypeError, "normalize_y must be True or False"),
        (dict(criterion=None), ValueError, "criterion must be one of"),
        (dict(criterion=LeaveOneOut), ValueError, "criterion must be one of"),
    ],
)
def test_settings_that_are_not_valid_are_refused_by_name(friedman, settings, error, says):
    with pytest.raises(error, match=re.escape(says)):
        kflow.KernelFlowRegressor(**settings).fit(friedman[0], friedman[2])


def test_dates_are_no_numbers(friedman):
    x, _, y, _ = friedman
    for change in (
        (x.astype("datetime64[s]"), y),
        (x, y.astype("timedelta64[s]")),
        ([[day] for day in y.astype("datetime64[s]")], y),
        ([[day] for day in y.astype("datetime64[s]").tolist()], y),
        (pd.DataFrame(x).assign(since=pd.to_timedelta(x[:, 1], "s")), y),
    ):
        with pytest.raises(ValueError, match="days since the first"):
            kflow.KernelFlowRegressor().fit(*change)


def test_what_cannot_be_drawn_or_fitted_is_refused(friedman):
    x, _, y, _ = friedman
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        kflow.KernelFlowRegressor(steps=2).fit(x, y).sample(x[:2], n_samples=0)
    with pytest.raises(NotFittedError):
        kflow.KernelFlowRegressor().sample(x)
    with pytest.raises(ValueError, match="0 sample"):
        kflow.KernelFlowRegressor().fit(x[:0], y[:0])


def test_error_bars_of_groups_are_those_of_new_groups(tmp_path):
    """Ten sites, twelve samples of each: a new site is not like the other samples of an old one."""
    rng = np.random.default_rng(0)
    at, new = rng.normal(size=(10, 3)), rng.normal(size=(200, 3))
    sites = np.repeat(np.arange(10), 12)
    x = at[sites] + 0.02 * rng.normal(size=(120, 3))
    truth = lambda x: np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2]  # noqa: E731
    alone = kflow.KernelFlowRegressor(ard=False, steps=60).fit(x, truth(x))
    together = kflow.KernelFlowRegressor(ard=False, steps=60).fit(x, truth(x), groups=sites)
    np.testing.assert_allclose(alone.predict(new), together.predict(new))
    held = []
    for model in (alone, together):
        mean, std = model.predict(new, return_std=True)
        held.append((np.abs(mean - truth(new)) < 1.645 * std).mean())
    assert held[0] < 0.3 and 0.6 < held[1]
    together.save(tmp_path / "model.safetensors")
    loaded = kflow.KernelFlowRegressor.load(tmp_path / "model.safetensors")
    np.testing.assert_allclose(loaded.predict(new, return_std=True)[1], std)
    order = rng.permutation(120)
    names = [f"site {site}" for site in sites[order]]
    again = kflow.KernelFlowRegressor(ard=False, steps=60)
    again.fit(x[order], truth(x[order]), groups=names)
    np.testing.assert_allclose(again.predict(new, return_std=True)[1], std, rtol=1e-4)


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ([1, 2], r"groups must be \(200,\), one for each row, not \(2,\)"),
        (["a"] * 200, "all of the 200 rows .* are of one group"),
        ([1.0, np.nan] * 100, "groups holds none for row 1"),
        (["a", np.nan] * 100, "groups holds none for row 1"),
        ([None, "a"] * 100, "groups holds none for row 0"),
        (pd.Series(["a", pd.NA] * 100, dtype="string"), "groups holds none for row 1"),
        (np.array(["2026-11-28", "NaT"] * 100, dtype="datetime64[D]"), "holds none for row 1"),
        (np.ma.masked_array([1, 2] * 100, [0, 1] * 100), "groups holds none for row 1"),
        ([{}, "a"] * 100, "all numbers or all words"),
    ],
)
def test_groups_that_are_none_are_refused(friedman, groups, says):
    with pytest.raises(ValueError, match=says):
        kflow.KernelFlowRegressor(steps=5).fit(friedman[0], friedman[2], groups=groups)


def test_groups_of_which_one_alone_predicts_are_refused(friedman):
    groups = [0] + [1] * 199
    model = kflow.KernelFlowRegressor(n_interp=5, **QUICK)
    with pytest.raises(ValueError, match="all of the 5 rows .* are of one group.*larger n_interp"):
        model.fit(friedman[0], friedman[2], groups=groups)
