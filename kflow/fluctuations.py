r"""How far the flow with small steps is from its limit: many replicas, and the Gaussian law.

$F^\epsilon = F + \sqrt\epsilon\, U + O(\epsilon)$ with $dU = A U\, dt + \Sigma^{1/2} dB$; A is the
derivative of the velocity v, and $\Sigma$ the covariance of one game's velocity, both at F(t).
Positions (n, d) are flattened to q = n d numbers.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from torch import Tensor

from kflow import checks
from kflow.distances import squared_distances
from kflow.engine.observation import numbers_of_layers
from kflow.ode import EffectiveODE, Solution, increasing

__all__ = ["Linearisation", "Replicas", "linearise", "replicas"]


@dataclass(frozen=True)
class Linearisation:
    """A(t) and Sigma(t), (q, q), along a solution; splines in t."""

    jacobian: CubicSpline
    noise: CubicSpline

    def covariance(self, t) -> Float[Tensor, "T q q"]:
        r"""P of the limit U at increasing times: $\dot P = A P + P A^T + \Sigma$, P(0) = 0.

        Raises ValueError for times that do not increase, or beyond the solution.
        """
        t = increasing(t)
        _within("t", t[-1], self.jacobian.x[-1])
        size = self.noise(0.0).shape[0]

        def growth(time, flat):
            a_p = self.jacobian(time) @ flat.reshape(size, size)
            return (a_p + a_p.T + self.noise(time)).ravel()

        span = (0.0, max(t[-1], np.finfo(float).tiny))
        found = solve_ivp(growth, span, np.zeros(size**2), t_eval=t, rtol=1e-6, atol=1e-10)
        return torch.from_numpy(found.y.T.copy()).view(len(t), size, size)


def linearise(ode: EffectiveODE, solution: Solution, nodes: int = 17) -> Linearisation:
    """A and Sigma at so many equidistant times of the solution, joined by cubic splines."""
    checks.integer("nodes", nodes, least=4, most=10_000)
    checks.number("the last time of the solution", solution.t[-1], above=0)
    times = np.linspace(0, float(solution.t[-1]), nodes)
    jacobians, noises = [], []
    for x in map(solution, times):
        jacobian = torch.autograd.functional.jacobian(ode.velocity, x)
        jacobians.append(jacobian.reshape(x.numel(), x.numel()))
        single = ode.velocities(x).flatten(1)
        noises.append(torch.cov(single.T, correction=0))
    return Linearisation(
        CubicSpline(times, torch.stack(jacobians)), CubicSpline(times, torch.stack(noises))
    )


class Replicas(NamedTuple):
    """Independent flows at the layers that were asked for, and the linear process beside each."""

    points: Float[Tensor, "T r n d"]
    linear: Float[Tensor, "T r n d"]  # of mean zero, driven by the same games: a control variate


def replicas(
    ode: EffectiveODE,
    solution: Solution,
    linear: Linearisation,
    eps: float,
    layers,
    count: int,
    rng: torch.Generator,
) -> Replicas:
    r"""`count` flows of constant step eps, at the increasing numbers of `layers`.

    Beside each, D' = D + eps (A D + v_game(F) - v(F)) along the solution F(t), with the same games:
    E[D] = 0, so the mean of (flow - D) is the mean of the flow, with far less noise.
    """
    eps = checks.number("eps", eps, above=0)
    checks.integer("count", count, least=1, most=10**7)
    checks.generator(rng)
    layers = numbers_of_layers("layers", layers)
    if not layers or layers != sorted(set(layers)):
        raise ValueError(f"layers must be increasing numbers of layers, one at least, not {layers}")
    _within("the last layer", (layers[-1] - 1) * eps, float(solution.t[-1]))
    start = solution(0.0)
    flow = start.repeat(count, 1, 1)
    beside = torch.zeros(count, start.numel(), dtype=start.dtype, device="cpu")
    kept = []
    for reached, asked in zip([0, *layers], layers, strict=False):
        for layer in range(reached, asked):
            which = torch.randint(len(ode.games), (count,), generator=rng, device="cpu")
            centre = solution(min(layer * eps, float(solution.t[-1])))
            single = ode.velocities(centre).flatten(1)
            slope = torch.from_numpy(linear.jacobian(layer * eps))
            beside = beside + eps * (beside @ slope.T + single[which] - single.mean(0))
            flow = flow + eps * _moves(ode, flow, ode.games.pick(which))
        kept.append((flow, beside.view_as(flow)))
    return Replicas(*map(torch.stack, zip(*kept, strict=True)))


def _within(name: str, time: float, last: float):
    if time > last * (1 + 1e-9):
        raise ValueError(f"{name} is {time:g}, beyond the solution, which ends at {last:g}")


def _moves(ode, flow, games):
    """The velocity of every point of every replica in its own game, (r, n, d)."""
    z = flow.take_along_dim(games.fine[..., None], 1)
    _, c = ode.coefficients(z, games)
    return ode.kernel.of_squared(squared_distances(flow, z, ode.kernel.gamma)) @ c[:, 0]
