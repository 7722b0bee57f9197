"""The examples in the README and on the page to reproduce run as they stand."""

import re

import pytest

from tests.site import ROOT

EXAMPLES = [
    (path.name, block)
    for path in (ROOT / "README.md", ROOT / "book" / "reproduce.md")
    for block in re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)
    if "import kflow" in block  # a fragment without imports shows a call only
]


@pytest.mark.parametrize(("name", "block"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_runs(name, block, capsys):
    values = {}
    exec(block, values)
    if "path" in values:
        assert values["path"].rho[-1] < values["path"].rho[0]


def test_there_are_examples():
    assert len(EXAMPLES) >= 2
