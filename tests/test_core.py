"""The library needs its declared core and nothing else, and says which extra brings the rest."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution, packages_distributions, version

import pytest
from packaging.requirements import Requirement

from tests.site import ROOT
from tests.test_readme import EXAMPLES

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HOOK = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

sys.meta_path.insert(0, Nothing())
"""


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements):
    """The names of distributions that requirements bring, and these theirs."""
    found, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonical(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += [Requirement(text) for text in distribution(name).requires or []]
    return found


def run_on_the_core(code):
    """Run code in a process that can import kflow, its core, and the standard library alone."""
    core = closure(PROJECT["dependencies"]) | {"kflow"}
    owners = packages_distributions().items()
    blocked = {name for name, by in owners if not core & {canonical(dist) for dist in by}}
    assert {"sklearn", "matplotlib", "pandas", "papermill", "yaml"} <= blocked
    code = f"BLOCKED = {blocked}\n{HOOK}\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


def test_the_core_is_seven_packages():
    names = {canonical(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert names == {
        "torch", "numpy", "scipy", "safetensors", "jaxtyping", "filelock", "tqdm",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "block"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_runs_on_the_core_alone(name, block):
    done = run_on_the_core(block)
    assert done.returncode == 0, done.stderr


def test_the_whole_theory_runs_on_the_core_alone(tmp_path):
    done = run_on_the_core(
        "import torch, kflow\n"
        "from kflow import data, fluctuations, shards\n"
        "digits = data.mnist()\n"
        "kernel, rng = kflow.Gaussian.for_points(digits.x), torch.Generator().manual_seed(0)\n"
        "flow = kflow.KernelFlow(kernel, 20, kflow.MaxDisplacement(0.1), nugget=1e-2)\n"
        "x, y = digits.x[:60], digits.y[:60]\n"
        f"flow.run(x, y, 3, rng, checkpoint={str(tmp_path / 'state')!r}, progress=True)\n"
        "kflow.error_rate(kernel, x, y, digits.x_test, digits.y_test, 10, rng)\n"
        "kflow.EffectiveODE(kflow.Gaussian(1.0), y[:4].double(), 2).velocity(x[:4].double())\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "missing", "extra"),
    [
        ("import kflow; kflow.KernelFlowClassifier", "sklearn", "sklearn"),
        ("import kflow; kflow.error_table({})", "pandas", "notebooks"),
        ("from kflow import figures; figures.begin", "matplotlib", "notebooks"),
        ("from kflow.reproduce import plans; plans.plan('flow')", "nbformat", "notebooks"),
        ("from kflow.paper import report", "pandas", "notebooks"),
    ],
)
def test_what_is_missing_is_said_with_the_extra_that_brings_it(code, missing, extra):
    done = run_on_the_core(code)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: {missing} is not installed; pip install 'kflow[{extra}]' brings it"
    )
    brings = {canonical(Requirement(t).name) for t in PROJECT["optional-dependencies"][extra]}
    assert brings & {canonical(name) for name in packages_distributions()[missing]}


@pytest.mark.parametrize("room", ["forecasting", "learning"])
@pytest.mark.parametrize("code", ["from kflow import {0}", "import kflow; kflow.{0}"])
def test_a_room_is_imported_when_it_is_first_asked_for(room, code):
    said = code.format(room) + f"; import sys; print(sys.modules['kflow.{room}'].__name__)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"kflow.{room}\n", done.stderr[-500:]


def test_the_command_info_runs_on_the_core_alone():
    done = run_on_the_core("from kflow.reproduce import main; raise SystemExit(main(['info']))")
    assert done.returncode == 0 and "the installation works" in done.stdout


ELSEWHERE = """
import os, sys, tempfile, warnings
from pathlib import Path

warnings.simplefilter("ignore")  # filelock says that its locks are softer here
sys.modules["fcntl"] = None
del os.O_DIRECTORY
read = Path.read_text

def text(path, *arguments, **options):
    if str(path).startswith("/proc"):
        raise FileNotFoundError(path)
    return read(path, *arguments, **options)

Path.read_text = text
import torch, kflow

x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
flow = kflow.KernelFlow(kflow.Gaussian(1.0), 10, kflow.MaxDisplacement(0.1), 1e-2)
with tempfile.TemporaryDirectory() as folder:
    for layers in (4, 8):
        rng = torch.Generator().manual_seed(1)
        flow.run(x, x[:, :1], layers, rng, checkpoint=Path(folder) / "flow.safetensors",
                 keep_layers=Path(folder) / "layers")
print("done")
"""


def test_the_library_works_without_fcntl_proc_or_open_folders_as_on_windows():
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "done\n", done.stderr[-2000:]


def test_two_builds_of_the_wheel_are_the_same_bytes(tmp_path):
    made = []
    for k in range(2):
        source = tmp_path / f"source-{k}"
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "kflow", source / "kflow", ignore=skip)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        for path in source.rglob("*"):
            os.utime(path, (1.7e9 + k, 1.7e9 + k))
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
        command += ["--no-build-isolation", "--wheel-dir", tmp_path / f"wheel-{k}", source]
        dated = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run(command, check=True, env=dated)
        made += (tmp_path / f"wheel-{k}").glob("*.whl")
    assert made[0].read_bytes() == made[1].read_bytes()
    names = zipfile.ZipFile(made[0]).namelist()
    assert all(
        name.startswith(("kflow/", f"kflow-{version('kflow')}.dist-info/")) for name in names
    )
    assert sum(name.endswith("LICENSE") for name in names) >= 3  # ours, and those of the images
