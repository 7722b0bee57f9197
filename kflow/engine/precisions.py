"""The precisions of a flow's positions, and what this machine has for them."""

import contextlib
import threading
import warnings

import torch

PRECISIONS = ("float64", "float32", "mixed")
SUMS_BF16_WIDELY = hasattr(torch.ops.aten.mm, "dtype")  # bf16 products, float32 sums; on CUDA
_lock = threading.Lock()
_inside: list[str] = []  # what those who are in `ieee` found, in the order in which they came


def check_there(precision: str, where: torch.device):
    """Refuse float64 on a device that has none."""
    if precision == "float64" and where.type == "mps":
        raise ValueError(
            'precision "float64" is not to be had on mps, which has no float64: take "float32", '
            "or bring the points to the CPU, x.cpu()"
        )


def has_bf16_tiles() -> bool:
    """Whether this CPU multiplies bf16 matrices in tiles (Intel AMX) and torch (2.9) can ask it."""
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    asked = hasattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision")
    return asked and supported is not None and bool(supported())


def uses_mixed(precision: str, device: torch.device) -> bool:
    """Whether `precision` means bf16 products on this device; says so where it cannot."""
    if precision != "mixed":
        return False
    if device.type == "cuda":
        lacks = "" if SUMS_BF16_WIDELY else f"torch {torch.__version__} cannot return their sums"
    else:
        lacks = "" if device.type == "cpu" and has_bf16_tiles() else f"this {device.type} has none"
    if lacks:
        warnings.warn(
            f'precision "mixed" needs bf16 matrix units (a CUDA GPU with torch 2.8, or a CPU with '
            f"AMX and torch 2.9); {lacks}, and the flow runs in float32",
            stacklevel=3,
        )
    return not lacks


@contextlib.contextmanager
def ieee():
    """Float32 products in IEEE float32, whatever the process allows elsewhere (TF32, bf16).

    The setting is the process's: the last of several threads to leave restores it.
    """
    with _lock:
        _inside.append(torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        with _lock:
            left = _inside.pop()
            if (
                not _inside
            ):  # the first to enter found what the process allows, and is the last here
                torch.set_float32_matmul_precision(left)
