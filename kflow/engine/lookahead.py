"""A block of layers, its games played ahead of the points, on a scratch copy of their batches.

The draws do not depend on where the points are, so the batches of many layers are gathered at once
(by one exchange, where points are shared among ranks) and played before anything else moves. On a
GPU that happens beside the transport of the block before, and the processor waits once a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from kflow import checks, game
from kflow.engine import cuda, transport
from kflow.engine.frame import Cloud
from kflow.engine.memory import sent
from kflow.engine.shards import Shards
from kflow.engine.transport import Layer, Prepared
from kflow.kernels import Radial
from kflow.steps import Constant, MaxDisplacement, RelativeDisplacement

OWN_STEPS = (Constant, MaxDisplacement, RelativeDisplacement)  # which no device waits for


class Block(NamedTuple):
    """Layers to move by, rho and eps of each, and the generator's state after their draws."""

    layers: list[Prepared]
    rho: list[float]
    eps: list[float]
    generator: Tensor


class Broken(FloatingPointError):
    """The flow became NaN or infinite at `layer`."""

    def __init__(self, layer: int, what: str):
        super().__init__(f"at layer {layer} {what} became NaN or infinite")
        self.layer, self.what = layer, what


def plays_ahead(device: torch.device) -> bool:
    """Whether this device can play the next block's games while it moves all points."""
    return device.type == "cuda"


class Games:
    """Begins blocks of games, one after the other, drawing from rng."""

    def __init__(
        self,
        flow,
        training: Cloud,
        carried: Cloud,
        labels: Tensor,
        rng,
        shards: Shards,
        mixed: bool,
    ):
        self.flow, self.training, self.carried, self.labels = flow, training, carried, labels
        self.rng, self.shards, self.mixed = rng, shards, mixed
        self.apply = transport.arithmetic(flow.kernel, mixed)
        device = training.points.device
        on_gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream(device, priority=-1) if on_gpu else None
        self.main = torch.cuda.current_stream(device) if on_gpu else None
        own = isinstance(flow.kernel, Radial) and isinstance(flow.step, OWN_STEPS)
        self.graphs = Graphs(self) if cuda.has_graphs(device) and own else None

    def gather(self, start: int, stop: int) -> "Begun":
        """Draw the games of layers start to stop, and copy their points from where they are."""
        n, n_fine = self.shards.total, self.flow.n_fine
        draws = [game.draw(n, n_fine, self.rng) for _ in range(start, stop)]
        with torch.cuda.stream(self.stream):  # of None: nothing changes
            if self.stream:
                self.stream.wait_stream(self.main)
            batches = self._gather(draws)
            gathered = self.stream.record_event() if self.stream else None
        if self.stream:  # what moves the points now waits until they have been copied
            self.main.wait_event(gathered)
        return Begun(self, start, draws, batches, self.rng.get_state())

    def move(self, points: Tensor, moves: Sequence[Prepared], away: Tensor | None = None):
        """Move points by layers with the kernel and the arithmetic of this flow."""
        transport.move_prepared(points, away, moves, self.apply)

    def move_all(self, moves: Sequence[Prepared]):
        """Move the training points and those that are carried."""
        if self.graphs:
            for each in moves:
                self.graphs.move_all(*each[:3])
            return
        for cloud in (self.training, self.carried):
            self.move(cloud.points, moves, cloud.away)

    def move_batches(self, batches: "_Batches", moves: Sequence[Prepared], needed: int):
        """Move the first `needed` points of a block's batches, or more."""
        if self.graphs:
            for each in moves:
                self.graphs.move_batches(*each[:3])
        else:
            self.move(batches.points[:needed], moves)

    def explain(self, start: int, draws: list[game.Sample]):
        """Play the games of a block again to raise what is wrong with them."""
        batches = self._gather(draws)
        for k, sample in enumerate(draws):
            if not torch.isfinite(batches.points[batches.at[k]]).all():
                raise Broken(start + k, "the points")
            try:
                layer, (_, _, sound) = self.play(batches, k, strict=True)
            except checks.NotPositiveDefinite as error:
                pair = error.pair and tuple(sample.coarse_first()[list(error.pair)].tolist())
                rows = f" (rows {pair[0]} and {pair[1]} of x)" if pair else ""
                said = f"at layer {start + k}: {error}{rows}"
                raise checks.NotPositiveDefinite(said, pair) from error
            if not sound:
                raise Broken(start + k, "the step")
            self.move_batches(batches, [layer], batches.needed[k])
        raise Broken(start, "the games of a block, which could be played again,")

    def _gather(self, draws: list[game.Sample]) -> "_Batches":
        fine = torch.stack([sample.coarse_first() for sample in draws])
        union, at = torch.unique(fine, return_inverse=True)
        points, labels = self.shards.rows([self.training.points, self.labels], union)
        last = torch.zeros(len(union), dtype=torch.int64)
        for k, positions in enumerate(at):
            last[positions] = k
        order = last.argsort(descending=True, stable=True)  # the points needed longest come first
        at = order.argsort()[at]
        needed = [int((last > k).sum()) for k in range(len(draws))]
        here, wide = points.device, labels.device
        points = points[sent(order, here)]
        if self.graphs:
            points = self.graphs.load(points)
        return _Batches(
            points, labels[sent(order, wide)],
            sent(at, here), sent(at, wide), needed,
        )  # fmt: skip

    def play(self, batches: "_Batches", k: int, strict: bool) -> tuple[Prepared, Tensor]:
        """One game, and the layer that moves its points down the gradient; rho, eps, soundness."""
        z, y = batches.points[batches.at[k]], batches.labels[batches.labels_at[k]]
        if self.graphs and not strict:
            found, z, c, *prepared = self.graphs.outcome(z, y)
        else:
            found, z, c, *prepared = self.outcome(z, y, strict)
        return Prepared(*prepared, Layer(z, c)), found

    def outcome(self, z: Tensor, y: Tensor, strict: bool = False) -> tuple[Tensor, ...]:
        """rho, eps and soundness of the game of a batch; then z, c and the rest of the layer."""
        flow = self.flow
        if self.mixed:
            z = z.bfloat16().to(z.dtype)
        wide = checks.wide(z)
        played = game.play(flow.kernel, wide, y, flow.n_fine // 2, flow.nugget, strict)
        g = -played.gradient
        eps = torch.as_tensor(flow.step(wide, g)).to(g)
        c = eps * played.solve(g)
        sound = torch.isfinite(played.rho) & torch.isfinite(c).all()
        layer = Layer(z, c.to(z))
        return torch.stack([played.rho, eps, sound.to(g)]), *layer, *self.apply.prepare(layer)[:3]


class Graphs:
    """What a block consists of on a GPU, each launched at once: a game, and the two moves."""

    def __init__(self, games: Games):
        self.games, self.batches = games, None
        self.outcome = cuda.Graphed(games.outcome)
        self.move_all = cuda.Graphed(self._move_all)
        self.move_batches = cuda.Graphed(self._move_batches)

    def load(self, points: Tensor) -> Tensor:
        """The points in the one place where `move_batches` moves them."""
        if self.batches is None or len(self.batches) < len(points):
            rows = transport.block_rows(points.shape[1], self.games.flow.n_fine, points.device)
            self.batches = points.new_zeros(-(-len(points) // rows) * rows, points.shape[1])
            self.move_batches = cuda.Graphed(self._move_batches)
        self.batches[: len(points)] = points
        return self.batches[: len(points)]

    def _move_all(self, *prepared: Tensor):
        moves = [Prepared(*prepared, None)]
        for cloud in (self.games.training, self.games.carried):
            self.games.move(cloud.points, moves, cloud.away)

    def _move_batches(self, *prepared: Tensor):
        self.games.move(self.batches, [Prepared(*prepared, None)])


class _Batches(NamedTuple):
    """All points of a block's batches, their labels, and where each game finds its own.

    A game finds the points that it keeps before those that it hides.
    Games after the k-th need the first needed[k] of the points, and no others.
    """

    points: Tensor
    labels: Tensor
    at: Tensor
    labels_at: Tensor
    needed: list[int]


@dataclass
class Begun:
    """A block whose points were gathered; then its games are played, then they are finished."""

    games: Games
    start: int
    draws: list[game.Sample]
    batches: _Batches
    generator: Tensor
    layers: list[Prepared] = field(default_factory=list)
    numbers: list[Tensor] = field(default_factory=list)

    def play(self, pending: Sequence[Prepared] = ()) -> "Begun":
        """Let the device play the games, the `pending` layers first moving what was gathered."""
        games, points = self.games, self.batches.points
        with torch.cuda.stream(games.stream):
            if pending:
                games.move_batches(self.batches, pending, len(points))
            for k in range(len(self.draws)):
                layer, found = games.play(self.batches, k, strict=False)
                self.layers.append(layer)
                self.numbers.append(found)
                if self.batches.needed[k]:
                    games.move_batches(self.batches, [layer], self.batches.needed[k])
        return self

    def finish(self) -> Block:
        """Wait for the games.

        Raises Broken, or NotPositiveDefinite with the rows of x, where one could not be played;
        the points must then be where they are before layer `start`.
        """
        stream = self.games.stream
        with torch.cuda.stream(stream):
            rho, eps, sound = torch.stack(self.numbers).cpu().T.tolist()
        if stream:
            self.games.main.wait_stream(stream)
        if not all(sound):
            self.games.explain(self.start, self.draws)
        return Block(self.layers, rho, eps, self.generator)
