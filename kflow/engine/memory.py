"""Memory: what a flow needs, what there is, what to do where it is not enough; ways to a GPU's."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

OUT_OF_MEMORY = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
SAID = ("allocate memory", "could not create a primitive")  # by torch and by oneDNN, on a CPU


def of_flow(n: int, d: int, n_fine: int, lookahead: int, itemsize: int) -> dict[str, int]:
    """Bytes that n points in d dimensions take, and that the games of a block of layers take."""
    return {
        "points": n * d * itemsize,
        "games": 3 * lookahead * n_fine * d * itemsize + 8 * n_fine * (8 * n_fine + 6 * d),
    }


def free(device: torch.device | str = "cpu") -> int | None:
    """Bytes that can still be had on a device, where the system says so."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable:")), None)


@contextlib.contextmanager
def explained(needed: dict[str, int], device: torch.device, reached: Callable[[], str]):
    """Turn an allocation that fails into a MemoryError that says what was needed, and the cure."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, OUT_OF_MEMORY) and not any(said in str(error) for said in SAID):
            raise
        parts = ", ".join(f"{size / 1e9:.2g} GB for the {name}" for name, size in needed.items())
        there = free(device)
        left = "" if there is None else f" ({there / 1e9:.2g} GB are free)"
        raise MemoryError(
            f"{reached()} the memory of {device} ran out{left}; a run takes {parts}: lower "
            f"lookahead or n_fine for the games, carry fewer points, or share them (group)"
        ) from error


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on a device; to a GPU it goes without waiting for the work there."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
