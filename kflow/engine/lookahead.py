"""Blocks of layers, their games played ahead of the points, on a scratch copy of their batches.

The draws do not depend on where the points are, so the batches of many layers are gathered at once
(by one exchange, where points are shared among ranks) and played before anything else moves. On a
GPU that happens beside the transport of the block before, and the processor waits once a block.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from kflow import checks, game
from kflow.engine import graphs, rounding, transport
from kflow.engine.batches import Batches, gather
from kflow.engine.frame import Cloud
from kflow.engine.rounding import Broken, Rounded
from kflow.engine.settings import Settings
from kflow.engine.shards import Shards
from kflow.engine.transport import Layer, Prepared
from kflow.kernels import Radial
from kflow.steps import Constant, MaxDisplacement, RelativeDisplacement

FREE_OF_THE_ORIGIN = (Constant, MaxDisplacement)  # rules that no column at rest changes either
NO_NUMBER = "became NaN or infinite"
OWN_STEPS = (Constant, MaxDisplacement, RelativeDisplacement)  # which no device waits for


class Block(NamedTuple):
    """Layers to move by, rho and eps of each, and the generator's state after their draws."""

    stop: int
    layers: list[Layer]
    prepared: list[Prepared]
    rho: list[float]
    eps: list[float]
    generator: Tensor


class Streams(NamedTuple):
    """Of a GPU: the one on which games are played, and the one on which all points are moved."""

    games: torch.cuda.Stream
    main: torch.cuda.Stream


def plays_ahead(device: torch.device) -> bool:
    """Whether this device can play the next block's games while it moves all points."""
    return device.type == "cuda"


class Games:
    """The games of a flow of training points, in blocks; and the transport by their layers."""

    def __init__(
        self,
        flow: Settings,
        clouds: tuple[Cloud, Cloud],
        labels: Tensor,
        rng: torch.Generator,
        shards: Shards,
        arithmetic: str,
    ):
        self.flow, self.clouds, self.labels = flow, clouds, labels
        self.training, device = clouds[0], clouds[0].points.device
        self.rng, self.shards, self.arithmetic = rng, shards, arithmetic
        self.mixed = arithmetic == "mixed"
        self.mover = transport.mover_of(flow.kernel, self.mixed)
        self.streams: Streams | None = None
        if device.type == "cuda":
            main = torch.cuda.current_stream(device)
            self.streams = Streams(torch.cuda.Stream(device, priority=-1), main)
        own = isinstance(flow.kernel, Radial) and isinstance(flow.step, OWN_STEPS)
        self.graphs: graphs.Graphs | None = None
        if own and graphs.has_graphs(device):
            self.graphs = graphs.Graphs(self._outcome, clouds, self.mover, flow.n_fine)

    def blocks(self, start: int, stops: Sequence[int]) -> Iterator[Block]:
        """The blocks from layer start to each of the stops.

        Whoever takes a block moves all points by it (`move_all`) before taking the next.
        """
        begun = None
        for k, stop in enumerate(stops):
            if begun is None:
                begun = self._play(self._gather(start, stop))
            block, begun, start = self._finish(begun, stop), None, stop
            if k + 1 < len(stops) and plays_ahead(self.training.points.device):
                begun = self._play(self._gather(stop, stops[k + 1]), pending=block.prepared)
            yield block

    def move_all(self, block: Block):
        """Move the training points and those that are carried by a block."""
        if self.graphs:
            self.graphs.move_all(block.prepared)
        else:
            for cloud in self.clouds:
                self.mover.move(cloud.points, cloud.away, block.prepared)

    def _gather(self, start: int, stop: int) -> "_Begun":
        """Draw the games of layers start to stop, and copy their points from where they are."""
        n, n_fine = self.shards.total, self.flow.n_fine
        draws = [game.draw(n, n_fine, self.rng) for _ in range(start, stop)]
        with self._beside():
            if self.streams:
                self.streams.games.wait_stream(self.streams.main)
            batches = self._batches(draws)
        if self.streams:  # what moves the points now waits until they have been copied
            self.streams.main.wait_event(self.streams.games.record_event())
        return _Begun(start, draws, batches, self.rng.get_state())

    def _beside(self):  # on a CPU nothing changes
        return torch.cuda.stream(self.streams.games if self.streams else None)

    def _batches(self, draws: list[game.Sample]) -> Batches:
        batches = gather(self.training.points, self.labels, draws, self.shards)
        return batches._replace(points=self.graphs.load(batches.points)) if self.graphs else batches

    def _play(self, begun: "_Begun", pending: Sequence[Prepared] = ()) -> "_Begun":
        """Let the device play the games, the `pending` layers first moving what was gathered."""
        batches = begun.batches
        with self._beside():
            self._move_batches(batches, pending, len(batches.points))
            for k in range(len(begun.draws)):
                found, layer, prepared = self._layer(batches, k)
                begun.layers.append(layer)
                begun.prepared.append(prepared)
                begun.numbers.append(found)
                self._move_batches(batches, [prepared], batches.needed[k])
        return begun

    def _move_batches(self, batches: Batches, layers: Sequence[Prepared], needed: int):
        """Move the first `needed` points of a block's batches, or more."""
        if not needed or not layers:
            return
        if self.graphs:
            self.graphs.move_batches(layers)
        else:
            self.mover.move(batches.points[:needed], None, layers)

    def _finish(self, begun: "_Begun", stop: int) -> Block:
        """Wait for the games.

        Raises Broken, Rounded, or NotPositiveDefinite with the rows of x, where one could not be
        played; the points must then be where they are before the block.
        """
        with self._beside():
            rho, eps, sound, lost = torch.stack(begun.numbers).cpu().T.tolist()
        if self.streams:
            self.streams.main.wait_stream(self.streams.games)
        if not all(sound) or max(lost) > rounding.MOST:
            self._explain(begun)
        return Block(stop, begun.layers, begun.prepared, rho, eps, begun.generator)

    def _explain(self, begun: "_Begun"):
        """Play the games of a block again to raise what is wrong with them."""
        batches = self._batches(begun.draws)
        for k, sample in enumerate(begun.draws):
            if not torch.isfinite(batches.points[batches.at[k]]).all():
                raise Broken(begun.start + k, f"the points {NO_NUMBER}")
            try:
                (_, _, sound, lost), _, prepared = self._layer(batches, k, strict=True)
            except checks.NotPositiveDefinite as error:
                pair = error.pair and tuple(sample.coarse_first()[list(error.pair)].tolist())
                rows = f" (rows {pair[0]} and {pair[1]} of x)" if pair else ""
                said = f"at layer {begun.start + k}: {error}{rows}"
                raise checks.NotPositiveDefinite(said, pair) from error
            if not sound:
                raise Broken(begun.start + k, f"the step {NO_NUMBER}")
            if lost > rounding.MOST:
                raise Rounded(begun.start + k, float(lost), self.arithmetic)
            self._move_batches(batches, [prepared], batches.needed[k])
        raise Broken(begun.start, f"the games of a block, which could be played again, {NO_NUMBER}")

    def _layer(self, batches: Batches, k: int, strict: bool = False):
        """What `_outcome` tells of the k-th game, and its layer, as it is and prepared."""
        z, y = batches.points[batches.at[k]], batches.labels[batches.labels_at[k]]
        if self.graphs and not strict:
            found, z, c, *prepared = self.graphs.outcome(z, y)
        else:
            found, z, c, *prepared = self._outcome(z, y, strict)
        return found, Layer(z, c), Prepared(*prepared)

    def _outcome(self, z: Tensor, y: Tensor, strict: bool = False) -> tuple[Tensor, ...]:
        """A game and the layer that moves its points down the gradient, as a row of tensors.

        First rho, eps, whether these are numbers, and the share that rounding takes of the motion.
        """
        flow = self.flow
        if self.mixed:
            z = z.bfloat16().to(z.dtype)
        wide = checks.wide(z)
        played = game.play(flow.kernel, wide, y, flow.n_fine // 2, flow.nugget, strict)
        g = -played.gradient
        eps = self._eps(wide, g)
        if not isinstance(eps, float | int | Tensor) or torch.as_tensor(eps).numel() != 1:
            raise TypeError(f"the step rule must return one number, not {eps!r}")
        eps = torch.as_tensor(eps, dtype=g.dtype, device=g.device).reshape(())
        c = eps * played.solve(g)
        sound = torch.isfinite(played.rho) & torch.isfinite(c).all()
        lost = rounding.share(c, eps * g - flow.nugget * c, self.arithmetic)
        layer = Layer(z, c.to(z))
        told = torch.stack([played.rho, eps, sound.to(g), lost])
        return told, *layer, *self.mover.prepare(layer)

    def _eps(self, z: Tensor, g: Tensor):
        if isinstance(self.flow.step, FREE_OF_THE_ORIGIN):
            return self.flow.step(z, g)
        frame = self.training.frame  # others are shown the points where the caller has them
        return self.flow.step(frame.placed(z), frame.spread(g))


@dataclass
class _Begun:
    """A block whose points were gathered; then its games are played, then it is finished."""

    start: int
    draws: list[game.Sample]
    batches: Batches
    generator: Tensor
    layers: list[Layer] = field(default_factory=list)
    prepared: list[Prepared] = field(default_factory=list)
    numbers: list[Tensor] = field(default_factory=list)
