"""The losses of the ablation against plain formulas, and flows that descend them."""

import json

import pytest
import torch

import kflow
from kflow.kernels import Gaussian
from kflow.paper import ablation, losses

KERNEL = Gaussian(1.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def problem(n=12, nugget=0.05):
    z, y = torch.randn(n, 3, generator=generator()).double(), torch.randn(n, 2).double()
    return z, y, KERNEL(z, z) + nugget * torch.eye(n).double(), torch.randperm(n)[: n // 2]


def predictions(gram, y, parts):
    """Every label predicted from the labels outside its part, by one solve for each part."""
    guess = torch.zeros_like(y)
    for part in parts:
        rest = torch.tensor([i for i in range(len(y)) if i not in part])
        guess[part] = gram[part][:, rest] @ torch.linalg.solve(gram[rest][:, rest], y[rest])
    return ((guess - y) ** 2).sum() / (y**2).sum()


def test_rho_is_that_of_the_game():
    z, y, gram, coarse = problem()
    torch.testing.assert_close(losses.rho(gram, y, coarse), kflow.rho(KERNEL, z, y, coarse, 0.05))


def test_leave_one_out_and_k_fold_are_as_many_separate_predictions():
    _, y, gram, _ = problem()
    ones = [[i] for i in range(12)]
    folds = [list(range(k, 12, 4)) for k in range(4)]
    torch.testing.assert_close(losses.leave_one_out(gram, y), predictions(gram, y, ones))
    torch.testing.assert_close(losses.k_fold(gram, y, folds=12), losses.leave_one_out(gram, y))
    torch.testing.assert_close(losses.k_fold(gram, y, folds=4), predictions(gram, y, folds))


def test_the_hidden_error_is_that_of_the_interpolant_of_the_kept_half():
    z, y, gram, coarse = problem()
    hidden = torch.tensor([i for i in range(12) if i not in coarse])
    v = kflow.interpolate(KERNEL, z[coarse], y[coarse], 0.05)
    expected = (v(z[hidden]) - y[hidden]).square().sum() / y[hidden].square().sum()
    torch.testing.assert_close(losses.hidden_error(gram, y, coarse), expected)


def test_the_likelihood_is_the_gaussian_density_at_the_best_amplitude():
    _, y, gram, _ = problem()

    def density(amplitude):
        normal = torch.distributions.MultivariateNormal(torch.zeros(12).double(), amplitude * gram)
        return normal.log_prob(y.T).sum()

    best = losses.energy(gram, y) / y.numel()
    assert density(best) > max(density(0.95 * best), density(1.05 * best))
    constant = 1 + torch.log(torch.tensor(2 * torch.pi))
    expected = -2 * density(best) / y.numel() - constant
    torch.testing.assert_close(losses.likelihood(gram, y), expected.double())


def test_the_alignment_with_the_labels_own_matrix_is_perfect():
    _, y, gram, _ = problem()
    centred = y - y.mean(0)
    torch.testing.assert_close(losses.misalignment(centred @ centred.T, y), 0 * y.sum())
    assert 0 < losses.misalignment(gram, y) < 2


@pytest.mark.parametrize("name", losses.DESCENDED)
def test_no_loss_has_units_and_its_gradient_is_the_difference_quotient(name):
    z, y, gram, coarse = problem()
    loss = losses.DESCENDED[name]
    shift = 2 * torch.log(torch.tensor(3.0)) if name == "likelihood" else 0
    torch.testing.assert_close(loss(7 * gram, 3 * y, coarse), loss(gram, y, coarse) + shift)
    _, gradient = losses.loss_and_gradient(loss, KERNEL, z, y, coarse, 0.05)
    way = torch.randn(z.shape, generator=generator(1)).double()
    up, down = (
        losses.loss_and_gradient(loss, KERNEL, z + h * way, y, coarse, 0.05)[0]
        for h in (1e-6, -1e-6)
    )
    torch.testing.assert_close((up - down) / 2e-6, (gradient * way).sum(), rtol=1e-6, atol=1e-8)


def test_descending_rho_is_the_flow():
    z, y, _, _ = problem(40)
    found = {}

    def keep(layer, points, carried, values):
        found[layer] = points.clone(), carried.clone()

    sets = z, y, z[:3] + 0.1
    ablation.descend(losses.rho, KERNEL, sets, 20, 0.05, 0.01, (0, 5), generator(3), keep)
    flow = kflow.KernelFlow(KERNEL, 20, kflow.MaxDisplacement(0.05), 0.01, "float64")
    path = flow.run(z, y, 5, generator(3), carry=z[:3] + 0.1)
    torch.testing.assert_close(found[5][0], path.points, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found[5][1], path.carried, rtol=1e-8, atol=1e-10)
    assert torch.equal(found[0][0], z)


SMALL = ablation.Scale(60, 30, (0, 3), ((20, 1), (10, 3)), n_fine=20, games=2)


def points(dataset):
    y = torch.eye(10)[torch.arange(200) % 10]
    noise = torch.randn(200, 6, generator=generator(5))
    return 3 * y @ torch.randn(10, 6, generator=generator(6)) + noise, y


def test_an_ablation_that_was_interrupted_goes_on_where_it_was(tmp_path, capsys):
    first = ablation.run(tmp_path, scale=SMALL, seeds=(0,), pool=points)
    whole = ablation.run(tmp_path, scale=SMALL, seeds=(0, 1), pool=points)
    assert whole["runs"][:8] == first["runs"] and len(whole["runs"]) == 16  # with their seconds
    saved = json.loads((tmp_path / "book/records/paper/losses.json").read_text())
    assert saved["runs"] == whole["runs"]
    assert capsys.readouterr().err.count("losses ") == 16
    for measured in whole["runs"]:
        assert measured["broke"] is None
        assert len(measured["by_layer"]["3"]["errors_10"]) == 3
        assert measured["by_layer"]["3"]["held_loss"] < 2


def test_results_of_another_scale_are_left_out(tmp_path, capsys):
    ablation.run(tmp_path, scale=SMALL, seeds=(0,), pool=points)
    ablation.run(tmp_path, scale=ablation.Scale(60, 30, (0, 2), ((10, 1),), n_fine=20), seeds=(0,),
                 pool=points)  # fmt: skip
    assert "8 results of other settings are left out" in capsys.readouterr().err
