"""What a checkpoint holds of a run, and which run may take it up."""

import contextlib
from functools import cached_property

import torch
from torch import Tensor

from kflow import checks
from kflow.engine import fingerprint
from kflow.engine.checkpoint import refuse_other_run
from kflow.engine.contents import digest_of
from kflow.engine.rounding import Broken
from kflow.engine.sealed import Damaged
from kflow.engine.shards import Shards


class Identity:
    """What must agree for two runs to be the same bits.

    Among ranks it refuses settings that differ, and ranks given none or the same of the points.
    """

    def __init__(self, task, mixed: bool, shards: Shards, carried_shards: Shards):
        self.task, self.shards, self.carried_shards = task, shards, carried_shards
        self.settings = fingerprint.of_settings(
            task.flow, mixed, task.rng.get_state(), task.lookahead, task.x.device
        )
        if task.group is not None:
            shape = {
                "layers": str(task.layers),
                "observe_at": str(task.observe_at),
                "keep_layers": str(task.keep_layers),
                "columns": f"{task.x.shape[1]} of {task.x.dtype}, "
                f"{task.y.shape[1]} of {task.y.dtype}",
            }
            shards.agree(self.settings | shape)
            fingerprint.refuse_no_or_the_same_rows(task.x, shards)

    @cached_property
    def data(self) -> dict[str, str]:
        """Fingerprints of the points and labels, of all ranks."""
        task = self.task
        return {
            "x": fingerprint.of_rows(task.x, self.shards),
            "y": fingerprint.of_rows(task.y, self.shards),
            "carry": fingerprint.of_rows(task.carried, self.carried_shards),
        }

    def until(self, layer: int) -> dict[str, str]:
        """What must agree for the first `layer` layers."""
        seen = " ".join(str(k) for k in self.task.observe_at if k <= layer)
        return self.data | self.settings | {"observe_at": seen}

    def of_layers(self) -> str:
        """A digest of all that the layers depend on, for the folder that keeps them.

        All ranks call it.
        """
        data = {name: self.data[name] for name in ("x", "y")}
        return digest_of(data | self.settings)


def refuse_broken(state, shards: Shards):
    """Raise Broken where a point, moved or carried, of any rank is no longer finite."""
    clouds = (state.training.points, state.carried.points)
    ends = [points.new_zeros(2) for points in clouds]  # a copy of the points would cost memory
    ends += [torch.stack(points.aminmax()) for points in clouds if points.numel()]
    broken = torch.isfinite(torch.cat(ends)).all().logical_not()
    if shards.any(broken[None])[0]:
        raise Broken(state.layer, "the points became NaN or infinite")


def save(checkpoint, identity: Identity, state, shards: Shards):
    """Write the state; one that holds NaN is refused."""
    refuse_broken(state, shards)
    tensors = {
        "points": state.training.points,
        "carried": state.carried.points,
        "rho": torch.tensor(state.rho, dtype=torch.float64, device="cpu"),
        "eps": torch.tensor(state.eps, dtype=torch.float64, device="cpu"),
        "generator": state.generator,
    }
    numbers = {}
    for layer, found in state.observed.items():
        numbers[layer] = {k: v for k, v in found.items() if not isinstance(v, Tensor)}
        for name, value in found.items():
            if isinstance(value, Tensor):
                tensors[f"observed/{layer}/{name}"] = value.contiguous()
    facts = {"layer": state.layer, "observed": numbers}
    checkpoint.save(tensors, facts | {"fingerprint": identity.until(state.layer)})
    state.saved_at = state.layer


def resume(checkpoint, identity: Identity, state, kept):
    """Take up the state of a checkpoint of this very run, if there is one."""
    found = checkpoint.load()
    if found is None:
        return
    tensors, facts = found
    with _explained(checkpoint.path):
        layer, observed, made_with = (facts[k] for k in ("layer", "observed", "fingerprint"))
        checks.integer("its layer", layer, least=0)
        observed = {int(k): dict(seen) for k, seen in observed.items()}
        made_with = dict(made_with)
    if layer > identity.task.layers:
        raise ValueError(
            f"the checkpoint {checkpoint.path} already has {layer} layers, more than the "
            f"{identity.task.layers} asked for; ask for at least as many, or choose another path"
        )
    refuse_other_run(checkpoint.path, made_with, identity.until(layer))
    with _explained(checkpoint.path):
        for name, where in (("points", state.training), ("carried", state.carried)):
            _checked(name, tensors[name], where.points.shape, where.points.dtype)
        for name in ("rho", "eps"):
            _checked(name, tensors[name], (layer,), torch.float64)
        torch.Generator().set_state(tensors["generator"])
        for key, value in tensors.items():
            if key.startswith("observed/"):
                _, k, name = key.split("/", 2)
                observed[int(k)][name] = value
    if kept is not None:
        kept.truncate(layer)
    state.layer = state.saved_at = layer
    state.training.points.copy_(tensors["points"])
    state.carried.points.copy_(tensors["carried"])
    state.rho, state.eps = tensors["rho"].tolist(), tensors["eps"].tolist()
    state.generator, state.observed = tensors["generator"], observed


@contextlib.contextmanager
def _explained(path):
    """Turn what does not fit in a checkpoint into an error that names it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise Damaged(
            f"the checkpoint {path} does not hold the state of a flow ({error}); delete it to "
            "start from the first layer"
        ) from error


def _checked(name: str, value: Tensor, shape, dtype: torch.dtype):
    if value.shape != shape or value.dtype != dtype or not torch.isfinite(value).all():
        raise ValueError(
            f"its {name} are {tuple(value.shape)} of {value.dtype}, or not finite, instead of "
            f"{tuple(shape)} of {dtype}"
        )
