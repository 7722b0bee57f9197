"""The examples in the README and on the page to reproduce run as they stand."""

import re
import subprocess
import sys

import pytest

from tests.site import ROOT

BLOCKS = [
    (path.name, block)
    for path in (ROOT / "README.md", ROOT / "book" / "reproduce.md")
    for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
    if "import kflow" in block  # a fragment without imports shows a call only
]
RANKED = [(name, block) for name, block in BLOCKS if "shards.joined" in block]
EXAMPLES = [example for example in BLOCKS if example not in RANKED]


@pytest.mark.parametrize(("name", "block"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_runs(name, block, capsys):
    values = {}
    exec(block, values)
    if "path" in values:
        assert values["path"].rho[-1] < values["path"].rho[0]


@pytest.mark.parametrize(("name", "block"), RANKED, ids=[name for name, _ in RANKED])
def test_an_example_for_torchrun_runs_on_two_ranks(name, block, tmp_path):
    script = tmp_path / "many.py"
    script.write_text(block + "    assert path.rho[-20:].mean() < path.rho[:20].mean()\n")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, "--standalone", script], check=True, cwd=tmp_path, timeout=300)


def test_there_are_examples():
    assert len(EXAMPLES) >= 2 and len(RANKED) >= 1
