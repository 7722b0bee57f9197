"""The flow: F_{n+1} = (Id + eps G_{n+1}) o F_n, one drawn game and one step down rho a layer."""

import contextlib
import platform
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from numbers import Number
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks, game, transport
from kflow.checkpoint import Checkpoint, digest, refuse_other_run
from kflow.cloud import Frame
from kflow.interpolation import Kernel
from kflow.kernels import Radial
from kflow.layers import store
from kflow.progress import Progress
from kflow.steps import Constant, MaxDisplacement, RelativeDisplacement
from kflow.transport import Layer

Step = Constant | MaxDisplacement | RelativeDisplacement | Callable[[Tensor, Tensor], Tensor]


class State(NamedTuple):
    """What an observer sees after `layer` layers: copies of the points, and rho, eps so far."""

    layer: int
    points: Float[Tensor, "n d"]
    carried: Float[Tensor, "m d"] | None
    rho: Float[Tensor, " layer"]
    eps: Float[Tensor, " layer"]


@dataclass(frozen=True, repr=False)
class FlowPath:
    """What a flow leaves: points F(x), carried points, rho and eps by layer, what was observed.

    rho[k] and eps[k] belong to the move from k to k + 1 layers, rho taken before it.
    """

    points: Float[Tensor, "n d"]
    carried: Float[Tensor, "m d"] | None
    rho: Float[Tensor, " layers"]
    eps: Float[Tensor, " layers"]
    observed: dict[int, dict]
    base: Kernel
    frame: Frame
    mixed: bool
    layers: Iterable[Layer] | None

    def __repr__(self):
        n, d = self.points.shape
        return f"FlowPath({n} points in {d} dimensions after {len(self.rho)} layers)"

    def transform(self, x_new: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """F of new points, by the layers that were kept.

        Raises ValueError where none were: run the same seed again with carry=x_new.
        """
        checks.matrix("x_new", x_new, columns=self.points.shape[1])
        if self.layers is None:
            raise ValueError(
                "this flow kept no layers (keep_layers=False), so it cannot move new points; run "
                "the same seed again with carry=x_new, or with keep_layers=True"
            )
        cloud = self.frame.take(x_new.detach())
        with transport.ieee():
            for layer in self.layers:
                transport.move(cloud.points, cloud.away, [layer], self.base, self.mixed)
        return cloud.full()

    def kernel(self, x: Float[Tensor, "n d"], z: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """The deep kernel K(F(x), F(z)). Raises what `transform` raises."""
        return self.base(self.transform(x), self.transform(z))


@dataclass(frozen=True)
class KernelFlow:
    """The settings of a flow.

    n_fine (even) points are drawn at each layer and half of them kept; `step` is a rule of
    `kflow.steps`; precision is that of the positions: "float64", "float32" (IEEE) or "mixed"
    (float32 positions moved by bf16 products, where the hardware has them).
    """

    kernel: Kernel
    n_fine: int
    step: Step
    nugget: float = 0.0
    precision: str = "float32"

    def __post_init__(self):
        if not callable(self.kernel):
            raise TypeError(f"kernel must be callable, as Gaussian(gamma) is, not {self.kernel!r}")
        if not callable(self.step):
            raise TypeError(f"step must be a rule such as MaxDisplacement(0.1), not {self.step!r}")
        checks.number("nugget", self.nugget, least=0)
        if self.precision not in transport.PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(transport.PRECISIONS)}, "
                f"not {self.precision!r}"
            )
        if self.precision == "mixed" and not isinstance(self.kernel, Radial):
            raise ValueError('precision "mixed" needs a radial kernel of kflow; use "float32"')

    def run(
        self,
        x: Float[Tensor, "n d"],
        y: Float[Tensor, "n c"],
        layers: int,
        rng: torch.Generator,
        *,
        carry: Float[Tensor, "m d"] | None = None,
        observe: Callable[[State], dict | None] | None = None,
        observe_at: Collection[int] = (),
        keep_layers: bool | str | Path = False,
        lookahead: int = 1,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 500,
        progress: bool = False,
    ) -> FlowPath:
        """Move a copy of x by so many layers, and carry other points along the same map.

        Each layer draws a game from rng, moves its n_fine points down the gradient of rho and all
        others by interpolating that motion: x + eps K(x, z) (K + nugget I)^-1 (-grad rho).

        observe(state) is called at the layers in observe_at (0: before any); the numbers and
        tensors that it returns are kept in path.observed[layer]. keep_layers (True, or a folder)
        keeps what new points need to follow. lookahead plays that many games before all points
        move, with the same result. With a checkpoint path the state is saved every
        checkpoint_every layers, and the same call resumes it.

        Raises ValueError or TypeError on bad arguments, NotPositiveDefinite and FloatingPointError
        with the layer at which the flow broke, OSError where a checkpoint cannot be written.
        """
        observe_at = sorted(set(observe_at))
        self._check(x, y, layers, rng, carry, observe, observe_at, lookahead, checkpoint_every)
        if layers == 0 and not observe_at:
            observe = None
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(transport.ieee())
            saved = stack.enter_context(Checkpoint(checkpoint)) if checkpoint else None
            run = _Run(self, x, y, carry, rng, layers, keep_layers)
            if saved:
                run.resume(saved, self._fingerprint(run, x, y, carry, observe_at, lookahead))
            shown = Progress(progress, run.layer, layers)
            ends = {layers, *observe_at}
            if run.layer == 0 and 0 in ends:
                run.observe(observe, observe_at)
            while run.layer < layers:
                following = min(k for k in ends if k > run.layer)
                aligned = run.layer - run.layer % lookahead + lookahead
                if saved:
                    following = min(
                        following, run.layer - run.layer % checkpoint_every + checkpoint_every
                    )
                run.advance(min(following, aligned))
                run.observe(observe, observe_at)
                if saved and (run.layer % checkpoint_every == 0 or run.layer == layers):
                    run.save(saved)
                shown(run.layer, run.rho[-1])
            return run.path()

    def _check(self, x, y, layers, rng, carry, observe, observe_at, lookahead, checkpoint_every):
        checks.points_and_labels(x, y)
        checks.integer("layers", layers, least=0)
        checks.batch_size(self.n_fine, len(x))
        checks.generator(rng)
        checks.integer("lookahead", lookahead, least=1)
        checks.integer("checkpoint_every", checkpoint_every, least=1)
        if carry is not None:
            checks.matrix("carry", carry, columns=x.shape[1])
            checks.same_place("carry", carry, "x", x)
        if observe_at and observe is None:
            raise ValueError("observe_at names layers, but observe is None; give a function")
        for k in observe_at:
            checks.integer("observe_at", k, least=0)
            if k > layers:
                raise ValueError(
                    f"observe_at names layer {k}, beyond the {layers} layers of this run; "
                    f"drop it or raise layers"
                )

    def _fingerprint(self, run, x, y, carry, observe_at, lookahead) -> dict[str, str]:
        return {
            "x": digest(x),
            "y": digest(y),
            "carry": digest(carry),
            "kernel": repr(self.kernel),
            "n_fine": str(self.n_fine),
            "step": repr(self.step),
            "nugget": repr(self.nugget),
            "precision": self.precision + (" on bf16 units" if run.mixed else ""),
            "device": str(x.device),
            "lookahead": str(lookahead),
            "observe_at": " ".join(map(str, observe_at)),
            "generator": digest(run.rng_start),
            "threads": str(torch.get_num_threads()),
            "versions": f"torch {torch.__version__}, python {platform.python_version()}",
            "processor": torch.backends.cpu.get_cpu_capability(),
        }


@dataclass
class _Run:
    """A flow on its way: the only mutable state of this module."""

    flow: KernelFlow
    x: Tensor
    y: Tensor
    carry: Tensor | None
    rng: torch.Generator
    layers: int
    keep_layers: bool | str | Path
    layer: int = 0
    rho: list[float] = field(default_factory=list)
    eps: list[float] = field(default_factory=list)
    observed: dict[int, dict] = field(default_factory=dict)

    def __post_init__(self):
        flow, x = self.flow, self.x.detach()
        dtype = torch.float64 if flow.precision == "float64" else torch.float32
        self.mixed = transport.uses_mixed(flow.precision, x.device)
        self.frame = Frame.of(x, dtype, drop_still=isinstance(flow.kernel, Radial))
        self.training = self.frame.take(x)
        self.carried = self.frame.take(x[:0] if self.carry is None else self.carry.detach())
        self.labels = checks.wide(self.y)
        self.rng_start = self.rng.get_state()
        self.kept = store(
            self.keep_layers, self.layers, flow.n_fine, self.training.points.shape[1], dtype
        )
        self.fingerprint = {}

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
            raise checks.NotPositiveDefinite(f"at layer {k}: {error}") from error
        g = -played.gradient
        eps = flow.step(wide, g)
        c = eps * torch.cholesky_solve(g, played.factor)
        self.rho.append(float(played.rho))
        self.eps.append(float(eps))
        if not torch.isfinite(c).all():
            raise FloatingPointError(self._broken(k, "the step became NaN or infinite"))
        return Layer(z, c.to(z))

    def _broken(self, layer: int, what: str) -> str:
        kept = "" if not self.fingerprint else "; the last checkpoint is kept"
        return f"at layer {layer} {what}{kept}: take smaller steps or a larger nugget"

    def observe(self, observe, observe_at):
        """Call the observer where this layer is one of those asked for."""
        if self.layer not in observe_at:
            return
        found = observe(
            State(
                self.layer,
                self.training.full(),
                None if self.carry is None else self.carried.full(),
                torch.tensor(self.rho, dtype=torch.float64),
                torch.tensor(self.eps, dtype=torch.float64),
            )
        )
        self.observed[self.layer] = _numbers_and_tensors(found, self.layer)

    def path(self) -> FlowPath:
        """The result."""
        return FlowPath(
            points=self.training.full(),
            carried=None if self.carry is None else self.carried.full(),
            rho=torch.tensor(self.rho, dtype=torch.float64),
            eps=torch.tensor(self.eps, dtype=torch.float64),
            observed=self.observed,
            base=self.flow.kernel,
            frame=self.frame,
            mixed=self.mixed,
            layers=self.kept,
        )

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
        checkpoint.save(
            tensors,
            {"layer": self.layer, "observed": numbers, "fingerprint": self.fingerprint},
        )

    def resume(self, checkpoint: Checkpoint, fingerprint: dict[str, str]):
        """Take up the state of a checkpoint of this very run, if there is one."""
        self.fingerprint = fingerprint
        state = checkpoint.load()
        if state is None:
            return
        tensors, facts = state
        refuse_other_run(checkpoint.path, facts["fingerprint"], fingerprint)
        if facts["layer"] > self.layers:
            raise ValueError(
                f"the checkpoint {checkpoint.path} already has {facts['layer']} layers, more than "
                f"the {self.layers} asked for; ask for at least as many, or choose another path"
            )
        if self.kept is not None:
            self.kept.truncate(facts["layer"])
        self.layer = facts["layer"]
        self.training.points.copy_(tensors["points"])
        self.carried.points.copy_(tensors["carried"])
        self.rho, self.eps = tensors["rho"].tolist(), tensors["eps"].tolist()
        self.rng.set_state(tensors["generator"])
        self.observed = {int(layer): dict(found) for layer, found in facts["observed"].items()}
        for key, value in tensors.items():
            if key.startswith("observed/"):
                _, layer, name = key.split("/", 2)
                self.observed[int(layer)][name] = value


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
