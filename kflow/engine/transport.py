"""The hot path: move every point by one or many layers, x + K(x, z) c, a block of points at a time.

A block goes through distance, kernel and update while it is in cache; nothing of size
points x batch ever exists. Every block has the same number of rows (the last one is padded), so a
point's result does not depend, to the bit, on which others are sent with it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from kflow.engine import fused
from kflow.engine.precisions import has_bf16_tiles
from kflow.interpolation import Kernel
from kflow.kernels import Gaussian, Radial

ALIGNED = 8  # MKL sums rows of other lengths in an order that depends on where they lie in memory


class Layer(NamedTuple):
    """One layer of a flow: the batch z and c = eps (K + nugget I)^-1 g, both (m, d)."""

    z: Float[Tensor, "m d"]
    c: Float[Tensor, "m d"]


def move(
    points: Float[Tensor, "n d"],
    offsets: Float[Tensor, " n"] | None,
    layers: Iterable[Layer],
    kernel: Kernel,
    mixed: bool = False,
):
    """Move points in place by the layers, one after the other.

    offsets (n,) are added to every squared distance of a point: what it is away from the batch in
    the columns that were left out. For their bits not to depend on their company the points must be
    a multiple of `alignment` columns wide; `kflow.engine.frame` sees to it.
    """
    mover = mover_of(kernel, mixed)
    mover.move(points, offsets, [mover.prepare(layer) for layer in layers])


def alignment(dtype: torch.dtype, device: torch.device) -> int:
    """The width of points must be a multiple of this."""
    return 1 if _by_onednn(dtype, device) else ALIGNED


def block_rows(width: int, n_fine: int, device: torch.device) -> int:
    """Rows of a block: on a CPU what its caches hold, on a GPU what keeps all of it busy."""
    images = width * n_fine >= 2**16  # else points of the plane, or the like
    if device.type == "cuda":
        return 8192 if images else 65_536
    return 512 if images else 256


class Prepared(NamedTuple):
    """A layer as its arithmetic wants it; `c_t` is (d, m)."""

    z: Tensor
    bias: Tensor  # squared norms of the batch; empty where the kernel is not radial
    c_t: Tensor


class Mover:
    """x + k(x, z) c for any callable kernel; its heirs are for radial ones."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel

    def prepare(self, layer: Layer) -> Prepared:
        """The layer as this arithmetic wants it."""
        return Prepared(layer.z, layer.z.new_empty(0), layer.c.mT.contiguous())

    def __call__(self, x: Tensor, away: Tensor | None, layer: Prepared):
        """Move a block of points by one layer, in place."""
        x += self.kernel(x, layer.z).to(x) @ layer.c_t.mT  # some kernels are float64 always

    def move(self, points: Tensor, offsets: Tensor | None, layers: Sequence[Prepared]):
        """Move points in place by layers that were prepared, all of them a block at a time."""
        if not len(points) or not layers:
            return
        rows = block_rows(points.shape[1], len(layers[0].c_t.mT), points.device)
        for start in range(0, len(points), rows):
            block = points[start : start + rows]
            away = None if offsets is None else offsets[start : start + rows]
            n = len(block)
            if n < rows:
                block = F.pad(block, (0, 0, 0, rows - n))
                away = None if away is None else F.pad(away, (0, rows - n))
            for layer in layers:
                self(block, away, layer)
            if n < rows:
                points[start:] = block[:n]


class _Full(Mover):
    """Radial kernels in the dtype of the points: IEEE float32 or float64."""

    kernel: Radial

    def prepare(self, layer: Layer) -> Prepared:
        short = -len(layer.z) % ALIGNED  # a batch is filled up with points that have c = 0
        z, c = (F.pad(part, (0, 0, 0, short)) for part in layer)
        return Prepared(-2 * z, z.square().sum(1), c.mT.contiguous())

    def __call__(self, x: Tensor, away: Tensor | None, layer: Prepared):
        linear = _linear(x)
        r2 = linear(x, layer.z, layer.bias)
        r2 += _norms(x, away)
        r2.clamp_min_(0)  # what rounding made negative, far from the origin
        x += linear(self.kernel.of_own_squared(r2), layer.c_t, None)


class _Mixed(Mover):
    """Radial kernels on bf16 matrix units, with an error of about one percent of the motion.

    Plain bf16 loses the motion, because c is large and alternates. Here the distances are those of
    rounded points, exact up to float32 sums, and K c is summed from bf16 halves of K and c:
    K_h c_h + K_h c_l + K_l c_h, as one product.
    """

    kernel: Radial

    def prepare(self, layer: Layer) -> Prepared:
        z = layer.z.bfloat16()
        high = layer.c.bfloat16()
        low = (layer.c - high).bfloat16()
        c_t = torch.cat([high, low, high]).mT.contiguous()
        return Prepared(-2 * z, z.float().square().sum(1), c_t)

    def __call__(self, x: Tensor, away: Tensor | None, layer: Prepared):
        if isinstance(self.kernel, Gaussian) and fused.fuses(x):
            rounded, norms = fused.round_rows(x, away)
            products = _product_of_halves(rounded, layer.z)
            k = fused.gaussian_halves(products, layer.bias, norms, self.kernel.gamma)
            x += _sum_of_halves(k, layer.c_t)
            return
        rounded = x.bfloat16()
        r2 = _product_of_halves(rounded, layer.z)
        r2 += layer.bias
        r2 += _norms(rounded.float(), away)
        k = self.kernel.of_own_squared(r2.clamp_min_(0))
        high = k.bfloat16()
        low = (k - high).bfloat16()
        x += _sum_of_halves(torch.cat([high, high, low], dim=1), layer.c_t)


def mover_of(kernel: Kernel, mixed: bool) -> Mover:
    """How layers of this kernel are prepared and applied."""
    if not isinstance(kernel, Radial):
        return Mover(kernel)
    return (_Mixed if mixed else _Full)(kernel)


def _norms(x: Tensor, away: Tensor | None) -> Tensor:
    norms = torch.linalg.vector_norm(x, dim=1).square_()
    return (norms if away is None else norms + away).unsqueeze(1)


def _linear(x: Tensor):
    """x @ w.T + bias, for float32 on a CPU by oneDNN.

    Unlike MKL it sums every row in the same order, wherever the row lies in memory, and on an
    AVX-512 machine of another maker than MKL's it took half the time.
    """
    return _onednn_linear if _by_onednn(x.dtype, x.device) else F.linear


def _by_onednn(dtype: torch.dtype, device: torch.device) -> bool:
    return ONEDNN and dtype == torch.float32 and device.type == "cpu"


def _onednn_linear(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, w, bias, "none", [], "")


def sums_rows_alike(linear) -> bool:
    """Whether a narrow row's product has the same bits in any place; not in torch 2.8's oneDNN."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(256, 8, generator=rng, dtype=torch.float32, device="cpu")
    k, moved = (linear(rows, x, None) for rows in (x, x.roll(1, 0)))
    c, shifted = (linear(rows, x.mT.contiguous(), None) for rows in (k, k.roll(1, 0)))
    return torch.equal(k, moved.roll(-1, 0)) and torch.equal(c, shifted.roll(-1, 0))


ONEDNN = (
    torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    and sums_rows_alike(_onednn_linear)
)


def _sum_of_halves(k: Tensor, c_t: Tensor) -> Tensor:
    """k @ c_t.T for bf16 matrices; on CUDA no partial sum is ever rounded to bf16."""
    if k.device.type == "cuda":
        return torch.mm(k, c_t.mT, out_dtype=torch.float32)
    return F.linear(k, c_t)


def _product_of_halves(x: Tensor, z: Tensor) -> Tensor:
    """x @ z.T for bf16 matrices, summed and returned in float32."""
    if x.device.type == "cuda":
        return torch.mm(x, z.mT, out_dtype=torch.float32)
    x, z = x.float(), z.float()
    if not has_bf16_tiles():
        return F.linear(x, z)  # the same rounding, without the speed
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined] # it is set at run time
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"  # exact here: both factors already are bf16 numbers
    try:
        return F.linear(x, z)
    finally:
        matmul.fp32_precision = before
