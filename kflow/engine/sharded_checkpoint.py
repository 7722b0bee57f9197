"""Checkpoints of points that ranks share: a safetensors file of each rank, and a manifest.

PATH is the manifest, in JSON: which files there are, and which rows each holds. Any number of
ranks can take it up, and a checkpoint that one process wrote as well. All ranks see one disk.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from kflow.engine.checkpoint import Checkpoint, is_manifest
from kflow.engine.sealed import Damaged, State, read, write
from kflow.engine.shards import RankLost, Shards


class ShardedCheckpoint:
    """`Checkpoint`, for tensors of which some are this rank's rows; rank 0 writes the others.

    `shared` says how the rows of those tensors are shared, by their names.
    """

    def __init__(self, path: str | os.PathLike, shared: dict[str, Shards]):
        self.manifest, self.shared = Checkpoint(path), shared
        self.path = self.manifest.path
        self.ranks = next(iter(shared.values()))

    def __enter__(self) -> "ShardedCheckpoint":
        self.ranks.together(lambda: self._is_first() and self.manifest.__enter__())
        return self

    def __exit__(self, *_):
        if self._is_first():
            self.manifest.__exit__()

    def save(self, tensors: dict[str, Tensor], facts: dict):
        """Write each rank's file, then the manifest; a failure leaves the last state intact."""
        names = [
            f"{self.path.name}.layer{facts['layer']}.rank{rank}of{self.ranks.world}"
            for rank in range(self.ranks.world)
        ]
        own = {name: t for name, t in tensors.items() if name in self.shared or self._is_first()}
        path = self.path.parent / names[self.ranks.rank]
        try:
            self.ranks.together(lambda: self._write(path, own))
            self.ranks.together(lambda: self._is_first() and self._point_to(names, facts))
        except RankLost:
            raise
        except (OSError, RuntimeError):
            path.unlink(missing_ok=True)
            raise

    def load(self) -> State | None:
        """The newest sound state with this rank's rows, or None where there is no file yet.

        A corrupt one is named in a warning and the previous one is used; ValueError without one.
        """
        existing = self.manifest.existing()
        for path in existing:
            try:
                return self.ranks.together(partial(self._read, path))
            except RankLost:
                raise
            except (OSError, ValueError, RuntimeError) as error:
                warnings.warn(f"the checkpoint {path} is corrupt ({error})", stacklevel=2)
        if existing:
            raise self.manifest.none_sound()
        return None

    def _is_first(self) -> bool:
        return self.ranks.rank == 0

    def _write(self, path: Path, own: dict[str, Tensor]):
        beside = path.with_name(f"{path.name}.writing")
        try:
            write(beside, own, {})
        except OSError as error:
            raise self.manifest.not_written(own, error) from error
        os.replace(beside, path)

    def _point_to(self, names: list[str], facts: dict):
        rows = {name: shards.first for name, shards in self.shared.items()}
        text = json.dumps({"facts": facts, "files": names, "rows": rows})
        sealed = {"text": text, "digest": hashlib.sha256(text.encode()).hexdigest()}
        self.manifest.writing.write_text(json.dumps(sealed))
        self.manifest.rotate()
        kept = {name for path in self.manifest.existing() for name in _files_of(path)}
        for path in self.path.parent.glob(f"{self.path.name}.layer*.rank*of*"):
            if path.name not in kept:
                path.unlink()

    def _read(self, path: Path) -> State:
        try:
            if is_manifest(path):
                return self._read_files(_unsealed(path))
            tensors, facts = read(path)
            rows = {name: (0, len(tensors[name])) for name in self.shared}
            return tensors | self._cut(rows, [tensors]), facts
        except (KeyError, RuntimeError) as error:  # files that do not fit to each other
            raise Damaged(f"its files do not fit, {error!r}") from error

    def _read_files(self, manifest: dict) -> State:
        rows, files = manifest["rows"], []
        for k, name in enumerate(manifest["files"]):
            wanted = k == 0 or any(self._overlap(n, rows[n], k) for n in self.shared)
            files.append(read(self.path.parent / name)[0] if wanted else {})
        return files[0] | self._cut(rows, files), manifest["facts"]

    def _cut(
        self, rows: Mapping[str, Sequence[int]], files: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """This rank's rows of the shared tensors, from files that hold rows[name][k] and on."""
        cut = {}
        for name, shards in self.shared.items():
            parts = [files[0][name][:0]]
            for k, file in enumerate(files):
                if self._overlap(name, rows[name], k):
                    first = rows[name][k]
                    parts.append(file[name][max(shards.start - first, 0) : shards.stop - first])
            cut[name] = torch.cat(parts)
        return cut

    def _overlap(self, name: str, first: Sequence[int], k: int) -> bool:
        shards = self.shared[name]
        return first[k] < shards.stop and first[k + 1] > shards.start


def _unsealed(path: Path) -> dict:
    """What a manifest says; Damaged where it is none, or names what is not beside it."""
    try:
        sealed = json.loads(path.read_text())
        if hashlib.sha256(sealed["text"].encode()).hexdigest() != sealed["digest"]:
            raise Damaged("its text does not match its digest")
        manifest = json.loads(sealed["text"])
        files, rows, facts = (manifest[name] for name in ("files", "rows", "facts"))
        sound = files and all(name == Path(name).name for name in files) and isinstance(facts, dict)
        for first in rows.values():
            sound = sound and len(first) == len(files) + 1 and first == sorted(map(int, first))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"it is no manifest, {error}") from error
    if not sound:
        raise Damaged("it names files that are not beside it, or rows that they do not hold")
    return manifest


def _files_of(path: Path) -> list[str]:
    try:
        return _unsealed(path)["files"] if is_manifest(path) else []
    except Damaged:
        return []
