"""The flow: F_{n+1} = (Id + eps G_{n+1}) o F_n, one drawn game and one step down rho a layer."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from kflow import checks
from kflow.engine import (
    Frame,
    Group,
    Layer,
    Run,
    Shards,
    State,
    Task,
    memory,
    precisions,
    transport,
)
from kflow.engine.observation import numbers_of_layers
from kflow.interpolation import Kernel
from kflow.kernels import Radial
from kflow.steps import Constant, MaxDisplacement, RelativeDisplacement

Step = Constant | MaxDisplacement | RelativeDisplacement | Callable[[Tensor, Tensor], Tensor]


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
    map: "LearnedMap"

    def __repr__(self):
        n, d = self.points.shape
        return f"FlowPath({n} points in {d} dimensions after {len(self.rho)} layers)"

    @property
    def layers(self) -> Iterable[Layer] | None:
        """The layers that were kept: batches as seen from the frame's centre, and coefficients."""
        return self.map.layers

    @property
    def mixed(self) -> bool:
        """Whether the points were moved by bf16 products."""
        return self.map.mixed

    def transform(self, x_new: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """F of new points, by the layers that were kept.

        Raises ValueError where none were: run the same seed again with carry=x_new.
        """
        checks.matrix("x_new", x_new, columns=self.points.shape[1])
        checks.same_place("x_new", x_new, "path.points", self.points)
        if self.layers is None:
            raise ValueError(
                "this flow kept no layers (keep_layers=False), so it cannot move new points; run "
                "the same seed again with carry=x_new, or with keep_layers=True (with a "
                "checkpoint: a folder)"
            )
        return self.map(x_new)

    def kernel(self, x: Float[Tensor, "n d"], z: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
        """The deep kernel K(F(x), F(z)). Raises what `transform` raises."""
        return self.map.kernel(self.transform(x), self.transform(z))


@dataclass(frozen=True)
class LearnedMap:
    """F as it was carried out: the kernel, the frame, the arithmetic, and the layers if kept."""

    kernel: Kernel
    frame: Frame
    mixed: bool
    layers: Iterable[Layer] | None

    def __call__(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        """F(x), by the layers; FloatingPointError where a point does not stay finite."""
        cloud = self.frame.take(x.detach())
        with precisions.ieee():
            for kept in self.layers or ():  # a folder gives them back on the CPU
                layer = Layer(*(part.to(cloud.points) for part in kept))
                transport.move(cloud.points, cloud.away, [layer], self.kernel, self.mixed)
        lost = ~torch.isfinite(cloud.points).all(dim=1)
        if lost.any():
            raise FloatingPointError(
                f"row {int(lost.nonzero()[0])} became NaN or infinite on its way through the "
                "layers: is the kernel finite there?"
            )
        return cloud.full()


@dataclass(frozen=True)
class KernelFlow:
    """The settings of a flow.

    n_fine (even) points are drawn at each layer and half of them kept; `step` is a rule of
    `kflow.steps`; precision is that of the positions: "float64", "float32" (IEEE) or "mixed"
    (float32 positions moved by bf16 products, where the hardware has them). The narrower ones need
    a nugget, the larger the wider the kernel is; a layer that they would round away is refused.
    """

    kernel: Kernel
    n_fine: int
    step: Step
    nugget: float = 0.0
    precision: str = "float32"

    def __post_init__(self):
        checks.kernel("kernel", self.kernel)
        if not callable(self.step) or isinstance(self.step, type):
            raise TypeError(f"step must be a rule such as MaxDisplacement(0.1), not {self.step!r}")
        object.__setattr__(self, "n_fine", checks.even("n_fine", self.n_fine))
        object.__setattr__(self, "nugget", checks.number("nugget", self.nugget, least=0))
        checks.choice("precision", self.precision, precisions.PRECISIONS)
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
        checkpoint_every: int | None = None,
        progress: bool = False,
        group: Group | None = None,
    ) -> FlowPath:
        """Move a copy of x by so many layers, and carry other points along the same map.

        Each layer draws a game from rng, moves its n_fine points down the gradient of rho and all
        others by interpolating that motion: x + eps K(x, z) (K + nugget I)^-1 (-grad rho).

        observe(state) is called at the layers in observe_at (0: before any); the numbers and
        tensors that it returns are kept in path.observed[layer], and {"stop": True} among them ends
        the run there. keep_layers (True, or a folder of
        its own; a folder where there is a checkpoint) keeps what new points need to follow.
        lookahead plays that many games before all points move, with the same result. With a
        checkpoint path the state is saved every checkpoint_every layers, or about once a minute,
        and the same call resumes it (a kernel or a rule of your own is known by what it holds, and
        a function by its code and the variables that it reads; the code of a class is not
        compared); Ctrl-C and SIGTERM then end the block of layers, save, and stop.

        With a torch.distributed group the ranks share the points: each calls this with its own
        rows of x, y and carry (`kflow.shards`), and with everything else alike; observe sees the
        rank's own points, and what rank 0 returns is saved. Checkpoints can be taken up by any
        number of ranks.

        Raises ValueError or TypeError on bad arguments, NotPositiveDefinite and FloatingPointError
        with the layer at which the flow broke, OSError where a checkpoint cannot be written.
        """
        observed = tuple(sorted(set(numbers_of_layers("observe_at", observe_at))))
        task = Task(
            self, x, y, layers, rng, carry, observe, observed, keep_layers,
            lookahead, checkpoint, checkpoint_every, progress, group,
        )  # fmt: skip
        task = Shards.of(0, group).together(task.checked)
        needed = memory.of_flow(
            len(x) + len(task.carried), x.shape[1], self.n_fine, task.lookahead,
            8 if self.precision == "float64" else 4,
        )  # fmt: skip
        run = None

        def reached() -> str:
            return (
                "before layer 0"
                if run is None
                else f"at layer {run.state.layer}{run.state.kept_text()}"
            )

        with torch.no_grad(), precisions.ieee(), memory.explained(needed, x.device, reached):
            run = Run(task)
            run.go()
            state = run.state
            return FlowPath(
                points=state.training.full(),
                carried=None if carry is None else state.carried.full(),
                rho=torch.tensor(state.rho, dtype=torch.float64, device="cpu"),
                eps=torch.tensor(state.eps, dtype=torch.float64, device="cpu"),
                observed=state.observed,
                map=LearnedMap(self.kernel, run.frame, run.mixed, run.kept),
            )
