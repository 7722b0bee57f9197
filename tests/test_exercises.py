"""The solutions of exercises that stand alone run as they are printed."""

import re

import pytest

from tests.site import ROOT

SOLUTION = re.compile(r"````\{solution\} (\S+)\n(.*?)\n````\n", re.DOTALL)
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
ALONE = {
    label: block
    for page in sorted(ROOT.glob("notebooks/*.md"))
    for label, text in SOLUTION.findall(page.read_text())
    for block in BLOCK.findall(text)
    if block.startswith(("import", "from"))  # others continue their chapter
}


@pytest.mark.parametrize("label", ALONE)
def test_a_solution_that_stands_alone_runs_and_prints(label, capsys):
    exec(ALONE[label], {})
    assert capsys.readouterr().out


def test_most_chapters_have_such_a_solution():
    assert len(ALONE) >= 9
