"""The pointwise part of the transport on a CUDA GPU: two kernels of Triton, which torch comes with.

Without them twelve kernels of torch read and write what these read and write once.
"""

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # torch for a CPU comes without
    triton = None

AT_ONCE = 1024  # columns of a row that one program handles at once


def fuses(x: Tensor) -> bool:
    """Whether the fused kernels can be used where x is."""
    return triton is not None and x.is_cuda


if triton is not None:

    @triton.jit
    def _round(
        x, away, rounded, norms, WIDTH: tl.constexpr, AWAY: tl.constexpr, BLOCK: tl.constexpr
    ):
        row = tl.program_id(0).to(tl.int64)
        squares = tl.zeros((BLOCK,), tl.float32)
        for start in range(0, WIDTH, BLOCK):
            at = start + tl.arange(0, BLOCK)
            there = at < WIDTH
            value = tl.load(x + row * WIDTH + at, mask=there, other=0.0).to(tl.bfloat16)
            tl.store(rounded + row * WIDTH + at, value, mask=there)
            wide = value.to(tl.float32)
            squares += wide * wide
        norm = tl.sum(squares, 0)
        if AWAY:
            norm += tl.load(away + row)
        tl.store(norms + row, norm)

    @triton.jit
    def _halves(r2, bias, norms, out, scale, COLUMNS: tl.constexpr, BLOCK: tl.constexpr):
        row = tl.program_id(0).to(tl.int64)
        norm = tl.load(norms + row)
        to = out + row * 3 * COLUMNS
        for start in range(0, COLUMNS, BLOCK):
            at = start + tl.arange(0, BLOCK)
            there = at < COLUMNS
            value = tl.load(r2 + row * COLUMNS + at, mask=there, other=0.0)
            value += tl.load(bias + at, mask=there, other=0.0) + norm
            k = tl.exp(tl.maximum(value, 0.0) * scale)
            high = k.to(tl.bfloat16)
            low = (k - high.to(tl.float32)).to(tl.bfloat16)
            tl.store(to + at, high, mask=there)
            tl.store(to + COLUMNS + at, high, mask=there)
            tl.store(to + 2 * COLUMNS + at, low, mask=there)


def round_rows(x: Tensor, away: Tensor | None) -> tuple[Tensor, Tensor]:
    """x in bf16, and the squared norms (n,) of its rounded rows, `away` added."""
    x = x.contiguous()
    rounded, norms = torch.empty_like(x, dtype=torch.bfloat16), x.new_empty(len(x))
    width = x.shape[1]
    block = min(AT_ONCE, triton.next_power_of_2(width))
    unused = norms if away is None else away
    _round[(len(x),)](x, unused, rounded, norms, WIDTH=width, AWAY=away is not None, BLOCK=block)
    return rounded, norms


def gaussian_halves(products: Tensor, bias: Tensor, norms: Tensor, gamma: float) -> Tensor:
    """[K_h, K_h, K_l] (n, 3m): bf16 halves of exp(-(products + bias + norms) / gamma^2)."""
    n, m = products.shape
    out = products.new_empty(n, 3 * m, dtype=torch.bfloat16)
    block = min(AT_ONCE, triton.next_power_of_2(m))
    _halves[(n,)](products, bias, norms, out, -1 / gamma**2, COLUMNS=m, BLOCK=block)
    return out
