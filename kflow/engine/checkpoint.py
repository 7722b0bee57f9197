"""Checkpoints: the state of a flow in one safetensors file, replaced atomically, never pickled."""

import os
import warnings
from pathlib import Path

from filelock import FileLock, Timeout
from torch import Tensor

from kflow.engine.sealed import Damaged, State, read, seal, sync, write


class Checkpoint:
    """A checkpoint file held by one run: a context manager that locks it.

    PATH is the newest state, PATH.previous the one before, PATH.lock the lock.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.previous = Path(f"{path}.previous")
        self.writing = Path(f"{path}.writing")

    def __enter__(self) -> "Checkpoint":
        """Lock the file. Raises OSError where it cannot be written or another run holds it."""
        if self.path.is_dir():
            raise IsADirectoryError(f"the checkpoint {self.path} is a folder; name a file")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.writing.touch()
            self.writing.unlink()
            self.lock = FileLock(f"{self.path}.lock", timeout=0)
            self.lock.acquire()
        except Timeout as error:
            raise BlockingIOError(
                f"another run holds the checkpoint {self.path}; wait for it, or choose another path"
            ) from error
        except OSError as error:
            raise OSError(
                f"the checkpoint {self.path} cannot be written ({error.strerror}); "
                f"choose a path in a folder that can"
            ) from error
        return self

    def __exit__(self, *_):
        self.lock.release()

    def save(self, tensors: dict[str, Tensor], facts: dict):
        """Write a state beside the last one and rename it; the last one becomes PATH.previous.

        Raises OSError where the disk is full; the last state is then intact.
        """
        try:
            write(self.writing, tensors, facts)
        except OSError as error:
            raise self.not_written(tensors, error) from error
        self.rotate()

    def not_written(self, tensors: dict[str, Tensor], error: OSError) -> OSError:
        """The message for a checkpoint that cannot be written."""
        size = sum(t.nbytes for t in tensors.values())
        kept = "the last one is intact" if self.path.exists() else "there is none before it"
        return OSError(
            f"a checkpoint of {size / 1e6:.0f} MB could not be written to {self.path} "
            f"({error}); {kept}; free some space and run again"
        )

    def rotate(self):
        """Make what was written beside the newest state, and the newest the previous one."""
        if self.path.exists():
            os.replace(self.path, self.previous)
        os.replace(self.writing, self.path)
        sync(self.path.parent)

    def load(self) -> State | None:
        """The newest sound state, or None where there is no file yet.

        A corrupt file is named in a warning and the previous one is used; ValueError without one.
        """
        existing = self.existing()
        for path in existing:
            try:
                if not is_manifest(path):
                    return read(path)
            except (Damaged, OSError) as error:
                warnings.warn(f"the checkpoint {path} is corrupt ({error})", stacklevel=2)
            else:
                raise ValueError(
                    f"the checkpoint {path} is of points shared among ranks; go on with torchrun "
                    f"(--nproc-per-node 1 will do), or choose another path"
                )
        if existing:
            raise self.none_sound()
        return None

    def existing(self) -> list[Path]:
        """The newest file and the previous one, where they exist."""
        return [p for p in (self.path, self.previous) if p.exists()]

    def none_sound(self) -> ValueError:
        """The message for a checkpoint of which no file can be read."""
        return ValueError(
            f"no sound checkpoint at {self.path}: every file there is corrupt; delete "
            f"{' and '.join(map(str, self.existing()))} to start from the first layer"
        )


def refuse_other_run(path: Path, saved: dict[str, str], current: dict[str, str]):
    """Raise ValueError, naming what differs, where a checkpoint belongs to another run."""
    if saved.get("format") != current["format"]:
        raise ValueError(
            f"the checkpoint {path} was written by another version of kflow, which fingerprinted "
            f"runs otherwise; go on with that version, or start again at another path"
        )
    different = [name for name in current if saved.get(name) != current[name]]
    if different:
        said = "; ".join(f"{n} was {saved.get(n)}, is now {current[n]}" for n in different)
        raise ValueError(
            f"the checkpoint {path} is of another run: {said}. "
            f"Run with what it was made with, or choose another path"
        )


def digest(tensor: Tensor | None) -> str:
    """A short fingerprint of a tensor's shape, dtype and bytes."""
    return "none" if tensor is None else seal({"": tensor}, "")[:16]


def is_manifest(path: Path) -> bool:
    """Whether a file is JSON, as the manifest of several ranks' files is; OSError as `open`."""
    with open(path, "rb") as file:
        return file.read(1) == b"{"
