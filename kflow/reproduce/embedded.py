"""Draw the embedded images from the full sets: `python -m kflow.reproduce.embedded`.

600 training images of each class from the official training set and 200 test images of each
class from the official test set, uniformly with the seed below, kept in their official order.
They are written as IDX files compressed by xz, with their checksums.
"""

import hashlib
import lzma

import torch
from torch import Tensor

from kflow import data

SEED = 20181808
PER_CLASS = {"train": 600, "t10k": 200}


def choose(labels: Tensor, per_class: int, rng: torch.Generator) -> Tensor:
    """Draw the positions of `per_class` images of each class, in increasing order."""
    chosen = []
    for label in range(10):
        members = (labels == label).nonzero()[:, 0]
        chosen.append(members[torch.randperm(len(members), generator=rng)[:per_class]])
    return torch.cat(chosen).sort().values


def idx(array: Tensor) -> bytes:
    """Return the IDX file of an array of unsigned bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.numpy().tobytes()


def subset(name: str) -> dict[str, bytes]:
    """Draw the four files of one subset, by name, uncompressed."""
    rng = torch.Generator().manual_seed(SEED)
    files: dict[str, bytes] = {}
    for part, per_class in PER_CLASS.items():
        images, labels = (file for file in data.FILES if file.startswith(part))
        pair = {
            file: data.parse_idx(data.read_checked(data.locate(name, file), f"full/{name}/{file}"))
            for file in (images, labels)
        }
        positions = choose(pair[labels], per_class, rng)
        files |= {file: idx(array[positions]) for file, array in pair.items()}
    return files


def main() -> None:
    """Write the embedded files and their checksums into the package."""
    sums = {key: digest for key, digest in data.checksums().items() if key.startswith("full/")}
    for name in data.MIRRORS:
        for file, content in subset(name).items():
            packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
            (data.EMBEDDED / name / f"{file}.xz").write_bytes(packed)
            sums[f"embedded/{name}/{file}"] = hashlib.sha256(content).hexdigest()
    lines = [f"{digest}  {key}\n" for key, digest in sorted(sums.items())]
    (data.EMBEDDED / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    main()
