"""A flow on its way: the one mutable state of the library, what it saves and how it resumes."""

import platform
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from numbers import Number
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks, game, transport
from kflow.checkpoint import Checkpoint, digest, refuse_other_run
from kflow.cloud import Frame
from kflow.kernels import Radial
from kflow.layers import store
from kflow.progress import Progress
from kflow.transport import Layer


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
    layer: int = 0
    rho: list[float] = field(default_factory=list)
    eps: list[float] = field(default_factory=list)
    observed: dict[int, dict] = field(default_factory=dict)
    saved_at: int | None = None

    def __post_init__(self):
        flow, x = self.flow, self.x.detach()
        dtype = torch.float64 if flow.precision == "float64" else torch.float32
        self.mixed = transport.uses_mixed(flow.precision, x.device)
        self.frame = Frame.of(x, dtype, radial=isinstance(flow.kernel, Radial))
        self.training = self.frame.take(x)
        self.carried = self.frame.take(x[:0] if self.carry is None else self.carry.detach())
        self.labels = checks.wide(self.y.detach())
        self.rng_start = self.rng.get_state()
        width = self.training.points.shape[1]
        self.kept = store(self.keep_layers, self.layers, flow.n_fine, width, dtype)

    def go(self, checkpoint: Checkpoint | None, checkpoint_every: int, progress: bool):
        """Move on to the last layer; observe and save on the way."""
        if checkpoint:
            self.resume(checkpoint)
        shown = Progress(progress, self.layer, self.layers)
        if self.layer == 0:
            self.observe_here()
        while self.layer < self.layers:
            stops = [k for k in self.observe_at if k > self.layer] + [self.layers]
            stops.append(_next_multiple(self.layer, self.lookahead))
            if checkpoint:
                stops.append(_next_multiple(self.layer, checkpoint_every))
            self.advance(min(stops))
            self.observe_here()
            if checkpoint and (self.layer % checkpoint_every == 0 or self.layer == self.layers):
                self.save(checkpoint)
            shown(self.layer, self.rho[-1])

    def advance(self, stop: int):
        """Play the games from here to layer `stop`, then move all points by their layers."""
        n, points = len(self.training), self.training.points
        drawn = [game.draw(n, self.flow.n_fine, self.rng) for _ in range(self.layer, stop)]
        fine = torch.stack([sample.fine for sample in drawn])
        union, at = torch.unique(fine, return_inverse=True)
        ahead = points[union.to(points.device)]  # a scratch copy of all that will be drawn
        layers = []
        for k, sample in enumerate(drawn):
            layers.append(self._play(ahead[at[k].to(ahead.device)], sample))
            if k + 1 < len(drawn):
                self._move(ahead, None, layers[-1:])
        for cloud in (self.training, self.carried):
            self._move(cloud.points, cloud.away, layers)
        if self.kept is not None:
            for layer in layers:
                self.kept.append(layer)
        self.layer = stop

    def _move(self, points, away, layers):
        transport.move(points, away, layers, self.flow.kernel, self.mixed)

    def _play(self, z: Tensor, sample: game.Sample) -> Layer:
        """One game on the batch z, and the layer that moves its points down the gradient."""
        flow, k = self.flow, len(self.rho)
        if self.mixed:
            z = z.bfloat16().to(z.dtype)
        wide = checks.wide(z)
        y, coarse = self.labels[sample.fine.to(wide.device)], sample.coarse.to(wide.device)
        if not torch.isfinite(wide).all():
            raise FloatingPointError(self._broken(k, "the points became NaN or infinite"))
        try:
            played = game.play(flow.kernel, wide, y, coarse, flow.nugget)
        except checks.NotPositiveDefinite as error:
            pair = error.pair and tuple(sample.fine[list(error.pair)].tolist())
            rows = f" (rows {pair[0]} and {pair[1]} of x)" if pair else ""
            raise checks.NotPositiveDefinite(f"at layer {k}: {error}{rows}", pair) from error
        g = -played.gradient
        eps = flow.step(wide, g)
        c = eps * torch.cholesky_solve(g, played.factor)
        self.rho.append(float(played.rho))
        self.eps.append(float(eps))
        if not torch.isfinite(c).all():
            raise FloatingPointError(self._broken(k, "the step became NaN or infinite"))
        return Layer(z, c.to(z))

    def _broken(self, layer: int, what: str) -> str:
        kept = (
            "" if self.saved_at is None else f" (the checkpoint of layer {self.saved_at} is kept)"
        )
        return f"at layer {layer} {what}{kept}: take smaller steps or a larger nugget"

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

    def save(self, checkpoint: Checkpoint):
        """Write the state; refuse to keep one that holds NaN."""
        for cloud in (self.training, self.carried):
            if not torch.isfinite(cloud.points).all():
                raise FloatingPointError(
                    self._broken(self.layer, "the points became NaN or infinite")
                )
        tensors = {
            "points": self.training.points,
            "carried": self.carried.points,
            "rho": torch.tensor(self.rho, dtype=torch.float64),
            "eps": torch.tensor(self.eps, dtype=torch.float64),
            "generator": self.rng.get_state(),
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

    def resume(self, checkpoint: Checkpoint):
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
        self.rng.set_state(tensors["generator"])
        self.observed = {int(k): dict(found) for k, found in facts["observed"].items()}
        for key, value in tensors.items():
            if key.startswith("observed/"):
                _, k, name = key.split("/", 2)
                self.observed[int(k)][name] = value

    def fingerprint(self, layer: int) -> dict[str, str]:
        """What must agree for the first `layer` layers of two runs to be the same bits."""
        flow = self.flow
        return {
            "x": digest(self.x),
            "y": digest(self.y),
            "carry": digest(self.carry),
            "kernel": _name(flow.kernel),
            "n_fine": str(flow.n_fine),
            "step": _name(flow.step),
            "nugget": repr(flow.nugget),
            "precision": flow.precision + (" on bf16 units" if self.mixed else ""),
            "lookahead": str(self.lookahead),
            "observe_at": " ".join(str(k) for k in self.observe_at if k <= layer),
            "generator": digest(self.rng_start),
            "device": str(self.x.device),
            "threads": str(torch.get_num_threads()),
            "versions": f"torch {torch.__version__}, python {platform.python_version()}",
            "processor": torch.backends.cpu.get_cpu_capability(),
        }


def _next_multiple(layer: int, of: int) -> int:
    return layer - layer % of + of


def _name(rule) -> str:
    """A kernel or step rule as it is written, without the address that Python gives an object."""
    if is_dataclass(rule):
        return repr(rule)
    return f"{rule.__module__}.{getattr(rule, '__qualname__', type(rule).__qualname__)}"


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
