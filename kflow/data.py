"""The data of the book: the Swiss Roll Cheesecake, MNIST and Fashion-MNIST.

Balanced subsets of the two image sets (6000 training and 2000 test images each) travel inside the
package, so that everything runs offline; `full=True` finds or downloads the 60000 + 10000 images.
"""

import gzip
import hashlib
import lzma
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import torch
from torch import Tensor

from kflow import _data, checks

__all__ = ["Digits", "fashion_mnist", "mnist", "swiss_roll"]
EMBEDDED = Path(_data.__file__).parent
DEBIAN = Path("/usr/share/datasets")
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
LARGEST = 16 + 60_000 * 28 * 28  # bytes of the largest of them
TORCHVISION = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}
CREDITS = {  # what must be said where an image of a set is shown: whose it is, and its licence
    "mnist": (
        "MNIST, Y. LeCun, C. Cortes and C. J. C. Burges",
        "CC BY-SA 3.0",
        "https://creativecommons.org/licenses/by-sa/3.0/",
    ),
    "fashion-mnist": (
        "Fashion-MNIST, H. Xiao, K. Rasul and R. Vollgraf, Zalando SE",
        "MIT",
        "https://spdx.org/licenses/MIT.html",
    ),
}
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
}


class Digits(NamedTuple):
    """Images in [0, 1], float32 (n, 784), and their classes, one-hot 0/1, float32 (n, 10)."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


def swiss_roll(n: int = 250, *, rng: torch.Generator, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    """Two interleaved spiral arms, the Swiss Roll Cheesecake: x (n, 2) and y (n, 1), +1 or -1.

    Each arm makes about 1.3 turns and ends at radius 2; the first ceil(n / 2) points lie on
    the arm of +1. The angles are one uniform draw in each of equally long pieces of the arm;
    `noise` is the standard deviation of a Gaussian displacement of every point. float64.
    """
    checks.integer("n", n, least=2, most=10**9)
    checks.generator(rng)
    noise = checks.number("noise", noise, least=0)
    arms = []
    for sign, points in ((1.0, (n + 1) // 2), (-1.0, n // 2)):
        uniform = torch.rand(points, generator=rng, dtype=torch.float64, device="cpu")
        place = (torch.arange(points, dtype=torch.float64, device="cpu") + uniform) / points
        turn = (0.02 + 0.98 * place).sqrt()  # of an even density along the arm
        angle = 3 * math.pi * turn
        arms.append(2 * sign * turn[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1))
    x = torch.cat(arms)
    x = x + noise * torch.randn(x.shape, generator=rng, dtype=x.dtype, device="cpu")
    y = torch.ones(n, 1, dtype=x.dtype, device="cpu")
    y[(n + 1) // 2 :] = -1
    return x, y


def mnist(full: bool = False) -> Digits:
    """Handwritten digits: 6000 + 2000 embedded images, or all 60000 + 10000 of them.

    Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits (CC BY-SA 3.0).
    With `full` the files are looked for in the folder `KFLOW_DATA`/mnist, then downloaded.
    Raises FileNotFoundError where there are none, and ValueError naming a file that is corrupt.
    """
    return _digits("mnist", full)


def fashion_mnist(full: bool = False) -> Digits:
    """Fashion-MNIST, images of clothes: 6000 + 2000 embedded ones, or all 60000 + 10000.

    H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747 (Zalando, MIT). With `full` the files are
    looked for in `KFLOW_DATA`/fashion-mnist, then where the Debian package dataset-fashion-mnist
    puts them, then downloaded. Raises as `mnist` does.
    """
    return _digits("fashion-mnist", full)


def _digits(name: str, full: bool) -> Digits:
    if not isinstance(full, bool):
        raise TypeError(f"full must be True or False, not {full!r}")
    content = [
        read_checked(
            locate(name, file) if full else EMBEDDED / name / f"{file}.xz",
            f"{'full' if full else 'embedded'}/{name}/{file}",
        )
        for file in FILES
    ]
    x, labels, x_test, labels_test = map(parse_idx, content)
    return Digits(_pixels(x), _one_hot(labels), _pixels(x_test), _one_hot(labels_test))


def read_checked(path: Path, key: str) -> bytes:
    """Return the decompressed bytes of `path`, whose SHA-256 is the one recorded for `key`.

    The recompression does not matter; ValueError names the file if anything else differs.
    """
    openers: dict[str, Callable] = {".xz": lzma.open, ".gz": gzip.open, "": open}
    try:
        with openers[path.suffix](path, "rb") as file:
            content = file.read(LARGEST + 1)  # a file made to unpack to far more is not unpacked
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path} is corrupt ({error}): remove it and fetch it again") from error
    found, expected = hashlib.sha256(content).hexdigest(), checksums()[key]
    if found != expected:
        raise ValueError(
            f"{path} is corrupt: its decompressed bytes have SHA-256 {found}, "
            f"not {expected}; remove it and fetch it again"
        )
    return content


def checksums() -> dict[str, str]:
    """SHA-256 of the decompressed files, by "full/..." or "embedded/...", as `sha256sum` lists."""
    lines = (EMBEDDED / "SHA256SUMS").read_text().splitlines()
    return {key: digest for digest, key in (line.split() for line in lines)}


def parse_idx(content: bytes) -> Tensor:
    """Read the array of unsigned bytes that an IDX file holds; ValueError where it holds none."""
    dimensions = content[3] if len(content) > 3 else 0
    header = 4 + 4 * dimensions
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4)]
    if content[:3] != b"\0\0\x08" or not dimensions or math.prod(shape) != len(content) - header:
        raise ValueError(
            f"this is no IDX file of unsigned bytes: it begins with {content[:4].hex()} and "
            f"promises {shape}, but {len(content) - header} bytes follow"
        )
    if len(content) == header:
        return torch.empty(shape, dtype=torch.uint8, device="cpu")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=header).reshape(shape)


def _pixels(images: Tensor) -> Tensor:
    return images.flatten(1).to(torch.float32) / 255


def _one_hot(labels: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(labels.long(), 10).to(torch.float32)


def locate(name: str, file: str) -> Path:
    """Find the full file in KFLOW_DATA, in Debian's folder, or download it; packed or not.

    In KFLOW_DATA it may be where torchvision puts it, in MNIST/raw or FashionMNIST/raw.
    """
    folders = [Path(os.environ["KFLOW_DATA"])] if os.environ.get("KFLOW_DATA") else []
    for folder in (*folders, DEBIAN):
        for place in (name, TORCHVISION[name]):
            for path in (folder / place / f"{file}.gz", folder / place / file):
                if path.exists():
                    return path
    try:
        return _download(name, f"{file}.gz")
    except (ImportError, OSError) as error:
        cures = [
            f"set KFLOW_DATA to a folder with four IDX files in {name}/ or {TORCHVISION[name]}/",
            "install pooch and connect to the internet: the files are downloaded once",
            "use the embedded images, full=False",
        ]
        if name == "fashion-mnist":
            cures[2] = "install the Debian package dataset-fashion-mnist"
        listed = "; ".join(f"({i}) {cure}" for i, cure in enumerate(cures, 1))
        raise FileNotFoundError(
            f"no {name}/{file}.gz ({error}). Three things to try: {listed}"
        ) from error


def _download(name: str, file: str) -> Path:
    """Fetch one file from the first mirror that answers, into pooch's cache folder."""
    with checks.extra("notebooks"):
        import pooch

    pooch.get_logger().setLevel("WARNING")
    folder = pooch.os_cache("kflow") / name
    errors = []
    for mirror in MIRRORS[name]:
        try:
            return Path(pooch.retrieve(mirror + file, known_hash=None, fname=file, path=folder))
        except OSError as error:  # the next mirror may answer
            errors.append(f"{urlsplit(mirror).hostname}: {type(error).__name__}")
    raise OSError(f"no mirror answered, {'; '.join(errors)}")
