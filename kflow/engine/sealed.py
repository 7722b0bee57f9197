"""Tensors and facts in one safetensors file, with a digest of them all: damage is found by it.

Nothing in such a file is ever pickled.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

State = tuple[dict[str, Tensor], dict]  # named tensors, and what JSON can hold


class Damaged(ValueError):
    """A file that is not what was once written there."""


def write(path: Path, tensors: dict[str, Tensor], facts: dict, wait: bool = True):
    """Write a file, and wait for the disk; an OSError leaves no file."""
    text = json.dumps(facts)
    try:
        save_file(tensors, path, metadata={"facts": text, "digest": seal(tensors, text)})
        if wait:
            sync(path)
    except (OSError, SafetensorError) as error:
        path.unlink(missing_ok=True)
        raise OSError(str(error)) from error


def read(path: Path) -> State:
    """What `write` wrote. Raises Damaged where it is not that, OSError where it can't be read."""
    if Path(path).is_dir():
        raise Damaged("it is a folder")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if seal(tensors, metadata["facts"]) != metadata["digest"]:
            raise Damaged("its bytes do not match its digest")
        return tensors, json.loads(metadata["facts"])
    except KeyError as error:
        raise Damaged(f"it holds no {error}") from error
    except (SafetensorError, ValueError, RuntimeError, RecursionError) as error:
        raise Damaged(str(error)) from error


def read_facts(path: Path) -> dict:
    """The facts alone, of which no digest is compared; Damaged where there are none."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {})["facts"])
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise Damaged(str(error)) from error


def seal(tensors: dict[str, Tensor], text: str) -> str:
    """SHA-256 of tensors, of their names, dtypes and shapes, and of a text."""
    sha = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(in_bytes(value.reshape(-1)).numpy().data)
    return sha.hexdigest()


def in_bytes(value: Tensor) -> Tensor:
    """The bytes of a tensor, along its last dimension, on the CPU."""
    whole = value.detach().cpu().contiguous()
    if whole.stride(-1) != 1:  # a single column is contiguous whatever its stride
        whole = whole.clone(memory_format=torch.contiguous_format)
    return whole.view(torch.uint8)


def sync(path: Path):
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):  # Windows opens no folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
