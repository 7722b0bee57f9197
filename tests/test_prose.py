"""A result in prose comes from a record: no decimal and no percentage is typed."""

import re
from pathlib import Path

import pytest

from kflow.reproduce import plans

ROOT = plans.project(Path(__file__).parent)
PAGES = sorted([ROOT / "index.md", *ROOT.glob("notebooks/*.md"), *ROOT.glob("book/*.md")])
NOT_PROSE = [
    r"\A---\n.*?\n---\n",  # front matter
    r"\$\$.*?\$\$",
    r"\$[^$]+\$",
    r"\{[a-z:]+\}`[^`]*`",  # roles: numbers of records, settings, citations
    r"`[^`]*`",
    r"\]\([^)]*\)",  # addresses
    r"<[^>]+>",
    r"https?://\S+",
    r"arXiv:\S+|doi:\S+|\b[Pp]ython 3\.\d+|\bversion \d+(\.\d+)*|\bCC BY(-SA)? \d\.\d",
]
TYPED = re.compile(r"(?<![\w.])\d+\.\d+\b|\b\d+(\.\d+)?\s?%|\b\d+ per ?cent\b")


FENCE = re.compile(r"(`{3,})(.*)")


def without_code(text):
    """The lines outside code blocks; those of a directive of text, such as {note}, stay."""
    kept, fences = [], []
    for line in text.splitlines():
        fence = FENCE.match(line)
        if fence and fences and not fence[2] and fence[1] == fences[-1][0]:
            fences.pop()
        elif fence and not (fences and fences[-1][1]):
            code = not fence[2].startswith("{") or fence[2].startswith("{code")
            fences.append((fence[1], code))
        elif not (fences and fences[-1][1]):
            kept.append(line)
    return "\n".join(kept)


def prose(text):
    """The page without code, maths, roles and addresses."""
    text = without_code(text)
    for pattern in NOT_PROSE:
        text = re.sub(pattern, " ", text, flags=re.DOTALL | re.MULTILINE)
    return text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_result_is_typed(page):
    found = [match[0] for match in TYPED.finditer(prose(page.read_text()))]
    assert not found, (
        f"{page.name} types {found}: use {{number}}`SLUG/QUANTITY|FORMAT` or {{setting}}`VALUE`"
    )


@pytest.mark.parametrize(
    "text",
    [
        "The error is 0.04 here.",
        "```{note}\nIt is 0.04.\n```",
        "It falls to 4 %.",
        "It is 1.4% on digits.",
    ],
)
def test_a_typed_result_is_found(text):
    assert TYPED.search(prose(text))


@pytest.mark.parametrize(
    "text",
    [
        "It is {number}`flow-error/last|.1%`, with step {setting}`0.1`.",
        "Here $\\gamma = 0.5$ and `eps=0.1`.",
        "```{code-cell} ipython3\nx = 0.5\n```\n",
        "```python\nx = 0.5\n```\n",
        "```{note}\nWhole numbers, 60, are free.\n```\n`-p eps 0.03`\n",
        "The paper is arXiv:1808.04475, and Python 3.11 runs it.",
    ],
)
def test_settings_maths_and_code_are_not_results(text):
    assert not TYPED.search(prose(text))


def test_a_figure_is_published_in_one_place():
    places = {}
    for page in ROOT.glob("notebooks/*.md"):
        for slug in re.findall(r'figures\.publish\(\s*"([^"]+)"', page.read_text()):
            assert slug not in places, f"{slug} in {page.name} and in {places[slug]}"
            places[slug] = page.name


def test_the_effective_equation_is_printed_with_the_moved_point():
    chapter = (ROOT / "notebooks/effective_ode.md").read_text()
    pieces = chapter.split("$$")  # text, formula, text that may begin with a label, formula, ...
    formulas = {
        after.split(")")[0].strip(" ("): f
        for f, after in zip(pieces[1::2], pieces[2::2], strict=True)
    }
    assert "K(Z, F(x))" in formulas["effective-ode-layer"]
    for label in ("effective-ode-equation", "effective-ode-own-equation"):
        assert "K(Z, F(t, x))" in formulas[label] and "K(Z, x)" not in formulas[label]
