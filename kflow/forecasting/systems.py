"""Chaotic systems as maps from one state to the next, and the exponent of a map's errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from kflow import checks
from kflow.forecasting.embedding import floats

FINE = 128  # units in the last place of a state that a separation is at least


@dataclass(frozen=True)
class System:
    """A map of states (..., d) to the states a time dt later.

    `exponent` is the known largest Lyapunov exponent per unit of time; errors grow by e in a time
    of 1 / exponent. `near` is a state in the basin of the attractor.
    """

    name: str
    step: Callable[[ndarray], ndarray]
    near: tuple[float, ...]
    dt: float = 1.0
    exponent: float | None = None
    solver: str = "exact map"

    def series(
        self, n: int, seed: int, *, transient: int = 200, spread: float = 1e-2
    ) -> Float[ndarray, "n d"]:
        """n states in a row on the attractor, from a start that the seed draws near `near`.

        The first `transient` states are dropped.
        """
        checks.integer("n", n, least=1, most=10**9)
        checks.integer("seed", seed, least=0)
        checks.integer("transient", transient, least=0, most=10**9)
        spread = checks.number("spread", spread, least=0)
        state = np.array(self.near)
        state = state * (1 + spread * np.random.default_rng(seed).uniform(-1, 1, state.shape))
        states = np.empty((n, state.size))
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it
            for i in range(-transient, n):
                if i >= 0:
                    states[i] = state
                state = self.step(state)
        if not np.isfinite(states).all():
            raise FloatingPointError(
                f"{self.name} left every bound: other parameters, or a smaller dt"
            )
        return states


def logistic(r: float = 4.0) -> System:
    r"""$x \mapsto r x (1 - x)$ on [0, 1]; at r = 4 the exponent is ln 2."""
    r = checks.number("r", r)
    exponent = float(np.log(2)) if r == 4 else None
    return System("logistic map", lambda x: r * x * (1 - x), (0.3,), exponent=exponent)


def henon(a: float = 1.4, b: float = 0.3) -> System:
    r"""$(x, y) \mapsto (1 - a x^2 + y,\ b x)$."""
    a, b = checks.number("a", a), checks.number("b", b)

    def step(s):
        x, y = s[..., 0], s[..., 1]
        return np.stack([1 - a * x**2 + y, b * x], axis=-1)

    known = 0.4192 if (a, b) == (1.4, 0.3) else None
    return System("Henon map", step, (0.1, 0.1), exponent=known)


def lorenz63(dt: float = 0.05, sigma=10.0, rho=28.0, beta=8 / 3) -> System:
    """Lorenz's three equations of convection, by the classical Runge-Kutta method; dt <= 100."""
    sigma, rho = checks.number("sigma", sigma), checks.number("rho", rho)
    beta = checks.number("beta", beta)

    def velocity(s):
        x, y, z = s[..., 0], s[..., 1], s[..., 2]
        out = np.empty_like(s)
        out[..., 0], out[..., 1] = sigma * (y - x), x * (rho - z) - y
        out[..., 2] = x * y - beta * z
        return out

    known = 0.9056 if (sigma, rho, beta) == (10.0, 28.0, 8 / 3) else None
    return _flow("Lorenz 63", velocity, (1.0, 1.0, 20.0), dt, known)


def lorenz96(variables: int = 8, dt: float = 0.05, forcing: float = 8.0) -> System:
    r"""$\dot x_i = (x_{i+1} - x_{i-2})\,x_{i-1} - x_i + F$ on a ring, by the same method."""
    checks.integer("variables", variables, least=4, most=10**6)
    forcing = checks.number("forcing", forcing)
    ahead, before, two = (np.roll(np.arange(variables), shift) for shift in (-1, 1, 2))

    def velocity(s):
        return (s[..., ahead] - s[..., two]) * s[..., before] - s + forcing

    start = forcing + 0.01 * np.arange(variables)
    return _flow("Lorenz 96", velocity, tuple(start.tolist()), dt, None)


def _flow(name, velocity, near, dt, exponent) -> System:
    dt = checks.number("dt", dt, above=0, most=100)
    steps = max(1, round(dt / 0.01))
    h = dt / steps

    def step(s):
        for _ in range(steps):
            a = velocity(s)
            b = velocity(s + h / 2 * a)
            c = velocity(s + h / 2 * b)
            d = velocity(s + h * c)
            s = s + h / 6 * (a + 2 * b + 2 * c + d)
        return s

    solver = f"Runge-Kutta of order 4, {steps} steps of {h:g}"
    return System(name, step, near, dt, exponent, solver)


def largest_exponent(
    step: Callable[[ndarray], ndarray],
    start: ndarray | Sequence[float],
    steps: int,
    dt=1.0,
    separation=1e-7,
) -> float:
    """The largest Lyapunov exponent per unit of time, from two close orbits (Benettin).

    Their separation is brought back to its first value after each step, and the mean logarithm of
    its growth is returned. `step` maps states (2, d) to states (2, d). Raises ValueError where the
    states are so large that the separation is their rounding.
    """
    checks.integer("steps", steps, least=1, most=10**9)
    dt = checks.number("dt", dt, above=0, least=1e-100)
    separation = checks.number("separation", separation, above=0)
    state = np.atleast_1d(floats("start", start))
    if not state.size:
        raise ValueError("start must hold at least one number")
    offset = np.full(state.shape, separation / state.size**0.5)
    total, counted, largest = 0.0, 0, 0.0
    for i in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):  # the error below says it
            state, other = step(np.stack([state, state + offset]))
            offset = other - state
            distance = np.linalg.norm(offset)
        if not np.isfinite(distance):
            raise FloatingPointError(f"the orbit left every bound at step {i}")
        if distance == 0:  # the two met, as at the top of the logistic map
            offset = np.full(state.shape, separation / state.size**0.5)
            continue
        if i >= steps // 20:  # before, the offset turns to the direction that grows
            largest = max(largest, float(np.abs(state).max()))
            total, counted = total + np.log(distance / separation), counted + 1
        offset *= separation / distance
    if not counted:
        raise ValueError(
            f"the two orbits, {separation:g} apart, met at every step, so there is no exponent; "
            "take a larger separation"
        )
    if np.spacing(largest) * FINE > separation:
        raise ValueError(
            f"a separation of {separation:g} is rounding beside states of {largest:.3g}, which "
            f"would be the exponent's; take a larger separation, {1e-7 * largest:.1g} say"
        )
    return float(total / counted / dt)
