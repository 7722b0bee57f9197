"""The layers of a flow, kept in memory or in a folder, so that new points can follow it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from kflow.engine import memory, sealed
from kflow.engine.transport import Layer


class FolderLayers:
    """Layers in a folder, one safetensors file each, which names its run; of ranks one writes.

    Raises ValueError where the folder holds layers of another run.
    """

    def __init__(self, folder: Path, run: str, writes: bool):
        self.folder, self.run, self.writes = folder, run, writes
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("layer-*.safetensors")):
            if path.stem.removeprefix("layer-").isdecimal() and not self._owns(path):
                raise ValueError(
                    f"{path} is a layer of another run, or damaged, and would be lost; pass "
                    "another folder as keep_layers, or delete the layers in this one"
                )
        self.count = 0

    def append(self, layer: Layer):
        """Write one more layer, beside and renamed."""
        if self.writes:
            path = self._path(self.count)
            beside = path.with_suffix(".writing")
            parts = {"z": layer.z.contiguous(), "c": layer.c.contiguous()}
            try:
                sealed.write(beside, parts, {"run": self.run}, wait=False)
                os.replace(beside, path)
            except OSError as error:
                raise OSError(
                    f"layer {self.count} could not be written to {self.folder} ({error}); free "
                    "some space and run again, or pass a folder on a larger disk"
                ) from error
        self.count += 1

    def truncate(self, n: int):
        """Take the first n layers as kept; those after them are written once more."""
        missing = [k for k in range(n) if not self._path(k).exists()]
        if missing:
            raise ValueError(
                f"{self.folder} lacks layer {missing[0]} of the {n} that the checkpoint counts on; "
                f"start again without the checkpoint"
            )
        self.count = n

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Layer]:
        for k in range(self.count):
            try:
                parts, facts = sealed.read(self._path(k))
                layer = Layer(**parts)
            except (sealed.Damaged, TypeError, OSError) as error:
                raise ValueError(
                    f"the kept layer {self._path(k)} cannot be read ({error}); run the flow again"
                ) from error
            if facts != {"run": self.run}:
                raise ValueError(
                    f"the kept layer {self._path(k)} is of another run, which wrote to this folder "
                    "since; run the flow again, with a folder of its own"
                )
            yield layer

    def _owns(self, path: Path) -> bool:
        try:
            return sealed.read_facts(path) == {"run": self.run}
        except sealed.Damaged:
            return False

    def _path(self, k: int) -> Path:
        return self.folder / f"layer-{k:08d}.safetensors"


def in_folder(keep_layers) -> bool:
    """Whether `keep_layers` asks for a folder."""
    return isinstance(keep_layers, str | os.PathLike)


def store(
    keep_layers, layers: int, n_fine: int, width: int, dtype: torch.dtype, run: str, writes=True
):
    """The store that `keep_layers` asks for: None, a list in memory (True) or a folder (a path).

    `run` tells the run from others that write to the folder. Raises ValueError, with the bytes
    needed, where they would not fit.
    """
    if keep_layers is False or keep_layers is None:
        return None
    if keep_layers is not True and not in_folder(keep_layers):
        raise TypeError(f"keep_layers must be True, False or a folder, not {keep_layers!r}")
    needed = layers * 2 * n_fine * width * dtype.itemsize
    if keep_layers is True:
        _refuse_above(needed, memory.free(), layers, "memory", "pass a folder as keep_layers")
        return []
    folder = Path(keep_layers)
    existing = next(p for p in [folder, *folder.absolute().parents] if p.exists())
    free = shutil.disk_usage(existing).free
    _refuse_above(needed, free, layers, f"the disk of {folder}", "pass a folder on a larger disk")
    return FolderLayers(folder, run, writes)


def _refuse_above(needed: int, free: int | None, layers: int, where: str, cure: str):
    if free is not None and needed > free:
        raise ValueError(
            f"keep_layers needs {needed / 1e9:.1f} GB for {layers} layers, but {where} has "
            f"{free / 1e9:.1f} GB free; {cure}, or re-run the same seed with carry=x_new instead"
        )
