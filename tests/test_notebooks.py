"""The chapters: pairs in sync, parameters declared, executed once, figures that stand alone."""

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from kflow.figures import parameters
from kflow.reproduce import cost, execution
from kflow.reproduce.verify import verify
from tests.site import NAMES, NOTEBOOKS, ROOT, cells, executed, module, read_json

INTERNAL = re.compile(r"\b(?:from|import)\s+(?!kflow)(?:tests|book)\b")
PARAMS = sorted((ROOT / "notebooks/params").glob("*.yml"))
each = pytest.mark.parametrize("name", NAMES)


def tags(cell):
    return cell.metadata.get("tags", [])


def test_every_ipynb_is_what_its_source_makes():
    assert module("pairs").differing() == [], "run: make pairs, and commit"


def test_a_pair_out_of_sync_is_found_and_mended(tmp_path):
    pairs = module("pairs")
    shutil.copy(NOTEBOOKS[0].with_suffix(".md"), tmp_path)
    assert pairs.differing(tmp_path) == [NOTEBOOKS[0].name]
    assert pairs.differing(tmp_path, write=True) == [NOTEBOOKS[0].name]
    assert pairs.differing(tmp_path) == []
    (tmp_path / "orphan.ipynb").write_text("{}")
    with pytest.raises(FileNotFoundError, match="orphan"):
        pairs.differing(tmp_path)


def test_a_notebook_opened_alone_begins_by_installing_kflow(tmp_path, monkeypatch):
    pairs, commands = module("pairs"), []
    shutil.copy(NOTEBOOKS[0].with_suffix(".md"), tmp_path)
    pairs.differing(tmp_path, write=True, repository="https://example.org/owner/kf")
    assert pairs.differing(tmp_path, repository="https://example.org/owner/kf") == []
    first = cells(tmp_path / NOTEBOOKS[0].name)[0]
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    exec(first.source, {})
    assert commands == []  # kflow is here
    with monkeypatch.context() as alone:
        alone.setattr(importlib.util, "find_spec", lambda name: None)
        exec(first.source, {})
    monkeypatch.undo()
    [command] = commands
    assert command[-1] == "kflow @ git+https://example.org/owner/kf"
    source = tmp_path / "source"  # building a wheel writes beside what it is built from
    shutil.copytree(ROOT / "kflow", source / "kflow")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    local = ["--no-deps", "--no-index", "--no-build-isolation", "--target", tmp_path / "site"]
    subprocess.run([*command[:-1], *local, source], check=True)
    show = "import kflow; print(kflow.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", show], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found.stdout.startswith(str(tmp_path / "site"))


@each
def test_a_committed_notebook_has_no_outputs(name):
    assert not any(c.outputs or c.execution_count for c in cells(ROOT / f"notebooks/{name}.ipynb"))


@each
def test_a_notebook_declares_its_parameters_once_before_it_begins(name):
    code = cells(ROOT / f"notebooks/{name}.ipynb")
    [at] = [i for i, cell in enumerate(code) if "parameters" in tags(cell)]
    assert f'chapter = figures.begin("{name}"' in code[at + 1].source


HALVED = {
    ("swiss_roll", "n"),
    ("swiss_roll", "n_many"),
    ("velocity_fields", "n"),
    ("greens_function", "n"),
}
DRAWN = {"learning_kernels", "forecasting"}  # whose criteria make a number of points even


@each
def test_a_number_of_points_that_is_halved_must_be_even(name):
    schema = parameters.of_notebook(ROOT / f"notebooks/{name}.ipynb")
    for key, p in schema.items():
        halved = key.startswith("n_fine") and name not in DRAWN or (name, key) in HALVED
        assert p.even == halved, key


@each
def test_what_is_asserted_of_other_parameters_does_not_depend_on_their_size(name):
    last = cells(ROOT / f"notebooks/{name}.ipynb")[-1].source
    schema = parameters.of_notebook(ROOT / f"notebooks/{name}.ipynb")
    assert not re.findall(rf"^if (?:{'|'.join(schema)})\b", last, re.MULTILINE)


@each
def test_a_cell_is_a_screen_at_most(name):
    lines = [len(cell.source.splitlines()) for cell in cells(ROOT / f"notebooks/{name}.ipynb")]
    assert max(lines) <= 45, f"cell {lines.index(max(lines))} has {max(lines)} lines"


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: path.name)
def test_a_file_of_parameters_holds_some_of_its_notebook_within_their_ranges(path):
    name, scale, _ = path.name.split(".")
    given = yaml.safe_load(path.read_text())
    schema = parameters.of_notebook(ROOT / f"notebooks/{name}.ipynb")
    assert scale == "paper" and given
    parameters.complete(schema, given)


@each
def test_a_notebook_imports_only_what_is_installed(name):
    for cell in cells(ROOT / f"notebooks/{name}.ipynb"):
        assert not INTERNAL.search(cell.source)


@each
def test_a_notebook_ends_by_asserting_its_claim(name):
    assert "assert " in cells(ROOT / f"notebooks/{name}.ipynb")[-1].source


@each
def test_a_figure_of_images_says_whose_they_are(name):
    shown = re.compile(r"plots\.(wall|pairs)\(|(view|reshape)\(28, 28\)")
    drawn = False  # since the last figure
    for cell in cells(ROOT / f"notebooks/{name}.ipynb"):
        if cell.cell_type == "code":
            drawn = drawn or bool(shown.search(cell.source))
            published = cell.source.count(".publish(")
            if drawn and published:
                assert cell.source.count("images=data.CREDITS[") == published
                drawn = False


@each
def test_a_notebook_is_executed_without_error_or_warning(name):
    made = executed(name)
    for cell in cells(made.notebook):
        assert cell.execution_count or not cell.source.strip()
        for output in cell.outputs:
            assert output.output_type != "error"
            assert "Warning" not in output.get("text", ""), output.get("text")
    assert made.seconds < 600, "a chapter takes two minutes on two idle cores"


@each
def test_a_figure_has_a_caption_an_alternative_text_and_its_data(name):
    folders = [path.parent for path in (executed(name).output / "figures").glob("*/record.json")]
    assert folders, "a chapter shows at least one figure"
    for folder in folders:
        record = read_json(folder / "record.json")
        assert len(record["caption"]) > 40 and len(record["alt"]) > 20, folder.name
        assert record["alt"] != record["caption"], folder.name
        assert list(folder.glob("*.csv")) + list(folder.glob("*.npz")), folder.name


FIXED = {"interpolation", "settings"}  # drawings take their time


@each
def test_a_chapter_declares_what_its_time_grows_with(name):
    parts = {}
    for key, p in parameters.of_notebook(ROOT / f"notebooks/{name}.ipynb").items():
        part = p.shares.part or key
        parts[part] = max(parts.get(part, 0), p.shares.time)
    assert (sum(parts.values()) == 0) is (name in FIXED) and sum(parts.values()) <= 1


@pytest.fixture
def nothing_executed(tmp_path):
    """A root with the same chapters, of which none has been executed."""
    for name in ("notebooks", "book", "_toc.yml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


SHRUNK = {"game": {"rounds": 66}, "why_rho": {"layers": 50}}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHRUNK)
def test_an_announced_cost_is_within_a_factor_of_two(name, nothing_executed, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # more of them spin where something else runs
    schema = parameters.of_notebook(ROOT / f"notebooks/{name}.ipynb")
    before = execution.execute(name, root=nothing_executed, progress=False)
    values = parameters.complete(schema, SHRUNK[name])
    announced = cost.estimate(name, schema, values, nothing_executed)
    assert announced.scaled == list(SHRUNK[name]) and announced.seconds < before.seconds
    made = execution.execute(name, SHRUNK[name], root=nothing_executed, progress=False)
    took = [done.processor_seconds or done.seconds for done in (made, before)]
    told = announced.seconds / before.seconds
    assert told / 2 < took[0] / took[1] < told * 2


FEWER = {  # instructions: another processor, as far as one can be had here
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OMP_NUM_THREADS": "1",
}


@pytest.mark.slow
def test_a_chapter_agrees_on_a_processor_of_fewer_instructions(nothing_executed, monkeypatch):
    for name, value in FEWER.items():
        monkeypatch.setenv(name, value)
    report = verify(["game"], nothing_executed, progress=False)
    assert report.passed, report.table()
    made = next(nothing_executed.glob("_build/executions/game/*/output/figures/game-in-the-plane"))
    assert read_json(made / "provenance.json")["hardware"]["instructions"].startswith("DEFAULT")


def test_every_published_number_is_made_again(capsys):
    report = verify((), ROOT, progress=False)
    with capsys.disabled():
        print("\n" + report.table())
    assert report.passed, report.table()
