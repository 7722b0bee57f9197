"""What a CUDA GPU does in fewer launches: two fused kernels, and a whole game as one graph.

A launch from Python takes longer than most of the kernels launched; without these a layer of 70000
points takes two to three times as long. Triton comes with torch for CUDA; without it, nothing here
is used but the graph.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # torch for a CPU comes without
    triton = None

AT_ONCE = 1024  # of a row that one program handles at once


def fuses(x: Tensor) -> bool:
    """Whether the fused kernels can be used where x is."""
    return triton is not None and x.is_cuda


def has_graphs(device: torch.device) -> bool:
    """Whether work on this device can be submitted as a graph."""
    return device.type == "cuda"


class Graphed:
    """A function of tensors whose shapes never change, submitted to the GPU as one graph.

    It is tried with zeros before it is captured: whatever it changes in place must not change by
    them. It must not wait for the device.
    """

    def __init__(self, function: Callable[..., Sequence[Tensor] | None]):
        self.function, self.graph = function, None

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """What the function returns, in tensors of its own."""
        if self.graph is None:
            self._capture(inputs)
        for static, given in zip(self.inputs, inputs, strict=True):
            static.copy_(given)
        self.graph.replay()
        return [output.clone() for output in self.outputs or ()]

    def _capture(self, inputs):
        self.inputs = [torch.zeros_like(given) for given in inputs]
        beside, here = torch.cuda.Stream(), torch.cuda.current_stream()
        beside.wait_stream(here)
        with torch.cuda.stream(beside):  # what the libraries set up at a first call is not captured
            for _ in range(2):
                self.function(*self.inputs)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=beside):
            self.outputs = self.function(*self.inputs)


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
