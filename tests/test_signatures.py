"""What an argument is where it is left out: a change of it changes everybody's results."""

import inspect

import pytest

import kflow
from kflow import fluctuations, game, learning
from kflow.engine import transport
from kflow.learning.posterior import Posterior

BOUNDS = (1e-3, 1e3)
DEFAULTS = [
    (kflow.rho, dict(nugget=0)),
    (kflow.rho_and_gradient, dict(nugget=0)),
    (game.play, dict(strict=True)),
    (kflow.interpolate, dict(nugget=0)),
    (kflow.error_rate, dict(nugget=0, per_class=False)),
    (kflow.RationalQuadratic, dict(alpha=1)),
    (transport.move, dict(mixed=False)),
    (kflow.KernelFlow, dict(nugget=0, precision="float32")),
    (
        kflow.KernelFlow.run,
        dict(observe_at=(), keep_layers=False, lookahead=1, progress=False)
        | dict.fromkeys(("carry", "observe", "checkpoint", "checkpoint_every", "group")),
    ),
    (kflow.Exact, dict(max_terms=100_000)),
    (
        kflow.EffectiveODE,
        dict(nugget=0, expectation=kflow.Exact(100_000), step=kflow.Constant(1.0)),
    ),
    (
        kflow.EffectiveODE.solve,
        dict(at=None, rtol=1e-8, atol=1e-8, method="DOP853", max_evaluations=20_000),
    ),
    (fluctuations.linearise, dict(nodes=17)),
    (learning.Rho, dict(n_fine=200, halves=1, norm="energy", log=False)),
    (learning.HiddenHalf, dict(n_fine=200, halves=1)),
    (learning.LeaveOneOut, dict(n_fine=None, loss="log_predictive")),
    (learning.KFold, dict(k=5, n_fine=None)),
    (learning.MarginalLikelihood, dict(n_fine=None)),
    (learning.ARD, dict(gamma=None, bounds=BOUNDS)),
    (learning.Isotropic, dict(base=kflow.Gaussian, gamma=1, bounds=BOUNDS)),
    (learning.Metric, dict(rank=None)),
    (learning.Periodic, dict(period=1, gamma=1, base=kflow.Gaussian, bounds=BOUNDS)),
    (learning.Polynomial, dict(degree=2, gamma=None, bounds=BOUNDS)),
    (learning.Linear, dict(gamma=None, bounds=BOUNDS)),
    (learning.Weighted, dict(weight=1, bounds=(1e-6, 1e6))),
    (learning.loo_nugget, dict(most=2000, loss="log_predictive")),
    (learning.condition, dict(amplitude=None)),
    (Posterior.std, dict(noise=False)),
    (Posterior.covariance, dict(noise=False)),
    (Posterior.sample, dict(noise=False)),
    (
        learning.learn,
        dict(criterion=None, nugget=1e-2, learn_nugget=True, refit_nugget=True, steps=300, lr=0.05)
        | dict(games=8, check_every=10, patience=100, starts=1, progress=False),
    ),
]


@pytest.mark.parametrize(("call", "expected"), DEFAULTS, ids=lambda x: getattr(x, "__name__", ""))
def test_what_is_left_out_has_the_value_that_is_documented(call, expected):
    parameters = inspect.signature(call).parameters.values()
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == expected
