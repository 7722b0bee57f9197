"""One descent of a criterion: Adam over random batches, checked on fixed ones, the best kept."""

import contextlib
import copy
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from kflow.checks import NotPositiveDefinite
from kflow.interpolation import rows_of
from kflow.learning.parametric import ParametricKernel, Positive


@contextlib.contextmanager
def evaluating(kernel: ParametricKernel):
    """A kernel as it predicts: without dropout, and with what a network has seen so far."""
    training = [module for module in kernel.modules() if module.training]
    kernel.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


class LearningWarning(UserWarning):
    """Learning ended where the user should know of it: before its end, or at a bound."""


@dataclass
class History:
    """What was seen while learning: the loss of each step, and at each check the fixed games."""

    loss: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    criterion: list[float] = field(default_factory=list)  # mean over the fixed games
    spread: list[float] = field(default_factory=list)  # standard deviation over them
    parameters: list[dict[str, Tensor]] = field(default_factory=list)

    def of(self, name: str) -> Tensor:
        """A parameter, or "nugget", at all checks: (checks, ...)."""
        if name not in self.parameters[0]:
            raise ValueError(f"no parameter {name!r}; there are {', '.join(self.parameters[0])}")
        return torch.stack([seen[name] for seen in self.parameters])


@dataclass(frozen=True)
class Settings:
    """How a descent goes; see `learn`."""

    steps: int
    lr: float
    check_every: int
    patience: int
    seeds: list[int]  # of the fixed games


class Descent:
    """A kernel and a nugget that descend a criterion. `run` it; then read `best` and `kernel`."""

    def __init__(self, kernel: ParametricKernel, nugget: Positive | Tensor, criterion, x, y, rng):
        self.kernel, self.nugget, self.criterion = kernel, nugget, criterion
        self.x, self.y, self.rng = x, y, rng
        self.learned = [kernel, nugget] if isinstance(nugget, Positive) else [kernel]
        self.parameters = [p for m in self.learned for p in m.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("nothing to learn: no parameter of the kernel, and a fixed nugget")
        self.history, self.best, self.best_step = History(), math.inf, 0
        self.state: list[dict] | None = None  # the best parameters, and a network's statistics
        self.stopped = "no step was made"

    def value_of_nugget(self) -> Tensor:
        """The nugget as it is now."""
        return self.nugget() if isinstance(self.nugget, Positive) else self.nugget

    def positives(self) -> Iterator[tuple[str, Positive]]:
        """The positive parameters, the nugget among them, by name."""
        yield from self.kernel.positives()
        if isinstance(self.nugget, Positive):
            yield "nugget", self.nugget

    def run(self, settings: Settings, bar) -> "Descent":
        """Descend, and go back to the best parameters that were seen.

        A network learns in its training mode, and is judged, and returned, in that of evaluation.
        Its dropout is drawn from what `rng` drew, and torch's own generator left as it was.
        """
        cuda = [self.x.device] if self.x.is_cuda else []
        with torch.random.fork_rng(cuda):
            (torch.cuda if cuda else torch.default_generator).manual_seed(settings.seeds[0])
            self._descend(settings, bar)
        assert self.state is not None  # of step 0, unless its failure was raised
        for module, state in zip(self.learned, self.state, strict=True):
            module.load_state_dict(state)
        self.kernel.eval()
        return self

    def _descend(self, settings, bar):
        optimiser = torch.optim.Adam(self.parameters, lr=settings.lr)
        seeds = settings.seeds if self._draws() else settings.seeds[:1]
        self.stopped = f"all {settings.steps} steps were made"
        for step in range(settings.steps + 1):
            try:
                if step % settings.check_every == 0 or step == settings.steps:
                    self._check(step, seeds)
                    if step - self.best_step >= settings.patience:
                        self.stopped = f"no better criterion for {settings.patience} steps"
                        break
                if step < settings.steps:
                    self._step(optimiser)
                    bar.update()
            except (NotPositiveDefinite, FloatingPointError) as error:
                if self.state is None:
                    raise
                self._give_up(step, error)
                break

    def _step(self, optimiser):
        optimiser.zero_grad()
        loss = self._criterion(self.rng)
        if not loss.requires_grad:
            raise TypeError(
                "what the criterion returns has no gradient: it depends on no parameter that is "
                "learned, or was detached"
            )
        loss.backward()
        value = loss.item()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not (math.isfinite(value) and all(g.isfinite().all() for g in gradients)):
            raise FloatingPointError(f"the criterion is {value:g}, or its gradient is not finite")
        optimiser.step()
        for _, positive in self.positives():
            positive.clamp()
        self.history.loss.append(value)

    def _check(self, step, seeds):
        values = [self._judge(torch.Generator().manual_seed(seed)) for seed in seeds]
        mean = sum(values) / len(values)
        if not math.isfinite(mean):
            raise FloatingPointError(f"the criterion on the fixed games is {mean:g}")
        self.history.steps.append(step)
        self.history.criterion.append(mean)
        self.history.spread.append(float(torch.tensor(values, device="cpu").std(correction=0)))
        seen = {name: positive().detach().clone() for name, positive in self.positives()}
        nugget = self.value_of_nugget().detach().clone()
        self.history.parameters.append(seen | {"nugget": nugget})
        if self.state is None or mean < self.best:
            self.best, self.best_step = mean, step
            self.state = [copy.deepcopy(module.state_dict()) for module in self.learned]

    def _judge(self, rng) -> float:
        with torch.no_grad(), evaluating(self.kernel):
            return self._criterion(rng).item()

    def _criterion(self, rng) -> Tensor:
        with rows_of(self.x):
            found = self.criterion(self.kernel, self.x, self.y, self.value_of_nugget(), rng)
        if not isinstance(found, Tensor) or found.numel() != 1:
            raise TypeError(f"criterion must return a tensor of one number, not {found!r}")
        return found

    def _draws(self) -> bool:
        """Whether the criterion draws from rng; one fixed game is enough where it does not."""
        rng = torch.Generator().manual_seed(0)
        before = rng.get_state()
        self._judge(rng)
        return not torch.equal(before, rng.get_state())

    def _give_up(self, step, error):
        self.stopped = f"failed at step {step}: {error}"
        where = "; ".join(f"{name} = {p().tolist()}" for name, p in self.positives())
        warnings.warn(
            f"learning ended at step {step}, at {where or 'parameters without names'}: {error}. "
            f"The parameters of step {self.best_step} are kept",
            LearningWarning,
            stacklevel=4,
        )
