"""One list of dependencies; the other files agree with it, and none holds a template's text."""

import re
import tomllib
from importlib.metadata import version

import pytest
import yaml
from packaging.requirements import Requirement

from tests.site import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TEMPLATE = re.compile(r"lorem|ipsum|your[ -]name|example\.(com|org)|cookiecutter|placeholder", re.I)
PUBLIC = ["README.md", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "LICENSE-text"]


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): pin for name, pin in pairs}


def hashed():
    """The digests of each pinned release, by its name and version."""
    text = (ROOT / "hashes.txt").read_text()
    releases = re.findall(r"^([a-z0-9-]+)==(\S+) \\\n((?:    --hash=.*\n)+)", text, re.M)
    return {
        (name, pin): re.findall(r"sha256:([0-9a-f]{64})\b", lines) for name, pin, lines in releases
    }


def requirements():
    listed = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
    return [Requirement(text) for text in listed if not text.startswith("kflow")]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_within_its_range(requirement):
    pin = pins()[re.sub(r"[-_.]+", "-", requirement.name).lower()]
    assert requirement.specifier.contains(pin)


def test_every_pin_but_those_of_torch_and_bench_is_installed_by_its_digest():
    by_name = {"torch", "pykeops", "keopscore", "pybind11"}
    assert set(hashed()) == {pair for pair in pins().items() if pair[0] not in by_name}
    assert all(hashed().values())
    recipe = re.search(r"^\$\(READY\):.*\n(\t.*\n)+", (ROOT / "Makefile").read_text(), re.M)[0]
    assert recipe.index("--require-hashes -r hashes.txt") < recipe.index("-c constraints.txt")


def test_the_conda_environment_is_a_thin_shell_over_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert set(conda) - {"pip", "make", "nodejs"} == {f"python{PROJECT['requires-python']}"}
    assert pip == {"pip": ["-c constraints.txt", "-e .[dev]"]}


def test_jupyter_book_is_version_one():
    assert version("jupyter-book").startswith("1."), "version 2 builds nothing from _config.yml"


def test_the_citation_file_agrees_with_the_package_and_invents_nothing():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert citation["authors"] == [{"name": PROJECT["authors"][0]["name"]}]
    if "urls" not in PROJECT:
        assert not {"doi", "url", "repository-code"} & citation.keys()


@pytest.mark.parametrize("name", PUBLIC)
def test_no_file_holds_text_of_a_template(name):
    assert not TEMPLATE.search((ROOT / name).read_text())


def test_the_changelog_names_the_version_or_what_is_unreleased():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {PROJECT['version']}" in text


def test_continuous_integration_runs_what_the_readme_tells():
    readme = (ROOT / "README.md").read_text()
    for command in ("make book", "make test"):
        assert command in readme
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / ".github" / "workflows" / "test.yml").read_text()


def test_every_target_that_the_texts_name_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "book" / "reproduce.md"]:
        assert set(re.findall(r"`?make ([a-z]+)", path.read_text())) - {"it"} <= targets, path.name
