import pytest
import torch

import kflow


@pytest.fixture
def batch(device):
    z = torch.tensor([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    g = torch.tensor([[1.2, 1.6], [0.5, 0.0], [0.0, 0.0]], dtype=torch.float64)
    return z.to(device), g.to(device)


def test_constant_is_constant(batch):
    assert float(kflow.Constant(0.3)(*batch)) == 0.3


def test_the_fastest_point_moves_by_delta(batch):
    z, g = batch
    eps = kflow.MaxDisplacement(0.5)(z, g)
    assert float((eps * g).norm(dim=1).max()) == pytest.approx(0.5)


def test_the_relatively_fastest_point_moves_by_its_share(batch):
    # |z|/|g| is 2.5 and 2; a point that does not move is left out, at the origin too
    z, g = batch
    assert float(kflow.RelativeDisplacement(0.2)(z, g)) == pytest.approx(0.4)
    z[2] = 0
    assert float(kflow.RelativeDisplacement(0.2)(z, g)) == pytest.approx(0.4)


@pytest.mark.parametrize("rule", [kflow.MaxDisplacement(0.5), kflow.RelativeDisplacement(0.5)])
@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_how_long_gradients_are_does_not_matter(rule, scale, batch):
    z, g = batch
    assert float(scale * rule(z, scale * g)) == pytest.approx(float(rule(z, g)))


@pytest.mark.parametrize("rule", [kflow.MaxDisplacement(0.5), kflow.RelativeDisplacement(0.5)])
def test_without_a_gradient_nothing_moves(rule, batch):
    z, g = batch
    assert float(rule(z, 0 * g)) == 0


@pytest.mark.parametrize(
    "rule", [kflow.Constant, kflow.MaxDisplacement, kflow.RelativeDisplacement]
)
def test_a_step_must_be_positive(rule):
    with pytest.raises(ValueError, match="must be above 0, not -1"):
        rule(-1)
    with pytest.raises(ValueError, match=r"must be at most 1e\+16, not 1e\+300"):
        rule(1e300)
