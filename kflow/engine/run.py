"""A flow on its way: the one mutable state of the library, what it saves and how it resumes."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Number
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks
from kflow.engine import fingerprint, transport
from kflow.engine.checkpoint import Checkpoint, refuse_other_run
from kflow.engine.frame import Frame
from kflow.engine.layers import store
from kflow.engine.lookahead import Block, Broken, Games, plays_ahead
from kflow.engine.progress import Progress
from kflow.engine.sharded_checkpoint import ShardedCheckpoint
from kflow.engine.shards import Group, RankLost, Shards
from kflow.kernels import Radial


class State(NamedTuple):
    """What an observer sees after `layer` layers: copies of the points, and rho, eps so far."""

    layer: int
    points: Float[Tensor, "n d"]
    carried: Float[Tensor, "m d"] | None
    rho: Float[Tensor, " layer"]
    eps: Float[Tensor, " layer"]


@dataclass
class Run:
    """The points, what was recorded so far, and the generator; `flow` holds the settings."""

    flow: "KernelFlow"  # noqa: F821, defined in the module above this one
    x: Tensor
    y: Tensor
    carry: Tensor | None
    rng: torch.Generator
    layers: int
    keep_layers: bool | str | Path
    lookahead: int
    observe: Callable[[State], dict | None] | None
    observe_at: list[int]
    group: Group | None = None
    layer: int = 0
    rho: list[float] = field(default_factory=list)
    eps: list[float] = field(default_factory=list)
    observed: dict[int, dict] = field(default_factory=dict)
    saved_at: int | None = None

    def __post_init__(self):
        flow, x = self.flow, self.x.detach()
        carry = x[:0] if self.carry is None else self.carry.detach()
        self.shards = Shards.of(len(x), self.group)
        self.carried_shards = Shards.of(len(carry), self.group)
        checks.batch_size(flow.n_fine, self.shards.total)
        dtype = torch.float64 if flow.precision == "float64" else torch.float32
        self.mixed = transport.uses_mixed(flow.precision, x.device)
        self.rng_start = self.generator = self.rng.get_state()
        if self.group is not None:
            self._agree()
        self.frame = Frame.of(x, dtype, isinstance(flow.kernel, Radial), self.shards)
        self.training = self.frame.take(x)
        self.carried = self.frame.take(carry)
        self.games = Games(
            flow,
            self.training,
            self.carried,
            checks.wide(self.y.detach()),
            self.rng,
            self.shards,
            self.mixed,
        )
        width = self.training.points.shape[1]
        self.kept = store(
            self.keep_layers, self.layers, flow.n_fine, width, dtype, writes=self.shards.rank == 0
        )

    def _agree(self):
        """Refuse ranks whose settings differ, or that were given none or the same of the points."""
        shape = {
            "layers": str(self.layers),
            "observe_at": str(self.observe_at),
            "columns": f"{self.x.shape[1]} of {self.x.dtype}, {self.y.shape[1]} of {self.y.dtype}",
        }
        self.shards.agree(self.settings | shape)
        fingerprint.refuse_no_or_the_same_rows(self.x, self.shards)

    @cached_property
    def settings(self) -> dict[str, str]:
        """The settings of this run and of the machine."""
        return fingerprint.of_settings(
            self.flow, self.mixed, self.rng_start, self.lookahead, self.x.device
        )

    @cached_property
    def data(self) -> dict[str, str]:
        """Fingerprints of the points and labels, of all ranks."""
        return {
            "x": fingerprint.of_rows(self.x, self.shards),
            "y": fingerprint.of_rows(self.y, self.shards),
            "carry": fingerprint.of_rows(
                self.x[:0] if self.carry is None else self.carry, self.carried_shards
            ),
        }

    def checkpoint(self, path: str | Path | None):
        """The context of this run's checkpoint at a path: of one process, or of all ranks."""
        if path is None:
            return contextlib.nullcontext()
        if self.group is None:
            return Checkpoint(path)
        return ShardedCheckpoint(path, {"points": self.shards, "carried": self.carried_shards})

    def go(self, checkpoint: Checkpoint | ShardedCheckpoint | None, every: int, progress: bool):
        """Move on to the last layer; observe and save on the way."""
        try:
            self._go(checkpoint, every, progress)
        except Broken as error:
            raise FloatingPointError(
                f"{error}{self.kept_text()}: take smaller steps or a larger nugget"
            ) from error
        except RankLost as error:
            raise RankLost(
                f"at layer {self.layer} {error}{self.kept_text()}: start the same again, with as "
                f"many ranks as there are"
            ) from error

    def _go(self, checkpoint, every: int, progress: bool):
        if checkpoint:
            self.resume(checkpoint)
        shown = Progress(progress and self.shards.rank == 0, self.layer, self.layers)
        every = every if checkpoint else 0
        begun = None
        if self.layer == 0:
            self.observe_here()
        while self.layer < self.layers:
            if begun is None:
                begun = self.games.gather(self.layer, self._stop_after(self.layer, every)).play()
            block, begun = begun.finish(), None
            stop = self.layer + len(block.layers)
            if stop < self.layers and plays_ahead(self.x.device):
                begun = self.games.gather(stop, self._stop_after(stop, every))
                begun.play(pending=block.layers)
            self._advance(block)
            self.observe_here()
            if every and (self.layer % every == 0 or self.layer == self.layers):
                self.save(checkpoint)
            shown(self.layer, self.rho[-1])
        self.shards.together(lambda: None)  # no rank leaves before the others have written

    def _stop_after(self, layer: int, every: int) -> int:
        """Where a block that starts at this layer ends: by the look-ahead, or to look or save."""
        stops = [k for k in self.observe_at if k > layer] + [self.layers]
        stops += [layer - layer % of + of for of in (self.lookahead, every) if of]
        return min(stops)

    def _advance(self, block: Block):
        self.games.move_all(block.layers)
        if self.kept is not None:
            for layer in block.layers:
                self.kept.append(layer.layer)
        self.layer += len(block.layers)
        self.rho += block.rho
        self.eps += block.eps
        self.generator = block.generator

    def kept_text(self) -> str:
        """What an error says of the checkpoint."""
        kept = self.saved_at is not None
        return f" (the checkpoint of layer {self.saved_at} is kept)" if kept else ""

    def observe_here(self):
        """Call the observer if this layer is one of those asked for."""
        if self.layer not in self.observe_at:
            return
        found = self.observe(
            State(
                self.layer,
                self.training.full(),
                None if self.carry is None else self.carried.full(),
                torch.tensor(self.rho, dtype=torch.float64),
                torch.tensor(self.eps, dtype=torch.float64),
            )
        )
        self.observed[self.layer] = _numbers_and_tensors(found, self.layer)

    def save(self, checkpoint: Checkpoint | ShardedCheckpoint):
        """Write the state; refuse to keep one that holds NaN."""
        clouds = (self.training.points, self.carried.points)
        broken = torch.stack([~torch.isfinite(points).all() for points in clouds])
        if self.shards.any(broken).any():
            raise Broken(self.layer, "the points")
        tensors = {
            "points": self.training.points,
            "carried": self.carried.points,
            "rho": torch.tensor(self.rho, dtype=torch.float64),
            "eps": torch.tensor(self.eps, dtype=torch.float64),
            "generator": self.generator,
        }
        numbers = {}
        for layer, found in self.observed.items():
            numbers[layer] = {k: v for k, v in found.items() if not isinstance(v, Tensor)}
            for name, value in found.items():
                if isinstance(value, Tensor):
                    tensors[f"observed/{layer}/{name}"] = value.contiguous()
        facts = {"layer": self.layer, "observed": numbers}
        checkpoint.save(tensors, facts | {"fingerprint": self.fingerprint(self.layer)})
        self.saved_at = self.layer

    def resume(self, checkpoint: Checkpoint | ShardedCheckpoint):
        """Take up the state of a checkpoint of this very run, if there is one."""
        state = checkpoint.load()
        if state is None:
            return
        tensors, facts = state
        layer = facts["layer"]
        if layer > self.layers:
            raise ValueError(
                f"the checkpoint {checkpoint.path} already has {layer} layers, more than the "
                f"{self.layers} asked for; ask for at least as many, or choose another path"
            )
        refuse_other_run(checkpoint.path, facts["fingerprint"], self.fingerprint(layer))
        if self.kept is not None:
            self.kept.truncate(layer)
        self.layer = self.saved_at = layer
        self.training.points.copy_(tensors["points"])
        self.carried.points.copy_(tensors["carried"])
        self.rho, self.eps = tensors["rho"].tolist(), tensors["eps"].tolist()
        self.generator = tensors["generator"]
        self.rng.set_state(self.generator)
        self.observed = {int(k): dict(found) for k, found in facts["observed"].items()}
        for key, value in tensors.items():
            if key.startswith("observed/"):
                _, k, name = key.split("/", 2)
                self.observed[int(k)][name] = value

    def fingerprint(self, layer: int) -> dict[str, str]:
        """What must agree for the first `layer` layers of two runs to be the same bits."""
        seen = " ".join(str(k) for k in self.observe_at if k <= layer)
        return self.data | self.settings | {"observe_at": seen}


def _numbers_and_tensors(found, layer: int) -> dict:
    """What an observer returned, as plain numbers and detached tensors; else TypeError."""
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise TypeError(f"observe must return a dict or None, not {type(found).__name__}")
    kept = {}
    for name, value in found.items():
        if not isinstance(name, str):
            raise TypeError(f"observe must name what it returns by strings, not {name!r}")
        if isinstance(value, Tensor):
            kept[name] = value.detach().cpu().clone()
        elif isinstance(value, Number) and not isinstance(value, complex):
            kept[name] = value.item() if hasattr(value, "item") else value
        else:
            raise TypeError(
                f"observe returned {name!r} of type {type(value).__name__} at layer {layer}; "
                f"return numbers and tensors"
            )
    return kept
