"""The fluctuations of the flow with small steps: the linear process, its covariance, the orders."""

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.linalg import expm

from kflow.data import swiss_roll
from kflow.fluctuations import Linearisation, linearise, replicas
from kflow.kernels import Gaussian
from kflow.ode import EffectiveODE


@pytest.fixture(scope="module")
def problem():
    x, y = swiss_roll(6, rng=torch.Generator().manual_seed(0))
    ode = EffectiveODE(Gaussian(1.0), y, 4)
    solution = ode.solve(x, [0.25, 0.5, 1.0])
    return ode, solution, linearise(ode, solution, nodes=9)


def run(problem, eps, layers, count=2000, seed=0):
    return replicas(*problem, eps, layers, count, torch.Generator().manual_seed(seed))


def test_one_layer_of_a_replica_is_the_velocity_of_its_game(problem):
    ode, solution, _ = problem
    x = solution(0.0)
    moved = run(problem, 0.1, [1], count=50).points[0]
    which = torch.randint(len(ode.games), (50,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved, x + 0.1 * ode.velocities(x)[which])


def test_two_layers_of_the_linear_process_by_its_formula(problem):
    ode, solution, linear = problem
    eps, rng = 0.6, torch.Generator().manual_seed(0)
    found = run(problem, eps, [0, 1, 2], count=5)
    assert found.linear.shape == (3, 5, 6, 2) and not found.linear[0].any()
    d = torch.zeros(5, 12, dtype=torch.float64)
    for k in range(2):
        alone = ode.velocities(solution(k * eps)).flatten(1)
        noise = alone[torch.randint(len(ode.games), (5,), generator=rng)] - alone.mean(0)
        jacobian = torch.from_numpy(linear.jacobian(k * eps))
        d = torch.stack(
            [one + eps * (jacobian @ one + xi) for one, xi in zip(d, noise, strict=True)]
        )
        torch.testing.assert_close(found.linear[k + 1].flatten(1), d)


def test_the_noise_is_the_covariance_over_all_games(problem):
    ode, solution, linear = problem
    for t in (0.0, 1.0):
        expected = np.cov(ode.velocities(solution(t)).flatten(1).T, ddof=0)
        np.testing.assert_allclose(linear.noise(t), expected, atol=1e-12)


def test_the_covariance_at_several_times_is_that_at_each(problem):
    both = problem[2].covariance([0.3, 0.6, 1.0])
    for t, expected in zip((0.3, 0.6, 1.0), both, strict=True):
        torch.testing.assert_close(problem[2].covariance(t)[0], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (dict(eps=0.0), "eps must be above 0"),
        (dict(count=0), "count must be at least 1"),
        (dict(count=10**7 + 1), "count must be at most 10000000"),
    ],
)
def test_bad_numbers_are_refused(problem, change, says):
    given = dict(eps=0.1, layers=[1], count=3) | change
    with pytest.raises(ValueError, match=says):
        run(problem, **given)
    for nodes, bound in ((3, "at least 4"), (10_001, "at most 10000")):
        with pytest.raises(ValueError, match=f"nodes must be {bound}"):
            linearise(*problem[:2], nodes=nodes)


def test_four_nodes_make_a_spline(problem):
    ends = linearise(*problem[:2], nodes=4)
    for name in ("jacobian", "noise"):
        one, other = (getattr(each, name)(1.0) for each in (ends, problem[2]))
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_the_linear_process_has_mean_zero(problem):
    linear = run(problem, 2.0**-4, [16]).linear[0]
    error = linear.std(0) / 2000**0.5
    assert ((linear.mean(0)).abs() < 5 * error).all()


def test_the_linear_process_tells_most_of_the_fluctuation(problem):
    found = run(problem, 2.0**-6, [64], count=500)
    left = found.points[0] - problem[1].points[-1] - found.linear[0]
    assert left.std(0).norm() < 0.2 * found.linear[0].std(0).norm()


def test_the_jacobian_of_the_linearisation_is_the_derivative_of_the_velocity(problem):
    ode, solution, linear = problem
    x, step = solution(1.0), 1e-5
    direction = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    ahead, behind = ode.velocity(x + step * direction), ode.velocity(x - step * direction)
    product = torch.from_numpy(linear.jacobian(1.0)) @ direction.flatten()
    torch.testing.assert_close(
        product, (ahead - behind).flatten() / (2 * step), rtol=1e-5, atol=1e-7
    )


def test_the_scaled_fluctuations_have_the_covariance_of_the_gaussian_limit(problem):
    eps, count = 2.0**-7, 4000
    found = run(problem, eps, [64, 128], count)
    limit = problem[2].covariance([0.5, 1.0])
    for points, middle, expected in zip(found.points, problem[1].points[1:], limit, strict=True):
        scaled = ((points - middle) / eps**0.5).flatten(1)
        error = torch.cov(scaled.T) - expected
        spread = expected.diagonal()
        # a sample covariance has the standard deviation sqrt((S_ii S_jj + S_ij^2) / count)
        allowed = ((spread[:, None] * spread + expected.square()) / count).sqrt()
        assert (error.abs() < 5 * allowed + 0.02 * spread.max()).all()


def test_the_root_mean_square_error_has_order_one_half_and_the_mean_order_one(problem):
    sizes = 2.0 ** -np.arange(4, 8)
    typical, mean = [], []
    for eps in sizes:
        found = run(problem, eps, [round(1 / eps)], count=2000)
        error = found.points[0] - problem[1].points[-1]
        typical.append(float(error.square().mean().sqrt()))
        mean.append(float((error - found.linear[0]).mean(0).square().mean().sqrt()))
    logs = np.log(sizes)
    assert np.polyfit(logs, np.log(typical), 1)[0] == pytest.approx(0.5, abs=0.1)
    assert np.polyfit(logs, np.log(mean), 1)[0] == pytest.approx(1.0, abs=0.15)


def test_the_same_generator_gives_the_same_replicas(problem):
    first, second = (run(problem, 0.25, [0, 4], count=20) for _ in range(2))
    assert torch.equal(first.points, second.points)
    assert torch.equal(first.points[0], problem[1](0.0).expand(20, -1, -1))


@pytest.mark.parametrize(
    ("layers", "error"),
    [
        ([], ValueError),
        ([2, 1], ValueError),
        ([-1], ValueError),
        ([12], ValueError),
        ([1, 12], ValueError),
        (3, TypeError),
        (["a"], TypeError),
        ([0.5], TypeError),
    ],
)
@pytest.mark.wrong_types
def test_replicas_are_asked_for_at_increasing_layers_of_the_solution(problem, layers, error):
    with pytest.raises(error, match="layer"):
        run(problem, 0.1, layers, count=2)


def test_the_last_layer_may_begin_where_the_solution_ends(problem):
    assert run(problem, 0.1, [11], count=2).points.isfinite().all()


@pytest.mark.parametrize("times", [[], [0.2, 0.1], [-0.1], [float("nan")], 1.1, "soon"])
@pytest.mark.wrong_types
def test_a_covariance_is_asked_for_at_increasing_times_of_the_solution(problem, times):
    with pytest.raises((ValueError, TypeError), match="t (must|is)|times must"):
        problem[2].covariance(times)


def test_the_covariance_begins_at_zero_and_nothing_is_linearised_at_the_start_alone(problem):
    assert not problem[2].covariance(0.0).any()
    ode, solution, _ = problem
    with pytest.raises(ValueError, match="last time of the solution must be above 0"):
        linearise(ode, ode.solve(solution(0.0), 0.0))


def test_the_covariance_is_that_of_a_linear_process_of_constant_matrices():
    rng = np.random.default_rng(0)
    slope, root = rng.normal(size=(2, 4, 4))  # a slope that is not symmetric
    nodes = np.linspace(0, 1.5, 4)
    constant = [CubicSpline(nodes, np.stack([m] * 4)) for m in (slope, root @ root.T)]
    for t, found in zip((0.5, 1.5), Linearisation(*constant).covariance([0.5, 1.5]), strict=True):
        # Van Loan: the blocks of one exponential hold exp(A t)^T and the integral of the covariance
        block = np.block([[-slope, root @ root.T], [np.zeros((4, 4)), slope.T]])
        power = expm(block * t)
        expected = power[4:, 4:].T @ power[:4, 4:]
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
