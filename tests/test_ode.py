"""The effective equation against independent enumeration, Euler, hand values and bad input."""

import re
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kflow import Constant, KernelFlow, NotPositiveDefinite, draw, rho_and_gradient
from kflow.data import swiss_roll
from kflow.kernels import Gaussian, Matern52
from kflow.ode import EffectiveODE, Exact, Games, IntegrationFailed, MonteCarlo
from kflow.steps import MaxDisplacement, RelativeDisplacement

KERNEL = Gaussian(1.0)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def roll(n=6):
    return swiss_roll(n, rng=generator())


def small():
    """Four points and twelve games."""
    x, y = roll(4)
    return x, EffectiveODE(KERNEL, y, 2, 0.1)


def mean_over_games(kernel, x, y, n_fine, nugget, at, pace=lambda z, g: 1.0):
    """The drift, one game after another, with a plain solve."""
    total, count = torch.zeros_like(at), 0
    for fine in combinations(range(len(x)), n_fine):
        for coarse in combinations(range(n_fine), n_fine // 2):
            z = x[list(fine)]
            _, gradient = rho_and_gradient(kernel, z, y[list(fine)], torch.tensor(coarse), nugget)
            gram = kernel(z, z) + nugget * torch.eye(n_fine, dtype=x.dtype)
            step = pace(z, -gradient)
            total -= step * kernel(at, z) @ torch.linalg.solve(gram, gradient)
            count += 1
    return total / count


@pytest.mark.parametrize("kernel", [KERNEL, Matern52(2.0)])
@pytest.mark.parametrize("nugget", [0.0, 0.1])
@pytest.mark.parametrize("n_fine", [2, 4, 6])
def test_the_exact_drift_is_the_mean_over_every_batch_and_every_half(kernel, nugget, n_fine):
    x, y = roll()
    at = torch.randn(3, 2, dtype=x.dtype, generator=generator(1))
    ode = EffectiveODE(kernel, y, n_fine, nugget)
    expected = mean_over_games(kernel, x, y, n_fine, nugget, at)
    torch.testing.assert_close(ode.velocity(x, at), expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ode.velocity(x), ode.velocity(x, x.clone()), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", [MaxDisplacement, RelativeDisplacement])
def test_a_normalised_step_has_the_mean_of_the_normalised_gradient_as_its_drift(rule):
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4, step=rule(1.0))
    expected = mean_over_games(KERNEL, x, y, 4, 0.0, x, pace=rule(1.0))
    torch.testing.assert_close(ode.velocity(x), expected, rtol=1e-9, atol=1e-12)


def test_the_drift_is_the_mean_of_the_velocities_of_the_games():
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4)
    at = x[:2] + 0.1
    single = ode.velocities(x, at)
    assert single.shape == (15 * 6, 2, 2)
    torch.testing.assert_close(single.mean(0), ode.velocity(x, at))


@pytest.mark.parametrize("nugget", [0.0, 0.1])
def test_a_layer_of_the_flow_moves_by_the_velocity_of_its_game(nugget):
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4, nugget)
    fine, coarse = draw(6, 4, generator(3))
    _, c = ode.coefficients(x[fine][None], Games(fine[None], coarse[None, None]))
    flow = KernelFlow(KERNEL, 4, Constant(0.1), nugget, precision="float64")
    moved = flow.run(x, y, 1, generator(3)).points - x
    torch.testing.assert_close(moved, 0.1 * KERNEL(x, x[fine]) @ c[0, 0], rtol=1e-9, atol=1e-12)


def test_a_layer_has_the_kernel_at_the_moved_point_and_not_at_the_original_as_the_talk_prints_it():
    x, y = roll(30)
    flow = KernelFlow(KERNEL, 10, Constant(0.05), 1e-3, precision="float64")
    moved = flow.run(x, y, 20, generator(1)).points
    layer = flow.run(moved, y, 1, generator(2)).points - moved
    fine, coarse = draw(30, 10, generator(2))
    _, gradient = rho_and_gradient(KERNEL, moved[fine], y[fine], coarse, 1e-3)
    gram = KERNEL(moved[fine], moved[fine]) + 1e-3 * torch.eye(10, dtype=x.dtype)
    c = torch.linalg.solve(gram, -gradient)
    torch.testing.assert_close(layer, 0.05 * KERNEL(moved, moved[fine]) @ c, rtol=1e-9, atol=1e-12)
    printed = 0.05 * KERNEL(x, moved[fine]) @ c
    assert (layer - printed).norm() > 0.1 * layer.norm()  # the slip is a tenth of the motion


def test_with_the_printed_kernel_training_points_would_not_move_down_their_own_gradient():
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 6)  # all points play: dF/dt = -grad of the mean loss
    points = ode.solve(x, 8.0).points[-1]
    corrected, printed = ode.velocity(points), ode.velocity(points, at=x)
    step = 1e-5
    slope = ode.rho(points + step * corrected).mean() - ode.rho(points - step * corrected).mean()
    torch.testing.assert_close(slope / (2 * step), -corrected.square().sum(), rtol=1e-5, atol=0)
    assert (printed - corrected).norm() > 0.05 * corrected.norm()


def test_the_limit_of_normalised_steps_can_raise_the_mean_loss_although_all_points_play():
    x = [[1.92, 1.0], [1.33, -1.07], [0.4, -0.36], [1.6, -1.28], [-1.34, 1.21], [0.49, -0.43]]
    x = torch.tensor(x, dtype=torch.float64)
    y = torch.tensor([1.0, 1, 1, -1, -1, -1], dtype=torch.float64)[:, None]
    rise = {}
    for rule in (Constant(1.0), MaxDisplacement(1.0)):
        ode = EffectiveODE(KERNEL, y, 6, step=rule)
        loss = [float(ode.rho(p).mean()) for p in ode.solve(x, [0.0, 0.016, 0.032]).points]
        rise[rule] = np.diff(loss)
    assert (rise[Constant(1.0)] < 0).all() and (rise[MaxDisplacement(1.0)] > 0).all()


def test_chunks_do_not_change_the_drift(monkeypatch):
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4)
    whole, losses = ode.velocity(x), ode.rho(x)
    monkeypatch.setattr("kflow.expectation.CHUNK", 40)
    assert sum(len(games) for games in ode.games.chunks()) == len(ode.games)
    torch.testing.assert_close(ode.velocity(x), whole)
    again = ode.rho(x).sort().values
    torch.testing.assert_close(again, losses.sort().values, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("room", "sizes"),
    [(90, [90]), (24, [24, 24, 24, 18]), (4, [4, 2] * 15), (1, [1] * 90), (0, [1] * 90)],
)
def test_chunks_fill_the_room_for_gram_matrices_and_hold_every_game_once(room, sizes, monkeypatch):
    games = Exact().games(6, 4)  # 15 batches, 6 halves of each, 16 entries in a Gram matrix
    monkeypatch.setattr("kflow.expectation.CHUNK", 16 * room)
    parts = list(games.chunks())
    assert [len(part) for part in parts] == sizes
    seen = [
        (tuple(fine.tolist()), tuple(half.tolist()))
        for part in parts
        for fine, halves in zip(part.fine, part.coarse, strict=True)
        for half in halves
    ]
    assert sorted(seen) == [
        (fine, half) for fine in combinations(range(6), 4) for half in combinations(range(4), 2)
    ]


def test_the_equation_does_not_change_with_the_labels_that_it_was_made_of():
    x, y = roll(4)
    ode = EffectiveODE(KERNEL, y, 2, 0.1)
    expected = ode.velocity(x)
    y[0] += 1
    assert torch.equal(ode.velocity(x), expected)


def test_games_are_numbered_batch_by_batch():
    games = Exact().games(6, 4)
    some = games.pick(torch.tensor([0, 7, 89]))
    assert some.fine.tolist() == [[0, 1, 2, 3], [0, 1, 2, 4], [2, 3, 4, 5]]
    assert some.coarse.tolist() == [[[0, 1]], [[0, 2]], [[2, 3]]]
    assert len(MonteCarlo(1, generator()).games(6, 4)) == 1


def test_with_all_points_in_every_batch_the_drift_is_minus_the_gradient_of_the_mean_loss():
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 6)
    step = 1e-5
    numeric = torch.zeros_like(x)
    for index in np.ndindex(*x.shape):
        shift = torch.zeros_like(x)
        shift[index] = step
        numeric[index] = (ode.rho(x + shift).mean() - ode.rho(x - shift).mean()) / (2 * step)
    torch.testing.assert_close(ode.velocity(x), -numeric, rtol=1e-6, atol=1e-8)


def test_monte_carlo_draws_once_and_tends_to_the_exact_drift():
    x, y = roll()
    exact = EffectiveODE(KERNEL, y, 4).velocity(x)
    ode = EffectiveODE(KERNEL, y, 4, expectation=MonteCarlo(4000, generator()))
    sampled = ode.velocity(x)
    assert torch.equal(sampled, ode.velocity(x))
    error = ode.velocities(x).std(0) / 4000**0.5
    assert ((sampled - exact).abs() < 5 * error).all()


def test_monte_carlo_keeps_one_batch_where_the_batch_is_everything():
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 6, expectation=MonteCarlo(3, generator()))
    fine, coarse = zip(*(draw(6, 6, rng) for rng in [generator()] * 3), strict=True)
    games = Games(torch.stack(fine), torch.stack(coarse)[:, None])
    expected = torch.zeros_like(x)
    for batch, half in zip(games.fine, games.coarse[:, 0], strict=True):
        expected[batch] -= rho_and_gradient(KERNEL, x[batch], y[batch], half)[1] / 3
    assert len(ode.games.fine) == 1
    torch.testing.assert_close(ode.velocity(x), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("step", [None, MaxDisplacement(1.0)])
def test_the_solution_is_the_limit_of_tiny_euler_steps(step):
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4) if step is None else EffectiveODE(KERNEL, y, 4, step=step)
    at = torch.tensor([[0.3, -0.2]], dtype=x.dtype)
    solution = ode.solve(x, [0.5, 1.0], at=at)

    def euler(layers):
        points, other = x, at
        for _ in range(layers):
            rest = ode.velocity(points, other) / layers
            points, other = points + ode.velocity(points) / layers, other + rest
        return points, other

    coarse, fine = euler(100), euler(200)
    for slow, fast, solved in zip(coarse, fine, (solution.points[1], solution.at[1]), strict=True):
        torch.testing.assert_close(2 * fast - slow, solved, rtol=0, atol=2e-6)  # Richardson
        assert (fast - solved).norm() < 0.6 * (slow - solved).norm()


def test_a_new_point_that_equals_a_training_point_follows_it():
    x, y = roll()
    solution = EffectiveODE(KERNEL, y, 4).solve(x, 1.0, at=x[:2].clone())
    torch.testing.assert_close(solution.at, solution.points[:, :2], rtol=0, atol=1e-9)


def test_the_solution_can_be_read_between_its_times_and_at_time_zero():
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4)
    solution = ode.solve(x, [0.0, 1.0])
    assert torch.equal(solution.points[0], x) and solution.at is None
    assert torch.equal(solution(0.0), x)
    torch.testing.assert_close(solution(1.0), solution.points[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(solution(0.5), ode.solve(x, 0.5).points[0], rtol=0, atol=1e-7)
    torch.testing.assert_close(ode.solve(x, 1.0, at=x + 0.1)(0.5), solution(0.5), rtol=0, atol=1e-6)
    torch.testing.assert_close(ode.solve(x, 0.0).points[0], x)
    with pytest.raises(ValueError, match="0 .. 1.0"):
        solution(1.5)
    with pytest.raises(ValueError, match="0 .. 1.0"):
        solution(-0.1)
    several = ode.solve(x, [0.2, 0.4, 1.0])
    torch.testing.assert_close(several(0.7), solution(0.7), rtol=0, atol=1e-7)


def test_a_rule_is_shown_the_points_and_minus_the_gradient():
    x, y = roll(4)

    def rule(z, g):
        return 1.0 + (z * g).sum()

    ode = EffectiveODE(KERNEL, y, 2, 0.1, step=rule)
    expected = mean_over_games(KERNEL, x, y, 2, 0.1, x, rule)
    torch.testing.assert_close(ode.velocity(x), expected, rtol=1e-9, atol=1e-12)


def test_a_solution_is_read_within_its_times_at_the_training_points():
    x, ode = small()
    solution = ode.solve(x, [0.1, 0.2, 0.5], at=x[:1] + 0.1)
    assert torch.equal(solution(0.0), x)
    assert "games" not in repr(ode) and "dense" not in repr(solution)
    for t, points in zip(solution.t, solution.points, strict=True):
        torch.testing.assert_close(solution(float(t)), points, rtol=0, atol=1e-12)
    for t in (-0.01, 0.51, 0.9):
        with pytest.raises(ValueError, match="0 .. 0.5"):
            solution(t)


def test_the_result_has_the_dtype_of_the_points():
    x, y = roll()
    ode = EffectiveODE(KERNEL, y.float(), 4)
    assert ode.velocity(x.float()).dtype == torch.float32
    assert ode.solve(x.float(), 1.0).points.dtype == torch.float32


@pytest.mark.parametrize("nugget", [0.0, 0.1])
def test_the_mean_loss_falls_along_the_solution_where_every_batch_is_everything(nugget):
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 6, nugget)
    losses = [float(ode.rho(p).mean()) for p in ode.solve(x, np.linspace(0, 4, 9)).points]
    assert (np.diff(losses) < 0).all()


def test_an_expectation_that_is_too_large_says_how_many_terms_it_has():
    _, y = roll(20)
    with pytest.raises(ValueError, match=r"46558512 batches of 10 .*MonteCarlo"):
        EffectiveODE(KERNEL, y, 10)
    assert len(EffectiveODE(KERNEL, y[:10], 6, expectation=Exact(4200)).games) == 4200


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1.0, 1.0], "must increase"),
        ([2.0, 1.0], r"t\[0\] = 2.0"),
        ([0.0, 0.5, 3.0, 3.0, 1.0], r"t\[2\] = 3.0 and t\[3\] = 3.0"),
        ([-1.0, 1.0], "starts at -1.0"),
        ([0.5, float("nan")], "finite time"),
        ([[0.5, 1.0]], "finite time"),
        (-1.0, "negative"),
        ([], "finite time"),
        ([float("nan")], "finite time"),
    ],
)
def test_bad_times_are_refused(times, message):
    x, y = roll()
    with pytest.raises(ValueError, match=message):
        EffectiveODE(KERNEL, y, 4).solve(x, times)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n_fine": 3}, ValueError, "even"),
        ({"n_fine": 8}, ValueError, "n_fine"),
        ({"nugget": -1.0}, ValueError, "nugget"),
        ({"kernel": lambda x, z: x @ z.T}, TypeError, "radial"),
        ({"expectation": MonteCarlo(0, torch.Generator())}, ValueError, "samples"),
        ({"expectation": "all"}, TypeError, r"expectation must be Exact\(\) or MonteCarlo"),
        ({"expectation": MonteCarlo(10**30, torch.Generator())}, ValueError, "samples must be at"),
        ({"expectation": Exact(0)}, ValueError, "max_terms must be at least 1"),
    ],
)
@pytest.mark.wrong_types
def test_bad_settings_are_refused(change, error, message):
    settings = {"kernel": KERNEL, "y": roll()[1], "n_fine": 4} | change
    with pytest.raises(error, match=message):
        EffectiveODE(**settings)


@pytest.mark.wrong_types
def test_wrong_shapes_are_refused():
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4)
    with pytest.raises(ValueError, match="6 rows"):
        ode.velocity(x[:5])
    with pytest.raises(ValueError, match="2 columns"):
        ode.solve(x, 1.0, at=torch.zeros(3, 1))


def test_points_that_coincide_at_the_start_are_named():
    x, y = roll()
    x[1] = x[0]
    with pytest.raises(NotPositiveDefinite, match="nugget"):
        EffectiveODE(KERNEL, y, 6).solve(x, 1.0)


def test_an_equation_that_takes_too_many_evaluations_stops_with_the_time_it_reached():
    x, y = roll()
    with pytest.raises(IntegrationFailed, match=r"stopped at t = .*20 evaluations"):
        EffectiveODE(KERNEL, y, 4).solve(x, 100.0, max_evaluations=20)


def test_every_evaluation_is_counted(monkeypatch):
    x, ode = small()
    calls, velocity = [], EffectiveODE.velocity

    def counted(*given):
        calls.append(1)
        return velocity(*given)

    monkeypatch.setattr(EffectiveODE, "velocity", counted)
    spent = ode.solve(x, 0.05).evaluations
    assert spent == len(calls) - 1  # one more looks at the start
    assert ode.solve(x, 0.05, max_evaluations=spent).evaluations == spent
    with pytest.raises(IntegrationFailed, match=f"{spent - 1} evaluations"):
        ode.solve(x, 0.05, max_evaluations=spent - 1)


def test_a_failure_tells_where_the_training_points_were(monkeypatch):
    x, y = roll()
    ode, later = EffectiveODE(KERNEL, y, 4), 1.1 * x
    states = np.stack([torch.cat([p, x[:1]]).flatten() for p in (x, 2 * x, 3 * x, later)], axis=1)
    failed = SimpleNamespace(success=False, t=np.array([0, 0.1, 0.2, 0.3]), y=states, message="no")
    monkeypatch.setattr("kflow.ode.solve_ivp", lambda *_, **__: failed)
    closest, fastest = torch.pdist(later).min(), ode.velocity(later).norm(dim=1).max()
    says = f"t = 0.3 (no): the closest points are {closest:.1e} apart and the fastest moves at "
    with pytest.raises(IntegrationFailed, match=re.escape(says + f"{fastest:.1e} per unit")):
        ode.solve(x, 1.0, at=x[:1])


def test_an_exploding_solution_stops_with_the_time_of_the_explosion(monkeypatch):
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4)
    # dx/dt = x^2 blows up at 1 / max x
    monkeypatch.setattr(EffectiveODE, "velocity", lambda self, points, at=None: points**2)
    with pytest.raises(IntegrationFailed, match="stopped at t = ") as caught:
        ode.solve(x, 10.0)
    reached = float(str(caught.value).split("t = ")[1].split()[0])
    assert reached == pytest.approx(1 / float(x.max()), rel=1e-3)


@pytest.mark.parametrize(
    ("method", "gamma", "n_fine"),
    [("LSODA", 1, 2), ("RK45", 1, 2), ("Radau", 3, 2), ("BDF", 0.3, 2), ("BDF", 0.3, 6)],
)
def test_colliding_points_stop_every_method_with_the_time_it_reached(method, gamma, n_fine):
    """Of LSODA the solution was NaN, and of the others the error scipy's or a Gram matrix's."""
    x = torch.randn(6, 2, generator=generator(), dtype=torch.float64)
    y = torch.tensor([[1.0], [-1], [1], [-1], [1], [1]], dtype=torch.float64)
    ode = EffectiveODE(Gaussian(gamma), y, n_fine)
    with pytest.raises(IntegrationFailed, match=r"stopped at t = [1-9]") as caught:
        ode.solve(x, 1e4, method=method, rtol=1e-3, atol=1e-3, max_evaluations=600)
    assert "must be finite" not in str(caught.value)  # the state before it went on to NaN


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"t": "soon"}, TypeError, "t must be a time or a list of times, not 'soon'"),
        ({"rtol": 1e-20}, ValueError, "rtol must be at least 1e-13"),
        ({"atol": 0}, ValueError, "atol must be above 0"),
        ({"method": "Euler"}, ValueError, "method must be one of 'DOP853'"),
        ({"method": []}, ValueError, "method must be one of 'DOP853'"),
        ({"max_evaluations": None}, TypeError, "max_evaluations must be an integer"),
    ],
)
@pytest.mark.wrong_types
def test_bad_settings_of_the_integration_are_refused(change, error, message):
    x, y = roll()
    with pytest.raises(error, match=message):
        EffectiveODE(KERNEL, y, 4).solve(**dict(x=x, t=1.0) | change)


@pytest.mark.wrong_types
def test_a_tolerance_that_is_a_tensor_is_the_number_that_it_is():
    x, y = roll()
    ode = EffectiveODE(KERNEL, y, 4, nugget=torch.tensor(0.5))
    one, other = (ode.solve(x, 0.1, rtol=r, atol=r) for r in (torch.tensor(0.25), 0.25))
    assert torch.equal(one.points, other.points)
    assert torch.equal(one(torch.tensor(0.05)), other(float(torch.tensor(0.05))))


@pytest.mark.wrong_types
def test_a_solution_is_asked_for_a_number():
    x, y = roll()
    with pytest.raises(TypeError, match="t must be a number, not 'now'"):
        EffectiveODE(KERNEL, y, 4).solve(x, 0.1)("now")


def test_points_that_carry_gradients_are_taken_as_they_are():
    x, ode = small()
    at = x[:2] + 0.1
    plain = ode.solve(x, 1e-3, at=at)
    found = ode.solve(x.clone().requires_grad_(), 1e-3, at=at.clone().requires_grad_())
    assert torch.equal(found.points, plain.points) and torch.equal(found.at, plain.at)
