"""A run of a flow: `Task` is what was asked, `Moving` the state on its way, `Run` works on both."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from kflow import checks
from kflow.engine import interruption, precisions, reach, saved_state
from kflow.engine.checkpoint import Checkpoint
from kflow.engine.frame import Cloud, Frame
from kflow.engine.layers import in_folder, store
from kflow.engine.lookahead import Games
from kflow.engine.observation import State, numbers_and_tensors
from kflow.engine.progress import Progress
from kflow.engine.rounding import Broken
from kflow.engine.settings import Settings
from kflow.engine.sharded_checkpoint import ShardedCheckpoint
from kflow.engine.shards import Group, RankLost, Shards
from kflow.kernels import Radial

SAVED_EVERY = 60.0  # seconds between two checkpoints, where no number of layers is asked for


@dataclass(frozen=True)
class Task:
    """What `KernelFlow.run` was asked to do; its arguments, under their names."""

    flow: Settings
    x: Tensor
    y: Tensor
    layers: int
    rng: torch.Generator
    carry: Tensor | None = None
    observe: Callable[[State], dict | None] | None = None
    observe_at: tuple[int, ...] = ()
    keep_layers: bool | str | Path = False
    lookahead: int = 1
    checkpoint: str | Path | None = None
    checkpoint_every: int | None = None
    progress: bool = False
    group: Group | None = None

    def checked(self) -> "Task":
        """The task, its numbers as Python's own; ValueError or TypeError on wrong arguments."""
        checks.points_and_labels(self.x, self.y)
        precisions.check_there(self.flow.precision, self.x.device)
        layers = checks.integer("layers", self.layers, least=0)
        checks.generator(self.rng)
        lookahead = checks.integer("lookahead", self.lookahead, least=1)
        every = self.checkpoint_every
        if every is not None:
            every = checks.integer("checkpoint_every", every, least=1)
        if self.carry is not None:
            checks.matrix("carry", self.carry, columns=self.x.shape[1])
            checks.same_place("carry", self.carry, "x", self.x)
        if self.checkpoint is not None and self.keep_layers is True:
            raise ValueError(
                "keep_layers=True keeps layers in memory, and a run that a checkpoint takes up "
                "would lack the first of them; pass a folder as keep_layers, or no checkpoint"
            )
        if self.observe_at and self.observe is None:
            raise ValueError("observe_at names layers, but observe is None; give a function")
        for k in self.observe_at:
            if k > self.layers:
                raise ValueError(
                    f"observe_at names layer {k}, beyond the {self.layers} layers of this run; "
                    f"drop it or raise layers"
                )
        return replace(self, layers=layers, lookahead=lookahead, checkpoint_every=every)

    @property
    def carried(self) -> Tensor:
        """The points to carry, of which there may be none."""
        return self.x[:0] if self.carry is None else self.carry

    def stops(self, layer: int) -> list[int]:
        """Where the blocks of layers end from this layer on.

        At multiples of the lookahead, where it observes, and where it saves by layers.
        """
        every = self.checkpoint_every if self.checkpoint is not None else None
        ends = {k for of in (self.lookahead, every) if of for k in range(of, self.layers, of)}
        return sorted(k for k in ends | {*self.observe_at, self.layers} if k > layer)


@dataclass
class Moving:
    """The points on their way, what was recorded so far, and the generator's state."""

    training: Cloud
    carried: Cloud
    generator: Tensor
    layer: int = 0
    rho: list[float] = field(default_factory=list)
    eps: list[float] = field(default_factory=list)
    observed: dict[int, dict] = field(default_factory=dict)
    saved_at: int | None = None

    def kept_text(self) -> str:
        """What an error says of the checkpoint."""
        kept = self.saved_at is not None
        return f" (the checkpoint of layer {self.saved_at} is kept)" if kept else ""


class Run:
    """A task and its state on this machine."""

    def __init__(self, task: Task):
        flow, x = task.flow, task.x.detach()
        task = replace(task, x=x, carry=None if task.carry is None else task.carry.detach())
        self.task, self.shards = task, Shards.of(len(x), task.group)
        self.carried_shards = Shards.of(len(task.carried), task.group)
        checks.batch_size(flow.n_fine, self.shards.total)
        dtype = torch.float64 if flow.precision == "float64" else torch.float32
        self.mixed = precisions.uses_mixed(flow.precision, x.device)
        self.identity = saved_state.Identity(task, self.mixed, self.shards, self.carried_shards)
        self.frame = Frame.of(x, dtype, isinstance(flow.kernel, Radial), self.shards)
        self.state = Moving(self.frame.take(x), self.frame.take(task.carried), task.rng.get_state())
        training, carried = self.state.training, self.state.carried
        held = "mixed" if self.mixed else str(dtype).removeprefix("torch.")
        if isinstance(flow.kernel, Radial):
            reach.check(training, flow.kernel, held, self.shards)
        else:
            reach.check_origin(training, held, self.shards)
        labels = checks.wide(task.y.detach())
        self.games = Games(flow, (training, carried), labels, task.rng, self.shards, held)
        width = training.points.shape[1]
        named = self.identity.of_layers() if in_folder(task.keep_layers) else ""
        asked = (task.keep_layers, task.layers, flow.n_fine, width, dtype, named)
        self.kept = self.shards.together(lambda: store(*asked, writes=self.shards.rank == 0))

    def go(self):
        """Move on to the last layer; resume first, observe and save on the way."""
        state = self.state
        saves = self.task.checkpoint is not None and self.task.group is None
        try:
            with self._checkpoint() as checkpoint, interruption.noticed(saves) as arrived:
                self._go(checkpoint, arrived)
        except Broken as error:
            raise FloatingPointError(f"{error}{state.kept_text()}: {error.cure}") from error
        except RankLost as error:
            raise RankLost(
                f"at layer {state.layer} {error}{state.kept_text()}: start the same again, with as "
                f"many ranks as there are"
            ) from error

    def _go(self, checkpoint: Checkpoint | ShardedCheckpoint | None, arrived: Callable):
        task, state = self.task, self.state
        if checkpoint:
            saved_state.resume(checkpoint, self.identity, state, self.kept)
            task.rng.set_state(state.generator)
        shown = Progress(task.progress and self.shards.rank == 0, state.layer, task.layers)
        saved = time.monotonic()
        if state.layer == 0:
            self._observe()
        stopped = self._stopped()
        for block in self.games.blocks(state.layer, [] if stopped else task.stops(state.layer)):
            self.games.move_all(block)
            if self.kept is not None:
                for layer in block.layers:
                    self.kept.append(layer)
            state.layer, state.generator = block.stop, block.generator
            state.rho += block.rho
            state.eps += block.eps
            self._observe()
            signal, stopped = arrived(), self._stopped()
            if checkpoint and (signal or stopped or self._is_due(saved)):
                saved_state.save(checkpoint, self.identity, state, self.shards)
                saved = time.monotonic()
            if signal:
                interruption.stop(signal, state.layer, task.checkpoint)
            shown(state.layer, state.rho[-1])
            if stopped:
                task.rng.set_state(state.generator)  # draws for the next block may have been made
                break
        saved_state.refuse_broken(state, self.shards)
        self.shards.together(lambda: None)  # no rank leaves before the others have written

    def _stopped(self) -> bool:
        """Whether an observer, of any rank, asks to stop at this layer."""
        seen = self.state.observed.get(self.state.layer)
        if seen is None:
            return False
        asked = torch.tensor([bool(seen.get("stop", False))], device="cpu")
        if not self.shards.any(asked)[0]:
            return False
        seen["stop"] = True  # on all ranks, as it is saved
        return True

    def _is_due(self, saved: float) -> bool:
        """Whether it is time for a checkpoint, the same on all ranks."""
        task, layer = self.task, self.state.layer
        if layer == task.layers:
            return True
        if task.checkpoint_every is not None:
            return layer % task.checkpoint_every == 0
        return bool(
            self.shards.any(torch.tensor([time.monotonic() - saved > SAVED_EVERY], device="cpu"))[0]
        )

    def _checkpoint(self):
        """The context of this run's checkpoint: of one process, or of all ranks."""
        task = self.task
        if task.checkpoint is None:
            return contextlib.nullcontext()
        if task.group is None:
            return Checkpoint(task.checkpoint)
        shared = {"points": self.shards, "carried": self.carried_shards}
        return ShardedCheckpoint(task.checkpoint, shared)

    def _observe(self):
        """Call the observer if this layer is one of those asked for."""
        task, state = self.task, self.state
        if state.layer not in task.observe_at:
            return
        found = task.observe(
            State(
                state.layer,
                state.training.full(),
                None if task.carry is None else state.carried.full(),
                torch.tensor(state.rho, dtype=torch.float64, device="cpu"),
                torch.tensor(state.eps, dtype=torch.float64, device="cpu"),
            )
        )
        state.observed[state.layer] = numbers_and_tensors(found, state.layer)
