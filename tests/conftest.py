import os
from typing import NamedTuple

import jaxtyping
import pytest
import torch

from kflow.engine import precisions
from kflow.reproduce.notebooks import cores

PRECISIONS = {
    "cpu": ("float64", "float32", "mixed"),
    "cuda": ("float64", "float32", "mixed"),
    "mps": ("float32",),
}
PRESENT = {
    "cpu": True,
    "cuda": torch.cuda.is_available(),
    "mps": torch.backends.mps.is_available(),
}
LACKING = {"cuda": "no CUDA device", "mps": "no Apple GPU"}
LONGEST = ("browser", "notebooks", "exercises", "shards", "core", "execution", "stress", "bench")


def pytest_configure():
    """What a worker starts gets its share of the cores: threads beyond them wait for each other."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    if workers > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest, so that no worker is left with one in the end."""
    rank = {f"test_{name}": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Tell of all cases of a device that is not there in one line of the summary."""
    report = yield
    if report.skipped and any(what in report.longrepr[2] for what in LACKING.values()):
        report.longrepr = (str(item.config.rootpath / "tests"), None, report.longrepr[2])
    return report


@pytest.fixture(autouse=True)
def annotations(request):
    """Annotations hold in every test, but where wrong types are passed on purpose."""
    on_purpose = request.node.get_closest_marker("wrong_types") is not None
    jaxtyping.config.update("jaxtyping_disable", on_purpose)


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices on one thread: two make some of these tests thirty times slower."""
    torch.set_num_threads(1)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


class Place(NamedTuple):
    """Where the points of a test are: on which device, in which precision."""

    device: torch.device
    precision: str

    @property
    def dtype(self):
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def error(self):
        """The share of a motion by which it may differ from that of float64."""
        return {"float64": 1e-6, "float32": 2e-3, "mixed": 0.05}[self.precision]

    def __call__(self, *tensors):
        """The tensors there, in its dtype."""
        return tuple(tensor.to(self.dtype).to(self.device) for tensor in tensors)


def case(name, *precision):
    """A device of a test; one that this machine lacks is reported as not run, by name."""
    marks = [] if name == "cpu" else [pytest.mark.gpu]
    if not PRESENT[name]:
        marks.append(
            pytest.mark.skip(reason=f"not run: {LACKING[name]} (named by pytest -v -m gpu)")
        )
    return pytest.param((name, *precision), marks=marks, id="-".join((name, *precision)))


def there(name):
    return torch.empty(0, device=name).device  # with its index, as tensors there have it


@pytest.fixture(params=[case("cpu"), case("cuda")])
def device(request):
    """Every device with float64."""
    return there(*request.param)


@pytest.fixture(params=[case(name) for name in PRECISIONS])
def anywhere(request):
    """Every device: all have float32."""
    return there(*request.param)


@pytest.fixture(params=[case("cuda"), case("mps")])
def accelerator(request):
    """Every device that must agree with the CPU."""
    return there(*request.param)


@pytest.fixture(params=[case(name, each) for name in PRECISIONS for each in PRECISIONS[name]])
def place(request, monkeypatch):
    """Every device in every precision it has."""
    name, precision = request.param
    if name == "cpu":  # without bf16 units too: the same rounding, by float32 products
        monkeypatch.setattr(precisions, "uses_mixed", lambda asked, _: asked == "mixed")
    return Place(there(name), precision)
