"""The command line, on a small book of one notebook: run, accept, verify, cite, info."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import nbformat
import pytest
import torch

from kflow.figures import parameters
from kflow.reproduce import cost, execution, main, plans

CELLS = [
    ("import matplotlib.pyplot as plt\n\nfrom kflow import figures", []),
    (
        "layers: int = 3  # [1, 9] layers (75 % of the time)\n"
        "fail: bool = False  # stop with an error",
        ["parameters"],
    ),
    ('chapter = figures.begin("tiny")', []),
    (
        """
def draw():
    fig, ax = plt.subplots(figsize=(1, 1))
    ax.plot([0, layers])
    return fig


assert not fail, "asked to fail"
chapter.publish(
    "tiny-line", draw, title="A line", claim="It is straight", caption="A line", alt="A line",
    data={"y": ([0, layers], "height")}, seeds=[0], dtype="float64",
    quantities=[chapter.quantity("height", layers, kind="close", rtol=1e-3)],
)
""",
        [],
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A book whose only chapter has been run and accepted once."""
    root = tmp_path_factory.mktemp("book")
    (root / "notebooks").mkdir()
    (root / "book" / "records").mkdir(parents=True)
    (root / "_toc.yml").write_text("root: index\n")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    for i, (source, tags) in enumerate(CELLS):
        cell = nbformat.v4.new_code_cell(source.strip(), id=f"cell-{i}")
        cell.metadata["tags"] = tags
        notebook.cells.append(cell)
    nbformat.write(notebook, root / "notebooks" / "tiny.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["accept", "--json"]) == 0
    return root


@pytest.fixture
def book(made, tmp_path, monkeypatch):
    """A copy, to spoil."""
    root = shutil.copytree(made, tmp_path / "book")
    monkeypatch.chdir(root)
    return root


def test_what_was_accepted_verifies(book, capsys):
    assert (book / "book/records/slugs.txt").read_text() == "tiny-line\n"
    assert main(["verify", "tiny-line", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] and report["rows"][0]["difference"] == 0
    assert json.loads((book / "_build/verify.json").read_text()) == report


def test_a_verdict_that_cannot_be_written_is_refused_before_anything_runs(
    book, capsys, monkeypatch
):
    monkeypatch.setattr(execution, "execute_all", lambda *_, **__: pytest.fail("it ran"))
    (book / "file").write_text("")
    assert main(["verify", "--output", "file/verdict.json"]) == 2
    assert "file" in capsys.readouterr().err
    assert main(["verify", "--output", str(book)]) == 2
    assert "is no file" in capsys.readouterr().err
    os.mkfifo(book / "pipe")
    assert main(["verify", "--output", "pipe"]) == 2
    assert "pipe is no file" in capsys.readouterr().err

    def full(dir):
        raise OSError(f"no space left in {dir}")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert main(["verify"]) == 2
    assert "no space left in" in capsys.readouterr().err


def test_an_interrupted_check_says_so_in_a_line(book, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "execute_all", interrupt)
    assert main(["verify"]) == 1
    assert capsys.readouterr().err == "kflow verify: interrupted; what was done is kept\n"


@pytest.mark.parametrize("jobs", ["0", "-2", "1.5", "many"])
def test_a_number_of_jobs_that_is_none_is_refused(capsys, jobs):
    with pytest.raises(SystemExit):
        main(["verify", f"-j={jobs}"])
    assert "is no number of chapters" in capsys.readouterr().err


@pytest.mark.parametrize("spoil", ["execution.json", "tiny.ipynb"])
def test_an_execution_that_is_not_whole_is_made_again(book, capsys, spoil):
    path = plans.latest("tiny", book).folder / spoil
    text = path.read_text()
    path.write_text("{") if spoil == "execution.json" else path.unlink()
    assert plans.latest("tiny", book) is None and "tiny" in plans.stale(book)
    assert main(["run", "tiny", "--dry-run"]) == 0
    assert main(["run", "tiny", "--json"]) == 0
    assert path.is_file() and len(path.read_text()) > len(text) / 2


def test_a_damaged_record_of_a_figure_is_named(book, capsys):
    (book / "book/records/tiny-line/record.json").write_text("[")
    assert main(["verify", "tiny-line"]) == 1  # the latest execution says whose it is
    shutil.rmtree(book / "_build")
    assert main(["verify", "tiny-line"]) == 2
    assert "tiny-line/record.json is damaged" in capsys.readouterr().err


def test_a_folder_or_a_chapter_that_is_no_figure_cannot_be_cited(book, capsys):
    for name in ("record.json", "provenance.json"):
        (book / name).write_text("{}")
    assert main(["cite", str(book)]) == 2
    assert "holds no record of a figure" in capsys.readouterr().err
    assert main(["cite", "tiny"]) == 2
    assert "tiny is a chapter; cite one of its figures: tiny-line" in capsys.readouterr().err


def test_a_falsified_number_makes_verify_exit_1_and_name_the_quantity(book, capsys):
    path = book / "book/records/tiny-line/record.json"
    path.write_text(path.read_text().replace('"value": 3', '"value": 4'))
    assert main(["verify", "tiny"]) == 1  # a chapter stands for all its figures
    assert "differs: tiny-line/height" in capsys.readouterr().out


def test_a_figure_without_a_record_fails_and_says_how_to_publish_it(book, capsys):
    shutil.rmtree(book / "book/records/tiny-line")
    assert main(["verify"]) == 1
    assert "python -m kflow accept tiny-line" in capsys.readouterr().out


def test_where_a_figure_agreed_is_noted_once_and_kept_while_its_numbers_stay(book):
    path = book / "book/records/tiny-line/provenance.json"
    origin = json.loads(path.read_text())
    origin["hardware"]["cpu"] = "another processor"
    path.write_text(json.dumps(origin))
    for _ in range(2):
        assert main(["verify", "--sign", "--json"]) == 0
    (here,) = json.loads(path.read_text())["checked_on"]
    assert torch.backends.cpu.get_cpu_capability() in here and "another" not in here
    record = path.with_name("record.json")
    record.write_text(record.read_text().replace('"caption": "A line"', '"caption": "The line"'))
    assert main(["accept", "--json"]) == 0  # the same numbers
    assert json.loads(path.read_text())["checked_on"] == [here]

    record.write_text(record.read_text().replace('"value": 3', '"value": 4'))
    assert main(["accept", "--json"]) == 0
    assert "checked_on" not in json.loads(path.read_text())
    record.write_text(record.read_text().replace('"value": 3', '"value": 4'))
    assert main(["verify", "--sign", "--json"]) == 1
    assert "checked_on" not in json.loads(path.read_text())


@pytest.mark.parametrize("command", ["verify", "accept", "cite"])
def test_an_unknown_slug_is_refused_with_the_nearest(book, capsys, command):
    assert main([command, "tiny-lime"]) == 2
    assert "did you mean 'tiny-line'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["-p", "layer", "3"], "did you mean 'layers'"),
        (["-p", "layers", "10"], "outside"),
        (["-p", "layers", "many"], "is not int"),
        (["--set", "none.yml"], "no file"),
        (["--paper"], "no file"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(book, capsys, given, message):
    assert main(["run", "tiny", *given]) == 2
    assert message in capsys.readouterr().err


def test_shares_of_one_part_multiply_and_those_of_others_add(monkeypatch, tmp_path):
    schema = parameters.parse(
        "a: int = 10  # [1, 99] (50 % of the time, in the flow)\n"
        "b: int = 4   # [1, 99] (40 % of the time, in the flow) (20 % of the memory)\n"
        "c: int = 3   # [1, 99] (10 % of the time, doubled by each)\n"
        "d: int = 7   # [1, 99] no share"
    )
    monkeypatch.setattr(cost, "_before", lambda name, root: (100.0, 10.0))
    estimate = cost.estimate("tiny", schema, {"a": 20, "b": 12, "c": 5, "d": 9}, tmp_path)
    # the flow: 1.5 * 1.8 = 2.7; c: 1 + 0.1 * (4 - 1) = 1.3
    assert estimate.seconds == pytest.approx(100 * (1 + 1.7 + 0.3))
    assert estimate.megabytes == pytest.approx(10 * 1.4)
    assert estimate.scaled == ["a", "b", "c"]


def test_the_cost_follows_the_share_that_the_parameter_declares(book, capsys):
    assert main(["run", "tiny", "-p", "layers", "9", "--dry-run", "--json"]) == 0
    cost = json.loads(capsys.readouterr().out)["cost"]
    assert cost["scaled"] == ["layers"]
    assert cost["seconds"] == pytest.approx((0.25 + 0.75 * 3) * plans.latest("tiny", book).seconds)


def test_a_variant_is_marked_as_derived_and_its_citation_says_so(book, capsys):
    (book / "more.yml").write_text("layers: 9\n")
    assert main(["run", "tiny", "--set", "more.yml", "--json"]) == 0
    (folder,) = json.loads(capsys.readouterr().out)["figures"]
    record = json.loads((book / folder / "record.json").read_text())
    assert (record["derived_from"], record["changed"]) == ("tiny-line", ["layers"])
    assert main(["cite", folder]) == 0
    assert "variant of tiny-line: layers=9" in capsys.readouterr().out


def test_a_failed_run_exits_1_and_names_the_cell_and_the_command(book, capsys):
    assert main(["run", "tiny", "-p", "fail", "true", "--json"]) == 1
    said = capsys.readouterr().err
    assert "cell 5 failed" in said and "asked to fail" in said
    assert "python -m kflow run tiny -p fail True" in said
    assert main(["verify", "--json"]) == 0  # the former results stay


def test_an_interrupted_run_says_how_to_take_it_up(book, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(execution, "execute", interrupt)
    assert main(["run", "tiny", "-p", "layers", "4"]) == 1
    assert "python -m kflow run tiny -p layers 4" in capsys.readouterr().err


def test_two_executions_are_the_same_bytes(book):
    first = plans.latest("tiny", book)
    kept = shutil.copytree(first.folder, book / "kept")
    again = execution.execute("tiny", root=book, force=True, progress=False)
    for path in kept.rglob("*"):
        if path.is_file() and path.name not in ("provenance.json", "execution.json"):
            assert path.read_bytes() == (again.folder / path.relative_to(kept)).read_bytes(), path


def test_a_citation_invents_nothing(book, capsys):
    assert main(["cite", "tiny-line"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("@misc{kflow-tiny-line,")
    assert "A line" in text and "doi" not in text.lower() and "example." not in text
    assert main(["cite", "tiny-line", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "kflow-tiny-line"


def test_info_checks_the_installation(capsys):
    assert main(["info", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["check"]["works"] and "torch" in report["versions"]


def test_info_waits_for_no_large_package_but_torch():
    code = "import sys; from kflow.reproduce import main; main(['info']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    large = {"scipy", "sklearn", "pandas", "matplotlib", "papermill"}
    assert not large & set(done.stdout.splitlines()[-1].split())
