"""Where a result was made: commit, versions, machine, time and memory; shown, never compared."""

import os
import platform
import resource
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = ("kflow", "torch", "numpy", "scipy", "matplotlib", "safetensors")
LIMITS = ("ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")  # of the products' libraries


def collect(seconds: float, chapter: str) -> dict:
    """The provenance of a result, `seconds` of wall clock after its chapter began."""
    return {
        "commit": commit(f"notebooks/{chapter}.ipynb"),
        "versions": versions(),
        "hardware": hardware(),
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def commit(notebook: str = "notebooks") -> dict:
    """The source's commit; whether kflow, the versions or `notebook` were changed since.

    `id` is None outside a repository.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return {"id": None, "date": None, "dirty": None}
    head, _, date = _git(root, "show", "-s", "--format=%H %cs", "HEAD").partition(" ")
    watched = ("kflow", notebook, "constraints.txt")
    return {
        "id": head or None,
        "date": date or None,
        "dirty": bool(_git(root, "status", "--porcelain", "--", *watched)),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def hardware() -> dict:
    """Processor, its instructions that torch and the products use, cores in use, accelerators."""
    counted = hasattr(os, "sched_getaffinity")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": _cpu(),
        "instructions": ", ".join(
            [torch.backends.cpu.get_cpu_capability()]
            + [f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name)]
        ),
        "cores": len(os.sched_getaffinity(0)) if counted else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "system": f"{platform.system()} {platform.machine()}",
    }


def duration(seconds: float) -> str:
    """Seconds in the unit that a person would use."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _git(root: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
