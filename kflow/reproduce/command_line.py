"""Run a chapter, check a figure, cite it, look at the installation: python -m kflow --help."""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Command line; exits with 0, or 1 where a run or a check fails, or 2 for a wrong word."""
    options = _parser().parse_args(arguments)
    try:
        return options.action(options)
    except (ValueError, TypeError, OSError) as error:
        print(f"kflow {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"kflow {options.command}: interrupted; what was done is kept", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kflow", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, action, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        sub.add_argument("--json", action="store_true", help="print JSON only")
        return sub

    sub = command("run", run, "execute a chapter's notebook with checked parameters")
    sub.add_argument("notebook", help="name of a chapter, or path of an .ipynb")
    sub.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    sub.add_argument("--set", type=Path, metavar="FILE", help="YAML file of parameters")
    sub.add_argument("--paper", action="store_true", help="notebooks/params/NOTEBOOK.paper.yml")
    sub.add_argument("--dry-run", action="store_true", help="only say what it would cost")
    sub = command("verify", verify, "make figures again and compare their numbers")
    sub.add_argument("slug", nargs="*", help="figures, or chapters; all of them without a name")
    sub.add_argument("--paper", action="store_true", help="also the runs at the talk's scale")
    sub.add_argument("--sign", action="store_true", help="note this processor where figures agree")
    sub.add_argument("-j", "--jobs", type=_jobs, default=1, help="so many chapters at once")
    sub.add_argument("--output", type=Path, help="file of the verdict (_build/verify.json)")
    sub = command("accept", accept, "publish the records of the current figures")
    sub.add_argument("slug", nargs="*", help="figures, or chapters; all of them without a name")
    sub = command("cite", cite, "print a figure's citation")
    sub.add_argument("slug", help="a figure, or the folder of one that you have made")
    sub.add_argument("--format", choices=("bibtex", "csl"), default="bibtex")
    command("info", info, "print versions, devices and data, and check the installation")
    return parser


def _jobs(text: str) -> int:
    """A number of chapters at once, one at least."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of chapters, 1 or more")
    return int(text)


def run(options) -> int:
    """Execute a notebook; say the cost before, and after a failure the command to take it up."""
    from kflow.figures import parameters
    from kflow.reproduce import cost, execution, plans
    from kflow.reproduce.notebooks import ExecutionFailed

    root = plans.project()
    planned = plans.plan(options.notebook, root=root)
    schema = parameters.of_notebook(planned.source)
    given = _given(options, planned, schema)
    values = parameters.complete(schema, given)
    given = {k: v for k, v in values.items() if v != schema[k].default}
    estimate = cost.estimate(planned.name, schema, values, root)
    if not options.json:
        print(estimate.sentence(), flush=True)
    if options.dry_run:
        if options.json:
            print(json.dumps({"parameters": values, "cost": estimate._asdict()}, indent=2))
        return 0
    try:
        done = execution.execute(options.notebook, given, root=root, progress=not options.json)
    except (ExecutionFailed, KeyboardInterrupt) as error:
        again = "".join(f" -p {name} {value}" for name, value in given.items())
        command = f"python -m kflow run {options.notebook}{again}"
        print(f"{str(error) or 'interrupted'}\nto run it again: {command}", file=sys.stderr)
        return 1
    folders = sorted((done.output / "figures").glob("*"))
    report = {
        "notebook": str(done.notebook),
        "parameters": values,
        "seconds": done.seconds,
        "figures": [str(folder) for folder in folders],
    }
    lines = [f"notebook: {done.notebook}", *(f"figure: {folder}" for folder in folders)]
    print(json.dumps(report, indent=2) if options.json else "\n".join(lines))
    return 0


def _given(options, planned, schema) -> dict:
    """Parameters from the paper's file, then from --set, then from -p."""
    from kflow.figures import parameter_file, parameters

    files = [planned.source.parent / "params" / f"{planned.name}.paper.yml"] * options.paper
    files += [options.set] if options.set else []
    given: dict[str, parameters.Value] = {}
    for path in files:
        if not path.is_file():
            known = ", ".join(sorted(p.name for p in path.parent.glob("*.yml"))) or "none"
            raise FileNotFoundError(f"no file {path}; there are: {known}")
        given |= parameter_file.read(path)
    for name, text in options.p:
        if name not in schema:
            raise ValueError(f"unknown parameter {name!r}: {parameters.nearest(name, schema)}")
        given[name] = schema[name].read(text)
    return given


def verify(options) -> int:
    """Print the table, write the verdict; 1 where a number differs."""
    from kflow.figures import records
    from kflow.reproduce import paper_scale, plans
    from kflow.reproduce.verify import sign
    from kflow.reproduce.verify import verify as compare_all

    root = plans.project()
    output = options.output or root / "_build" / "verify.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists() and not output.is_file():  # a device, say, which a file would replace
        raise ValueError(f"{output} is no file: --output is the file of the verdict")
    with tempfile.TemporaryFile(dir=output.parent):  # an error now, not after hours
        pass
    report = compare_all(options.slug, root, options.jobs, progress=not options.json)
    if options.sign:
        sign(report, root)
    if options.paper:
        report = paper_scale.add(report, root)
    print(json.dumps(report.to_json(), indent=2) if options.json else report.table())
    records.write_json(output, report.to_json())
    return 0 if report.passed else 1


def accept(options) -> int:
    """Publish records; a figure is accepted by its author, who then commits book/records."""
    from kflow.reproduce import plans
    from kflow.reproduce.verify import publish

    slugs = publish(options.slug, plans.project(), progress=not options.json)
    print(json.dumps(slugs) if options.json else "\n".join(f"accepted {slug}" for slug in slugs))
    return 0


def cite(options) -> int:
    """Print BibTeX or CSL-JSON."""
    from kflow.figures import records
    from kflow.reproduce import citation, plans
    from kflow.reproduce.verify import find

    folder = Path(options.slug)
    if not (folder / "record.json").is_file():
        folder = find(options.slug, plans.project())
    record = records.load(folder)
    origin = records.read_json(folder / "provenance.json")
    try:
        item, entry = citation.csl(record, origin), citation.bibtex(record, origin)
    except (KeyError, TypeError) as error:
        raise records.RecordError(f"{folder} holds no record of a figure: {error!r}") from None
    csl = options.json or options.format == "csl"
    print(json.dumps(item, indent=2, ensure_ascii=False) if csl else entry)
    return 0


def info(options) -> int:
    """Print what is installed; 1 where the game of two points does not give its score by hand."""
    import torch

    from kflow.figures import provenance
    from kflow.game import rho
    from kflow.kernels import Gaussian

    start = time.perf_counter()
    distance = 0.6931471805599453**0.5  # two points whose kernel is 1/2
    z = torch.tensor([[0.0], [distance]], dtype=torch.float64)
    y = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    score = rho(Gaussian(1.0), z, y, torch.tensor([0])).item()
    works = abs(score - 0.25) < 1e-12
    report = {
        "versions": provenance.versions(),
        "hardware": provenance.hardware(),
        "commit": provenance.commit(),
        "data": {name: _where(name) for name in ("mnist", "fashion-mnist")},
        "check": {"rho": score, "works": works, "seconds": time.perf_counter() - start},
    }
    if options.json:
        print(json.dumps(report, indent=2))
        return 0 if works else 1
    for part, facts in report.items():
        print(part)
        for name, value in facts.items():
            print(f"  {name:12} {value}")
    print("the installation works" if works else f"rho is {score}, and should be 1/4")
    return 0 if works else 1


def _where(name: str) -> str:
    """Where the full data set is, without downloading it."""
    from kflow.data import DEBIAN, TORCHVISION

    folders = [Path(os.environ["KFLOW_DATA"])] if os.environ.get("KFLOW_DATA") else []
    places = [f / place for f in (*folders, DEBIAN) for place in (name, TORCHVISION[name])]
    full = [str(place) for place in places if place.is_dir()]
    return f"embedded subset; full: {full[0] if full else 'not found, downloaded when asked for'}"
