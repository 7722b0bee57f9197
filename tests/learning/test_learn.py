"""Learning: what it finds, that it repeats, how it ends, what it refuses."""

import math
import warnings

import pytest
import torch

import kflow
from kflow.learning import (
    ARD,
    DeepFeatures,
    Isotropic,
    LearningWarning,
    LeaveOneOut,
    MarginalLikelihood,
    Metric,
    Periodic,
    Rho,
    condition,
    learn,
)
from kflow.learning.learn import _nugget
from kflow.learning.nugget import LARGEST, SMALLEST
from tests.learning.problems import net, points, relevance


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def error(learned, x, y, x_test, f_test):
    mean = condition(learned.kernel, x, y, learned.nugget).mean(x_test)
    return ((mean - f_test).square().mean().sqrt() / f_test.std()).item()


@pytest.mark.parametrize("criterion", [Rho(), LeaveOneOut(), MarginalLikelihood()], ids=repr)
def test_the_features_that_matter_have_the_three_shortest_bandwidths(criterion):
    problem = relevance()
    start = learn(ARD(kflow.Gaussian, 10), *problem[:2], criterion, steps=0, rng=seeded())
    learned = learn(ARD(kflow.Gaussian, 10), *problem[:2], criterion, steps=200, rng=seeded())
    assert set(learned.kernel.values()["gamma"].argsort()[:3].tolist()) == {0, 1, 2}
    assert error(learned, *problem) < 0.6 * error(start, *problem)


def test_refitting_the_nugget_repairs_what_rho_takes():
    problem = relevance()
    learned = learn(ARD(kflow.Gaussian, 10), *problem[:2], Rho(), steps=200, rng=seeded())
    assert learned.nugget < learned.learned_nugget / 10
    before = condition(learned.kernel, *problem[:2], learned.learned_nugget).mean(problem[2])
    before = (before - problem[3]).square().mean().sqrt() / problem[3].std()
    assert error(learned, *problem) < before.item()


def test_the_logarithm_of_squared_errors_reaches_the_precision_of_a_map_without_noise():
    x = [torch.tensor([0.1, 0.3])]
    for _ in range(250):  # Henon, from its two last values
        x.append(torch.stack([1 - 1.4 * x[-1][0] ** 2 + 0.3 * x[-1][1], x[-1][0]]))
    states = torch.stack(x[50:]).double()
    y = states[1:, :1] - states[1:, :1].mean()
    criterion = LeaveOneOut(loss="log_squared")
    learned = learn(ARD(kflow.Gaussian, 2), states[:150], y[:150], criterion, rng=seeded())
    assert error(learned, states[:150], y[:150], states[150:-1], y[150:]) < 3e-4


def test_the_same_seed_learns_the_same_and_the_kernel_given_is_not_changed():
    x, y, *_ = relevance(100)
    kernel = ARD(kflow.Gaussian, 10)
    one, same, other = (
        learn(kernel, x, y, Rho(50), steps=20, rng=seeded(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(one.kernel.values()["gamma"], same.kernel.values()["gamma"])
    assert one.nugget == same.nugget and one.history.loss == same.history.loss
    assert not torch.equal(one.kernel.values()["gamma"], other.kernel.values()["gamma"])
    assert torch.equal(kernel.gamma.detach(), ARD(kflow.Gaussian, 10).gamma.detach())


def test_the_best_parameters_of_the_checks_are_kept():
    x, y, *_ = relevance(100)
    learned = learn(ARD(kflow.Gaussian, 10), x, y, LeaveOneOut(40), lr=0.5, steps=60,
                    refit_nugget=False, rng=seeded())  # fmt: skip
    history = learned.history
    best = min(range(len(history.steps)), key=history.criterion.__getitem__)
    assert learned.criterion == history.criterion[best] and learned.best_step == history.steps[best]
    assert torch.equal(history.of("gamma")[best], learned.kernel.values()["gamma"])
    assert history.of("nugget")[best].item() == learned.nugget
    assert len(history.loss) == 60 and history.steps == list(range(0, 61, 10))
    assert history.spread[0] > 0
    with pytest.raises(ValueError, match="no parameter 'alpha'; there are gamma, nugget"):
        history.of("alpha")


def test_it_stops_when_nothing_gets_better():
    x, y, *_ = relevance(100)
    learned = learn(ARD(kflow.Gaussian, 10), x, y, LeaveOneOut(), lr=0.5, steps=500, patience=30,
                    rng=seeded())  # fmt: skip
    assert "no better criterion for 30 steps" in learned.stopped
    assert learned.best_step + 30 == len(learned.history.loss) < 500


def test_a_descent_that_fails_ends_with_the_last_good_parameters():
    x, y, *_ = relevance(100)

    def breaks(kernel, x, y, nugget, rng):
        value = LeaveOneOut()(kernel, x, y, nugget, rng)
        return value if kernel.gamma[0] > 2.5 else value * math.nan

    with pytest.warns(LearningWarning, match=r"ended at step \d+, at gamma = .*criterion is nan"):
        learned = learn(ARD(kflow.Gaussian, 10), x, y, breaks, rng=seeded())
    assert learned.stopped.startswith("failed at step")
    assert learned.kernel.values()["gamma"][0] > 2.5 and learned.criterion < math.inf


@pytest.mark.parametrize("layer", [lambda: torch.nn.BatchNorm1d(2), lambda: torch.nn.Dropout(0.4)])
def test_a_network_is_judged_as_it_predicts_and_learns_the_same_again(layer):
    x, y, *_ = relevance(60, 3)
    kernel = DeepFeatures(torch.nn.Sequential(net(), layer()), Isotropic())
    before = {name: value.clone() for name, value in kernel.state_dict().items()}
    found = []
    for outside in (1, 2):
        torch.manual_seed(outside)
        expected = torch.rand(1)
        torch.manual_seed(outside)
        learned = learn(kernel, x, y, LeaveOneOut(), steps=40, check_every=5, refit_nugget=False,
                        rng=seeded())  # fmt: skip
        assert torch.rand(1) == expected  # torch's own generator is where it was
        nugget = torch.tensor(learned.nugget, dtype=torch.float64)
        judged = LeaveOneOut()(learned.kernel, x, y, nugget, seeded()).item()
        assert judged == pytest.approx(learned.criterion, rel=1e-12)
        found.append(learned.criterion)
    assert found[0] == found[1] and learned.best_step > 0
    assert len(set(learned.history.loss)) > 1 and kernel.training
    for name, value in kernel.state_dict().items():
        assert torch.equal(value, before[name])


def test_what_fails_at_the_start_is_an_error():
    x, y = points()
    with pytest.raises(kflow.NotPositiveDefinite, match="0.0e\\+00 apart"):
        learn(ARD(kflow.Gaussian, 3), torch.cat([x, x]), torch.cat([y, -y]), Rho(), nugget=0.0,
              learn_nugget=False, rng=seeded())  # fmt: skip


def test_a_parameter_at_a_bound_is_reported():
    x, y, *_ = relevance(100)
    narrow = ARD(kflow.Gaussian, 10, bounds=(3.0, 4.0))
    with pytest.warns(LearningWarning, match=r"gamma\[0\] at its lower bound 3"):
        learned = learn(narrow, x, y, LeaveOneOut(), steps=100, rng=seeded())
    assert "gamma[0] at its lower bound 3" in learned.at_bounds
    with warnings.catch_warnings(action="error"):  # a feature that does not matter: no warning
        wide = ARD(kflow.Gaussian, 10, bounds=(1.0, 4.0))
        learned = learn(wide, x, y, LeaveOneOut(), steps=100, rng=seeded())
    assert any("gamma[9] at its upper bound" in said for said in learned.at_bounds)


def test_more_starts_leave_a_parameter_that_is_held_where_it_is():
    x = torch.linspace(0, 48, 60, dtype=torch.float64)[:, None]
    start = Periodic(period=13.0)  # a bad one: any other start is better
    start._period.requires_grad_(False)
    y = (2 * math.pi / 12 * x).sin()
    learned = learn(start, x, y, MarginalLikelihood(), steps=10, starts=8, rng=seeded())
    assert learned.kernel.values()["period"].item() == pytest.approx(13, rel=1e-12)
    assert learned.kernel.values()["gamma"].item() != pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (1.0, "must return a tensor of one number, not 1.0"),
        (torch.ones(2, requires_grad=True), "must return a tensor of one number"),
        (torch.tensor(1.0), "has no gradient: it depends on no parameter"),
    ],
    ids=["float", "two", "detached"],
)
def test_a_criterion_that_returns_what_has_no_slope_is_refused(found, says):
    x, y = points(20, 3)
    with pytest.raises(TypeError, match=says):
        learn(ARD(kflow.Gaussian, 3), x, y, lambda *_: found, steps=3, rng=seeded())


def test_more_starts_find_what_one_misses():
    rng = seeded()
    x = torch.rand(80, 1, generator=rng, dtype=torch.float64)
    y = torch.sin(2 * math.pi * x / 0.13)
    start = Periodic(period=0.3)  # too far away for the descent alone
    one, many = (
        learn(start, x, y, LeaveOneOut(), steps=80, starts=starts, rng=seeded(3))
        for starts in (1, 12)
    )
    assert many.criterion < one.criterion - 1


@pytest.mark.parametrize("make", [lambda: Metric(kflow.Gaussian, 3, 2),
                                  lambda: DeepFeatures(net(), Isotropic())])  # fmt: skip
def test_parameters_that_are_not_positive_learn_too(make):
    x, _ = points(60)
    y = torch.sin(x[:, :1] + 2 * x[:, 1:2])
    learned = learn(make(), x, y, LeaveOneOut(), steps=60, rng=seeded())
    assert learned.criterion < learned.history.criterion[0] - 0.3


def test_a_constant_output_takes_no_part():
    x, y = points()
    both = torch.cat([y[:, :1], torch.ones(20, 1)], dim=1)
    one, two = (
        learn(ARD(kflow.Gaussian, 3), x, labels, LeaveOneOut(), steps=10, rng=seeded())
        for labels in (y[:, :1], both)
    )
    assert one.criterion == two.criterion


def test_a_learned_kernel_flows():
    x, y, *_ = relevance(60)
    kernel = learn(ARD(kflow.Gaussian, 10), x, y, Rho(40), steps=20, rng=seeded()).kernel
    flow = kflow.KernelFlow(kernel, 30, kflow.MaxDisplacement(0.1), 0.1, "float64")
    path = flow.run(x, y, 5, seeded())
    assert (path.points != x).any() and path.rho.isfinite().all()


def test_another_device_learns_the_same(accelerator):
    x, y, *_ = relevance(100)
    here, there = (
        learn(ARD(kflow.Gaussian, 10), x.to(place, dtype), y.to(place, dtype), Rho(50), steps=30,
              rng=seeded())
        for place in ("cpu", accelerator)
        for dtype in [torch.float32]
    )  # fmt: skip
    torch.testing.assert_close(
        there.kernel.values()["gamma"].cpu(), here.kernel.values()["gamma"], rtol=1e-4, atol=0
    )


X, Y = points()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(kernel=kflow.Gaussian(1.0)), "kernel must have parameters to learn"),
        (dict(x=X[:3], y=Y[:3]), "at least 4 points, not 3"),
        (dict(y=torch.ones_like(Y)), "all labels are equal"),
        (dict(x=X.index_fill(0, torch.tensor([7]), math.nan)), "row 7 holds NaN"),
        (dict(criterion="rho"), "criterion must be callable"),
        (dict(criterion=Rho), "criterion must be callable, as Rho\\(\\) is, not <class"),
        (dict(nugget=0.0), "a nugget of 0 cannot be learned"),
        (dict(steps=-1), "steps must be at least 0"),
        (dict(steps=10**9 + 1), "steps must be at most 1000000000"),
        (dict(games=0), "games must be at least 1"),
        (dict(lr=0), "lr must be above 0"),
        (dict(rng=0), "rng must be a CPU torch.Generator"),
    ],
)
@pytest.mark.wrong_types
def test_bad_arguments_are_refused_by_name(changed, message):
    given = dict(kernel=ARD(kflow.Gaussian, 3), x=X, y=Y, rng=seeded()) | changed
    with pytest.raises((ValueError, TypeError), match=message):
        learn(**given)


def test_learning_follows_gradients_whatever_is_set_around_it():
    def learned():
        return learn(ARD(kflow.Gaussian, 3), X, Y, steps=5, rng=seeded()).nugget

    free = learned()
    with torch.no_grad():
        assert learned() == free
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference mode"):
        learned()


@pytest.mark.wrong_types
def test_a_nugget_that_is_a_tensor_is_the_number_that_it_is():
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nuggets = [
        learn(ARD(kflow.Gaussian, 2), x, x[:, :1], nugget=nugget, learn_nugget=False, steps=1,
              refit_nugget=False, rng=torch.Generator().manual_seed(0)).nugget
        for nugget in (0.5, torch.tensor(0.5))
    ]  # fmt: skip
    assert nuggets == [0.5, 0.5]


def test_a_check_is_the_mean_over_as_many_games_as_are_drawn():
    x, y, *_ = relevance(40)
    for draws, expected in ((True, [3.0, 4.0, 5.0]), (False, [3.0])):
        values = []

        def criterion(kernel, x, y, nugget, rng, draws=draws, values=values):
            if draws:
                torch.rand(1, generator=rng)
            values.append(2.0 + len(values))
            return 0 * kernel.gamma.sum() + values[-1]

        learned = learn(ARD(kflow.Gaussian, 10), x, y, criterion, games=3, steps=0, rng=seeded())
        assert values[1:] == expected  # after one call that tells whether it draws
        assert learned.history.criterion == [sum(expected) / len(expected)]
        assert learned.history.of("gamma").shape == (1, 10)


def test_a_criterion_that_stays_level_ends_the_descent_at_its_start():
    x, y, *_ = relevance(40)

    def level(kernel, x, y, nugget, rng):
        return 0 * kernel.gamma.sum() + 1.0

    learned = learn(ARD(kflow.Gaussian, 10), x, y, level, steps=200, patience=30, rng=seeded())
    assert learned.best_step == 0 and len(learned.history.loss) == 30


def test_nothing_is_judged_after_the_last_step():
    x, y, *_ = relevance(40)
    learned = learn(ARD(kflow.Gaussian, 10), x, y, LeaveOneOut(), steps=9, rng=seeded())
    assert learned.history.steps == [0, 9] and len(learned.history.loss) == 9


def test_a_gradient_that_is_not_finite_in_one_place_ends_the_descent():
    x, y, *_ = relevance(40)

    def breaks(kernel, x, y, nugget, rng):
        return LeaveOneOut()(kernel, x, y, nugget, rng) + (0 * kernel.gamma[0]).sqrt()

    with pytest.warns(LearningWarning, match="gradient is not finite"):
        learned = learn(ARD(kflow.Gaussian, 10), x, y, breaks, rng=seeded())
    assert learned.kernel.values()["gamma"].isfinite().all() and learned.history.loss == []


def test_the_bounds_of_a_learned_nugget_are_relative_to_the_kernel():
    noise = _nugget(4.0 * ARD(kflow.Gaussian, 3), X, 0.1, learned=True)
    assert noise.low.exp().item() == pytest.approx(4 * SMALLEST)
    assert noise.high.exp().item() == pytest.approx(4 * LARGEST)


def test_four_points_are_enough_and_progress_is_shown_where_it_is_asked_for(capsys):
    for progress in (False, True):
        learn(ARD(kflow.Gaussian, 3), X[:4], Y[:4], LeaveOneOut(), steps=2, progress=progress,
              rng=seeded())  # fmt: skip
        assert ("learning" in capsys.readouterr().err) == progress
