"""Learn the parameters of a kernel, and a nugget, by rho or by another criterion."""

import copy
import re
import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from kflow import checks
from kflow.learning.criteria import Rho
from kflow.learning.descent import Descent, History, LearningWarning, Settings, evaluating
from kflow.learning.nugget import LARGEST, SMALLEST, loo_nugget
from kflow.learning.parametric import Frozen, ParametricKernel, Positive

MOST = 10**9  # steps, and what is counted beside them
# bounds that say something of the data: a feature that does not matter, labels without noise
EXPECTED = re.compile(r"gamma\S* at its upper bound|nugget at its lower bound")


@dataclass(frozen=True)
class Learned:
    """A learned kernel (frozen) with its nugget, and how it was found.

    `learned_nugget` is the nugget before it was refitted, `criterion` the least mean over the fixed
    games, at `best_step`; `stopped` says why learning ended, `at_bounds` what ended at a bound.
    """

    kernel: Frozen
    nugget: float
    learned_nugget: float
    criterion: float
    history: History
    best_step: int
    stopped: str
    at_bounds: tuple[str, ...]


def learn(
    kernel: ParametricKernel,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n c"],
    criterion=None,
    *,
    nugget: float = 1e-2,
    learn_nugget: bool = True,
    refit_nugget: bool = True,
    steps: int = 300,
    lr: float = 0.05,
    games: int = 8,
    check_every: int = 10,
    patience: int = 100,
    starts: int = 1,
    rng: torch.Generator,
    progress: bool = False,
) -> Learned:
    """Learn the parameters of a kernel, and a nugget, by a criterion; by default `Rho()`.

    With a bandwidth for each of many features `LeaveOneOut()` or `MarginalLikelihood()` predicted
    better than rho, and on some data no learning did (the chapter on learned kernels).

    Adam descends the criterion on a new batch at each step, in the logarithms of the parameters, so
    lr is a relative change. Every check_every steps the criterion is read on the same `games`
    batches; the parameters of its least mean are kept, and `patience` steps without a better one
    end the descent. With refit_nugget the nugget is then chosen by leaving one out (`loo_nugget`),
    which rho needs. With starts > 1 more descents begin at random factors of the parameters, and
    the best is kept. The kernel that was given is not changed.

    Centre the labels and standardise the points. Raises ValueError or TypeError on bad arguments,
    and NotPositiveDefinite where not even the start can be judged; a later failure ends the descent
    with a LearningWarning and the last good parameters. A parameter that ends at a bound is named
    in `at_bounds`, and warned of unless the bound only says that a feature does not matter or that
    labels have no noise.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError("learn follows gradients, which inference mode has none of; leave it")
    criterion = Rho() if criterion is None else criterion
    _check(kernel, x, y, criterion, nugget, learn_nugget, lr, rng)
    nugget, lr = float(nugget), float(lr)
    counts = dict(games=games, check_every=check_every, patience=patience, starts=starts)
    for name, value in counts.items():
        checks.integer(name, value, least=1, most=MOST)
    checks.integer("steps", steps, least=0, most=MOST)
    x, y = checks.wide(x.detach()), checks.wide(y.detach())
    y = y[:, (y != y[0]).any(0)]  # a constant output has no scale
    seeds = torch.randint(2**62, (games,), generator=rng, device="cpu").tolist()
    settings = Settings(steps, lr, check_every, patience, seeds)
    found = []
    shown = tqdm(total=starts * steps, disable=not progress, desc="learning")
    with shown as bar, torch.enable_grad():
        for start in range(starts):
            begin = copy.deepcopy(kernel).to(x.device)
            if start:
                _scatter(begin, rng)
            noise = _nugget(begin, x, nugget, learn_nugget)
            found.append(Descent(begin, noise, criterion, x, y, rng).run(settings, bar))
    best = min(found, key=lambda descent: descent.best)
    learned = best.value_of_nugget().item()
    at_bounds = [said for name, each in best.positives() for said in each.at_bounds(name)]
    telling = [said for said in at_bounds if not EXPECTED.search(said)]
    if telling:
        warnings.warn(
            f"learning ended with {', '.join(telling)}; a better kernel may lie beyond it, so "
            "widen that bound, or mistrust the criterion",
            LearningWarning,
            stacklevel=2,
        )
    return Learned(
        kernel=best.kernel.freeze(),
        nugget=loo_nugget(best.kernel, x, y, rng) if refit_nugget else learned,
        learned_nugget=learned,
        criterion=best.best,
        history=best.history,
        best_step=best.best_step,
        stopped=best.stopped,
        at_bounds=tuple(at_bounds),
    )


def _nugget(kernel, x, value, learned):
    """The nugget to descend with; its bounds are relative to k(x, x)."""
    if not learned:
        return torch.tensor(value, dtype=torch.float64, device=x.device)
    with evaluating(kernel):
        unit = kernel.diagonal(x[:100]).mean().item()
    bounds = (min(SMALLEST * unit, value), max(LARGEST * unit, value))
    return Positive("nugget", value, bounds).to(x.device)


def _scatter(kernel: ParametricKernel, rng: torch.Generator):
    """Multiply each positive parameter that is learned by a random factor, of logarithm N(0, 1)."""
    for _, positive in kernel.positives():
        if not positive.log.requires_grad:
            continue
        noise = torch.randn(positive.log.shape, generator=rng, dtype=torch.float64, device="cpu")
        positive.log.data.add_(noise.to(positive.log.device))
        positive.clamp()


def _check(kernel, x, y, criterion, nugget, learn_nugget, lr, rng):
    if not isinstance(kernel, ParametricKernel):
        raise TypeError(
            "kernel must have parameters to learn, as kflow.learning.ARD(kflow.Gaussian, 3) has, "
            f"not {kernel!r}"
        )
    if not callable(criterion) or isinstance(criterion, type):
        raise TypeError(f"criterion must be callable, as Rho() is, not {criterion!r}")
    checks.points_and_labels(x, y)
    checks.generator(rng)
    checks.number("lr", lr, above=0)
    checks.number("nugget", nugget, least=0)
    if nugget == 0 and learn_nugget:
        raise ValueError("a nugget of 0 cannot be learned: start at 1e-6, say, or fix it")
    if len(x) < 4:
        raise ValueError(f"learning needs at least 4 points, not {len(x)}")
    if not (y != y[0]).any():
        raise ValueError("all labels are equal, so there is nothing to learn from them")
