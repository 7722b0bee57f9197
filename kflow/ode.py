r"""The effective dynamical system: what the flow tends to as its steps tend to zero.

$\dot F(t, x) = -E_{X,\pi}[(\nabla_Z \rho)^T (K(Z, Z) + \lambda I)^{-1} K(Z, F(t, x))]$ at
$Z = F(t, X)$. (The talk prints K(Z, x); its layers, and so their limit, have the moved point.)
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from scipy.integrate import OdeSolution, solve_ivp
from torch import Tensor

from kflow import checks
from kflow.distances import squared_distances
from kflow.expectation import Exact, Games, MonteCarlo
from kflow.game import Played, centred, play
from kflow.kernels import Radial
from kflow.steps import Constant

METHODS = ("DOP853", "RK45", "RK23", "Radau", "BDF", "LSODA")  # of scipy.integrate.solve_ivp
StepRule = Callable[[Tensor, Tensor], Tensor]


class IntegrationFailed(ArithmeticError):
    """The effective equation can't be integrated further; the message says at which t, and why."""


@dataclass(frozen=True, eq=False)
class EffectiveODE:
    """The mean motion of the points of one training set with labels y, (n, c).

    It is the limit of flows with `step=Constant(eps)` as eps -> 0, where a layer takes the time
    eps. Another rule has another limit: `step=MaxDisplacement(1.0)` is that of
    `MaxDisplacement(delta)`, where a layer takes the time delta. With n_fine = n and constant
    steps the mean of rho does not increase. Raises ValueError or TypeError for bad settings.
    """

    kernel: Radial
    y: Float[Tensor, "n c"]
    n_fine: int
    nugget: float = 0.0
    expectation: Exact | MonteCarlo = Exact()
    step: StepRule = Constant(1.0)
    games: Games = field(init=False, repr=False)

    def __post_init__(self):
        checks.matrix("y", self.y, largest=checks.LARGEST_LABEL)
        checks.batch_size(self.n_fine, len(self.y))
        object.__setattr__(self, "nugget", checks.number("nugget", self.nugget, least=0))
        if not isinstance(self.kernel, Radial):
            raise TypeError(f"kernel must be radial, such as Gaussian(gamma), not {self.kernel!r}")
        if not isinstance(self.expectation, Exact | MonteCarlo):
            raise TypeError(
                f"expectation must be Exact() or MonteCarlo(samples, rng), not {self.expectation!r}"
            )
        object.__setattr__(self, "y", checks.wide(self.y).cpu().clone())
        object.__setattr__(self, "games", self.expectation.games(len(self.y), self.n_fine))

    def velocity(self, points: Float[Tensor, "n d"], at: Float[Tensor, "m d"] | None = None):
        """dF/dt when the training points are at `points`: there, or where others are now, `at`."""
        like = points
        points, at = self._checked(points, at)
        weights = torch.zeros_like(points)
        for games in self.games.chunks():
            played, push = self._play(points[games.fine], games)
            c = played.solve(push.sum(1, keepdim=True))  # the halves of a batch share its matrix
            weights = weights.index_add(0, games.fine.flatten(), c.flatten(0, 2))
        return (self._gram(at, points) @ weights / len(self.games)).to(like)

    def velocities(self, points: Float[Tensor, "n d"], at: Float[Tensor, "m d"] | None = None):
        """The velocity that each game alone would give, (games, m, d); `velocity` is their mean."""
        like = points
        points, at = self._checked(points, at)
        gram, moves = self._gram(at, points), []
        for games in self.games.chunks():
            _, c = self.coefficients(points[games.fine], games)
            columns = gram[:, games.fine].transpose(0, 1)[:, None]  # (s, 1, m, n_fine)
            moves.append((columns @ c).flatten(0, 1))
        return torch.cat(moves).to(like)

    def rho(self, points: Float[Tensor, "n d"]) -> Float[Tensor, " games"]:
        """The loss rho of each game; its mean is the expected loss E[rho]."""
        points, _ = self._checked(points, None)
        losses = [self.coefficients(points[g.fine], g)[0].flatten() for g in self.games.chunks()]
        return torch.cat(losses)

    def coefficients(self, z: Float[Tensor, "s n_fine d"], games: Games):
        """Losses (s, p) and motions c = -eps (K + nugget I)^-1 grad rho, (s, p, n_fine, d)."""
        played, push = self._play(z, games)
        return played.rho, played.solve(push)

    def _play(self, z, games: Games) -> tuple[Played, Tensor]:
        """The games, and -eps grad rho of each, (s, p, n_fine, d)."""
        y = self.y[games.fine][:, None]
        played = play(self.kernel, centred(z)[:, None], y, games.coarse, self.nugget)
        pace = torch.vmap(torch.vmap(self.step, in_dims=(None, 0)))(z, -played.gradient)
        return played, -played.gradient * pace[..., None, None]

    def solve(
        self,
        x: Float[Tensor, "n d"],
        t,
        at: Float[Tensor, "m d"] | None = None,
        *,
        rtol: float = 1e-8,
        atol: float = 1e-8,
        method: str = "DOP853",
        max_evaluations: int = 20_000,
    ) -> "Solution":
        """Integrate from F(0, x) = x to a time t >= 0, or to increasing times, with scipy.

        Other points `at` (m, d) go along. Raises ValueError for bad times, IntegrationFailed
        with the t it reached where the solution explodes, is too stiff, or points collide.
        """
        start, other = (points.detach() for points in self._checked(x, at))
        t = increasing(t)
        rtol = checks.number("rtol", rtol, least=1e-13)
        atol = checks.number("atol", atol, above=0)
        checks.choice("method", method, METHODS)
        checks.integer("max_evaluations", max_evaluations, least=1)
        n, d = x.shape
        state = torch.cat([start, start[:0] if at is None else other]).flatten().numpy()
        self.velocity(start)  # where the start itself is bad, this says so
        evaluations, refused, reached = 0, "", (0.0, start)

        def motion(time, flat):
            nonlocal evaluations, refused, reached
            evaluations += 1
            where = torch.from_numpy(flat.copy()).view(-1, d)
            if evaluations > max_evaluations:
                reason = f"{max_evaluations} evaluations spent; it is stiff"
                raise IntegrationFailed(self._story(*reached, reason))
            try:
                found = self.velocity(where[:n], where).flatten().numpy()
            except (
                ValueError
            ) as error:  # a trial step went too far: NaN makes the solver shorten it
                refused = f"; {error}" if np.isfinite(flat).all() else refused
                return np.full_like(flat, np.nan)
            reached = time, where[:n]
            return found

        span = (0.0, max(t[-1], np.finfo(float).tiny))
        try:
            found = solve_ivp(
                motion, span, state, method=method, dense_output=True, rtol=rtol, atol=atol
            )
        except ValueError as error:  # a solver that does not shorten the step
            raise IntegrationFailed(self._story(*reached, f"{error}{refused}")) from error
        sound = np.isfinite(found.y).all(0)  # LSODA takes a step to NaN, and calls it a success
        if not (found.success and sound.all()):
            last = int(np.flatnonzero(sound)[-1])
            points = torch.from_numpy(found.y[:, last].copy()).view(-1, d)[:n]
            reason = found.message if sound.all() else f"{method} went on to NaN"
            raise IntegrationFailed(self._story(found.t[last], points, reason + refused))
        path = torch.from_numpy(found.sol(t).T.copy()).view(len(t), -1, d).to(x)
        moved, carried = path[:, :n], None if at is None else path[:, n:]
        return Solution(torch.from_numpy(t), moved, carried, evaluations, found.sol)

    def _gram(self, at, points):
        return self.kernel.of_squared(squared_distances(at, points, self.kernel.gamma))

    def _checked(self, points, at):
        checks.matrix("points", points, rows=len(self.y))
        if at is not None:
            checks.matrix("at", at, columns=points.shape[1])
        points = checks.wide(points).cpu()
        return points, points if at is None else checks.wide(at).cpu()

    def _story(self, t, points, reason):
        try:
            fastest = self.velocity(points).norm(dim=1).max()
            speed = f"the fastest moves at {fastest:.1e} per unit of time"
        except ValueError:  # a solver need not have looked where it ended
            speed = "too close for a velocity"
        return (
            f"stopped at t = {t:.6g} ({reason}): the closest points are "
            f"{torch.pdist(points).min():.1e} apart and {speed}; stop earlier, loosen rtol and "
            "atol, or pass a larger nugget"
        )


@dataclass(frozen=True)
class Solution:
    """F(t, .) at the times t; calling it gives the training points at any time in between."""

    t: Float[Tensor, " T"]
    points: Float[Tensor, "T n d"]
    at: Float[Tensor, "T m d"] | None
    evaluations: int
    dense: OdeSolution = field(repr=False)

    def __call__(self, t: float) -> Float[Tensor, "n d"]:
        """The training points at a time 0 <= t <= the last one, by scipy's dense output."""
        t = checks.number("t", t)
        if not 0 <= t <= float(self.t[-1]) * (1 + 1e-12):
            raise ValueError(f"t must lie in 0 .. {float(self.t[-1])}, the solved range, not {t}")
        _, n, d = self.points.shape
        return torch.from_numpy(self.dense(t)[: n * d].copy()).view(n, d)


def increasing(t) -> np.ndarray:
    """A time, or times, as an array; ValueError where they are not finite, positive, increasing."""
    try:
        t = np.atleast_1d(np.asarray(t, dtype=float))
    except (TypeError, ValueError):
        raise TypeError(f"t must be a time or a list of times, not {t!r}") from None
    if t.ndim != 1 or t.size == 0 or not np.isfinite(t).all():
        raise ValueError(f"t must be a finite time or a list of them, not {t!r}")
    if t[0] < 0:
        raise ValueError(f"t must not be negative, but it starts at {t[0]}; the flow has no past")
    if (np.diff(t) <= 0).any():
        k = int(np.argmax(np.diff(t) <= 0))
        raise ValueError(f"times must increase, but t[{k}] = {t[k]} and t[{k + 1}] = {t[k + 1]}")
    return t
