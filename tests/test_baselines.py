"""The baselines: ridge against scikit-learn, and a record made part by part."""

import json

import pytest
import torch

from kflow.checks import NotPositiveDefinite
from kflow.kernels import Gaussian
from kflow.paper import baselines, ridge

SMALL = baselines.Scale(
    held=40, points=50, gammas=(0.5, 1.0), nuggets=(1e-2,), ridge_gammas=(0.5, 1.0),
    ridge_nuggets=(1e-1,), neighbours=(1, 3), tries=((40, 1), (10, 2)), draws=((40, 2), (10, 3)),
)  # fmt: skip


def points(dataset="mnist"):
    rng = torch.Generator().manual_seed(5)
    y = torch.eye(10)[torch.arange(200) % 10]
    x = 2 * y @ torch.randn(10, 6, generator=rng) + torch.randn(200, 6, generator=rng)
    return x[:150], y[:150], x[150:], y[150:]


def test_ridge_with_a_float32_factor_is_that_of_scikit_learn_in_float64():
    kernel_ridge = pytest.importorskip("sklearn.kernel_ridge")
    x, y, x_test, _ = (part.double() for part in points())
    peer = kernel_ridge.KernelRidge(alpha=0.01, kernel="rbf", gamma=1 / 1.5**2).fit(x, y)
    fitted = ridge.fit(Gaussian(1.5), x, y, 0.01, solves=3, block=32)
    found = ridge.predict(Gaussian(1.5), x, fitted.coefficients, x_test, block=16)
    assert fitted.residuals[-1] < 1e-11 and len(fitted.residuals) == 3
    torch.testing.assert_close(found, torch.from_numpy(peer.predict(x_test)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("block", [7, 30, 64])
def test_the_factor_in_place_is_that_of_the_whole_matrix(rng, block):
    a = torch.randn(30, 30, generator=rng, dtype=torch.float64)
    gram = a @ a.mT + 30 * torch.eye(30, dtype=torch.float64)
    expected = torch.linalg.cholesky(gram)
    found = ridge.factor_in_place(gram.float(), block)
    torch.testing.assert_close(found.tril().double(), expected, rtol=0, atol=1e-4)
    y = torch.randn(30, 2, generator=rng)
    solved = torch.cholesky_solve(y.double(), expected)
    torch.testing.assert_close(
        ridge.substitute(found, y, block).double(), solved, rtol=0, atol=1e-5
    )


def test_too_small_a_nugget_for_float32_is_said():
    x, y = torch.zeros(50, 2), torch.ones(50, 1)
    with pytest.raises(NotPositiveDefinite, match="float32.*larger nugget"):
        ridge.fit(Gaussian(1.0), x, y, 1e-12)


def test_the_baselines_are_made_part_by_part_and_kept(tmp_path):
    whole = baselines.run(tmp_path, SMALL, points)
    names = ("layer_0", "neighbours", "all_ridge")
    assert list(whole["parts"]) == [f"{d} {name}" for name in names for d in baselines.DATASETS]
    first = whole["parts"]["mnist layer_0"]
    assert [len(first["test"][n]) for n in ("40", "10")] == [2, 3]
    assert first["chosen"]["10"]["gamma_factor"] in SMALL.gammas
    path = tmp_path / "book/records/paper/baselines.json"
    del whole["parts"]["mnist all_ridge"]
    path.write_text(json.dumps(whole))
    again = baselines.run(tmp_path, SMALL, points)
    assert again["parts"]["mnist layer_0"] == first
    assert again["parts"]["mnist all_ridge"]["test"] < 0.5


def test_which_points_are_misclassified_is_what_scikit_learn_says(tmp_path):
    neighbors = pytest.importorskip("sklearn.neighbors")
    found = baselines.run(tmp_path, SMALL, points)["parts"]["mnist neighbours"]
    x, y, x_test, y_test = (part.numpy() for part in points())
    voters = neighbors.KNeighborsClassifier(found["chosen"]["k"]).fit(x, y.argmax(1))
    wrong = (voters.predict(x_test) != y_test.argmax(1)).nonzero()[0].tolist()
    assert 0 < len(wrong) < 50 and found["wrong"] == wrong and found["test"] == len(wrong) / 50


def test_ridge_is_not_made_where_memory_is_short(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(baselines, "ROOM", 1e12)
    record = baselines.run(tmp_path, SMALL, points)
    assert "mnist all_ridge" not in record["parts"] and "mnist neighbours" in record["parts"]
    assert "mnist all_ridge: not made, it takes" in capsys.readouterr().err
