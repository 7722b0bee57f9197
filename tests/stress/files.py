"""Hostile files: good ones are spoilt, and what reads them gives the former content or an error.

An error is one that kflow words. Nothing may be executed (a pickle and an expression would leave a
file), and nothing outside of the folder may change.
"""

import contextlib
import gzip
import json
import lzma
import pickle
import random
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import kflow
from kflow import data, paper
from kflow.engine import checkpoint
from kflow.engine.sealed import seal
from kflow.engine.sharded_checkpoint import ShardedCheckpoint
from kflow.engine.shards import Shards
from kflow.figures import parameter_file, parameters, records
from kflow.reproduce import notebooks
from tests.stress.tally import Tally
from tests.stress.verdict import Call, Verdict, fingerprint, judge

LIMIT = 10.0  # seconds to read a file
N = 12


class Trap:
    """What a pickle of it does when it is read: it leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def _points():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(N, 2, generator=rng, dtype=torch.float64)
    return x, torch.sign(x[:, :1])


def _flow(layers, **options):
    x, y = _points()
    rng = torch.Generator().manual_seed(1)
    flow = kflow.KernelFlow(kflow.Gaussian(1.0), 4, kflow.MaxDisplacement(0.05), nugget=0.1)
    return flow.run(x, y, layers, rng, observe=lambda s: {"seen": s.points[0]}, observe_at=[1],
                    checkpoint_every=2, **options)  # fmt: skip


class Checkpoints:
    """The checkpoint of one process; it is taken up, to the same bits."""

    name, damages, sealed = "checkpoint", "bytes bytes safetensors header", True

    def make(self, folder):
        _flow(4, checkpoint=folder / "flow.st")
        return [folder / "flow.st", folder / "flow.st.previous"]

    def read(self, folder):
        path = _flow(6, checkpoint=folder / "flow.st")
        return path.points, path.rho, path.observed


class RankCheckpoints:
    """The checkpoint of ranks: a manifest and the files of the ranks."""

    name, damages, sealed = "checkpoint of ranks", "bytes sealed", True

    def make(self, folder):
        tensors = {"points": torch.arange(6.0).view(3, 2), "rho": torch.ones(2)}
        for layer in (1, 2):
            with self._open(folder) as file:
                file.save(tensors, {"layer": layer, "observed": {}})
        return [folder / "flow.json", folder / "flow.json.layer2.rank0of1"]

    def _open(self, folder):
        return ShardedCheckpoint(folder / "flow.json", {"points": Shards.of(3, None)})

    def read(self, folder):
        with self._open(folder) as file:
            tensors, _ = file.load()
        return tensors


class KeptLayers:
    """Layers kept in a folder; new points follow them."""

    name, damages, sealed = "kept layers", "bytes safetensors", True

    def make(self, folder):
        self.path = _flow(4, keep_layers=folder / "layers")
        return sorted((folder / "layers").iterdir())

    def read(self, folder):
        return self.path.transform(_points()[0])


class Estimators:
    """A classifier, or a regressor, that was saved."""

    damages, sealed = "bytes safetensors header", True

    def __init__(self, model):
        self.model, self.name = model, f"saved {type(model).__name__}"

    def make(self, folder):
        x = _points()[0].numpy()
        self.model.fit(x, x[:, 0] > 0).save(folder / "model.st")
        return [folder / "model.st"]

    def read(self, folder):
        return type(self.model).load(folder / "model.st").predict(_points()[0].numpy())


class Images:
    """Embedded labels, packed by xz, by gzip and not at all."""

    name, damages, sealed = "IDX, xz and gz", "bytes bomb", True
    key = "embedded/mnist/t10k-labels-idx1-ubyte"

    def make(self, folder):
        content = lzma.open(data.EMBEDDED / "mnist/t10k-labels-idx1-ubyte.xz").read()
        (folder / "labels").write_bytes(content)
        (folder / "labels.gz").write_bytes(gzip.compress(content))
        (folder / "labels.xz").write_bytes(lzma.compress(content))
        return sorted(folder.iterdir())

    def read(self, folder):
        return [
            data.parse_idx(data.read_checked(folder / name, self.key))
            for name in ("labels", "labels.gz", "labels.xz")
        ]


class Idx:
    """The bytes of an IDX file that no hash protects."""

    name, damages, sealed = "IDX alone", "bytes", False

    def make(self, folder):
        (folder / "few").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(6)]))
        return [folder / "few"]

    def read(self, folder):
        return data.parse_idx((folder / "few").read_bytes())


class Figures:
    """A figure's record, its provenance and its data."""

    name, damages, sealed = "figure record", "bytes json climbing", False

    def make(self, folder):
        folder = folder / "a-figure"
        folder.mkdir()
        table = records.write_data(folder, "a-figure", {"x": np.arange(3.0), "y": np.ones(3)})
        record = {
            "slug": "a-figure", "notebook": "flow", "title": "A", "parameters": {"n": 3},
            "data": {"file": table.name, "columns": {"x": "x", "y": "y"}},
            "files": {table.name: records.sha256(table)},
            "quantities": {"mean": {"value": 1.0, "kind": "close", "rtol": 0.1}},
        }  # fmt: skip
        records.write_json(folder / "record.json", record)
        return [folder / "record.json", table]

    def read(self, folder):
        record = records.load(folder / "a-figure")
        return record, records.quantities(record)


class PaperRecords:
    """The record of a run at the talk's size: numbers, and arrays."""

    name, damages, sealed = "record of a run", "bytes json npz", False

    def make(self, folder):
        path = folder / "book/records/paper/some.json"
        paper.record.write(path, {"name": "some", "by_layer": {}}, {"x": np.arange(3)})
        return [path, path.with_suffix(".npz")]

    def read(self, folder):
        return paper.read_record("some", folder)


class Parameters:
    """A file of parameters, in YAML."""

    name, damages, sealed = "parameter file", "bytes yaml", False
    schema = parameters.parse("n: int = 3  # [1, 9] points\nname: str = 'a'  # {a, b} which")

    def make(self, folder):
        (folder / "flow.yml").write_text("n: 4\nname: b\n")
        return [folder / "flow.yml"]

    def read(self, folder):
        return parameters.complete(self.schema, parameter_file.read(folder / "flow.yml"))


class Notebooks:
    """A notebook: its parameters, and its cells."""

    name, damages, sealed = "notebook", "bytes json", False

    def make(self, folder):
        cells = [
            {"cell_type": "code", "id": "a", "metadata": {"tags": ["parameters"]}, "outputs": [],
             "execution_count": None, "source": ["n: int = 3  # [1, 9] points"]},
            {"cell_type": "markdown", "id": "b", "metadata": {}, "source": ["prose"]},
        ]  # fmt: skip
        text = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (folder / "flow.ipynb").write_text(json.dumps(text))
        return [folder / "flow.ipynb"]

    def read(self, folder):
        cells = notebooks.code(notebooks.read(folder / "flow.ipynb"))
        return list(parameters.of_notebook(folder / "flow.ipynb")), [c["source"] for c in cells]


SUBJECTS = [
    Checkpoints(), RankCheckpoints(), KeptLayers(), Images(), Idx(), Figures(), PaperRecords(),
    Parameters(), Notebooks(),
    Estimators(kflow.KernelFlowClassifier(layers=2, n_fine=4)),
    Estimators(kflow.KernelFlowRegressor(steps=0, nugget=0.1)),
]  # fmt: skip


def spoil(path: Path, damages: str, draw: random.Random, outside: Path) -> str:
    """Damage a file in one way that is apt for its kind; what was done."""
    kinds = {
        "bytes": _bytes, "json": _json, "climbing": _climbing, "safetensors": _safetensors,
        "header": _header, "sealed": _sealed, "bomb": _bomb, "yaml": _yaml, "npz": _npz,
    }  # fmt: skip
    apt = [kind for kind in damages.split() if _is_apt(kind, path)]
    return kinds[draw.choice(apt)](path, draw, outside)


def _is_apt(kind, path):
    text = {"json", "climbing"}
    if kind in text:
        return path.suffix in (".json", ".ipynb")
    if kind == "npz":
        return path.suffix == ".npz"
    return kind != "sealed" or checkpoint.is_manifest(path)


def _bytes(path, draw, outside):
    raw = bytearray(path.read_bytes())
    what = draw.choice(["cut", "flip", "flip", "empty", "zero", "add", "insert", "pickle", "other",
                        "gone", "swap", "folder", "random"])  # fmt: skip
    at = draw.randrange(len(raw))
    if what == "cut":
        raw = raw[:at]
    elif what == "flip":
        for _ in range(draw.choice([1, 1, 3])):
            raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    elif what == "empty":
        raw = bytearray()
    elif what == "zero":
        raw[at : at + 16] = bytes(len(raw[at : at + 16]))
    elif what == "add":
        raw += draw.randbytes(draw.choice([1, 100]))
    elif what == "insert":
        raw[at:at] = draw.randbytes(3)
    elif what == "pickle":
        raw = pickle.dumps(Trap(outside / "executed"))
    elif what == "other":
        raw = draw.choice(
            [b"\x89PNG\r\n\x1a\n", b"\x1f\x8b\x08", b"PK\x03\x04", b"\xff\xfe", b"{", b"[1"]
        )
    elif what == "swap":
        half = len(raw) // 2
        raw = raw[half:] + raw[:half]
    elif what == "random":
        raw = draw.randbytes(200)
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what != "gone":
        path.write_bytes(raw)
    return what


HOSTILE = [
    None, True, -1, 0, 1e308, 10**400, "", "x", "../../etc/passwd", "/etc/passwd", [], {}, [[]],
    "__import__('os').system('true')", "<script>alert(1)</script>", {"a": [{}]}, 1.5, "nan", 2**63,
]  # fmt: skip


def _changed(value, draw):
    """A structure with one of its parts replaced, removed, renamed or nested deeply."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(sorted(value))
        if draw.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        if draw.random() < 0.1:
            return {("../" + k if k == key else k): v for k, v in value.items()}
        return value | {key: _changed(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.85:
        at = draw.randrange(len(value))
        return [*value[:at], _changed(value[at], draw), *value[at + 1 :]]
    return draw.choice(HOSTILE)


def _json(path, draw, outside):
    what = draw.choice(["change"] * 6 + ["deep", "number", "nan", "twice", "huge"])
    if what == "change":
        path.write_text(json.dumps(_changed(json.loads(path.read_text()), draw)))
    else:
        path.write_text({
            "deep": "[" * 100_000, "number": '{"slug": 1e999999, "files": {}}',
            "nan": '{"quantities": {"a": {"value": NaN, "kind": "exact"}}, "data": {}}',
            "twice": '{"cells": [], "cells": 3}', "huge": '{"a": ' + "9" * 5000 + "}",
        }[what])  # fmt: skip
    return f"json {what}"


def _climbing(path, draw, outside):
    record = json.loads(path.read_text())
    (outside / "secret").write_text("secret")
    name = draw.choice([f"../../{outside.name}/secret", str(outside / "secret"), "..", "."])
    record["files"] = {name: records.sha256(outside / "secret")}
    record["data"] = {"file": name}
    path.write_text(json.dumps(record))
    return "a name that climbs"


def _safetensors(path, draw, outside):
    raw = path.read_bytes()
    what = draw.choice(["length", "offsets", "dtype", "many"])
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    if what == "length":
        length = draw.choice([0, 1, length - 1, length + 1, len(raw), 2**31, 2**63, 2**64 - 1])
        path.write_bytes(length.to_bytes(8, "little") + raw[8:])
        return "safetensors length"
    name = draw.choice([n for n in header if n != "__metadata__"])
    if what == "offsets":
        header[name]["data_offsets"][draw.randrange(2)] = draw.choice([0, 1, -1, 2**40, 2**63])
    elif what == "dtype":
        header[name][draw.choice(["dtype", "shape"])] = draw.choice(
            ["F32", "I64", [1], [2**40], []]
        )
    else:
        header |= {f"{name}{i}": header[name] for i in range(1000)}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    return f"safetensors {what}"


def _header(path, draw, outside):
    """Settings that are wrong and sealed all the same, as by somebody who means harm."""
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {k: file.get_tensor(k).clone() for k in file.keys()}  # noqa: SIM118
    if draw.random() < 0.3:
        name = draw.choice(sorted(tensors))
        tensors[name] = draw.choice(
            [
                tensors[name].reshape(-1)[:0],
                tensors[name] * float("nan"),
                torch.zeros(3),
                torch.ones(2, 2).long(),
            ]
        )
    else:
        metadata["facts"] = json.dumps(_changed(json.loads(metadata["facts"]), draw))
    metadata["digest"] = seal(tensors, metadata["facts"])
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata)
    return "settings that were sealed again"


def _sealed(path, draw, outside):
    import hashlib

    text = json.dumps(_changed(json.loads(json.loads(path.read_text())["text"]), draw))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps({"text": text, "digest": digest}))
    return "a manifest that was sealed again"


def _bomb(path, draw, outside):
    zeros = bytes(2**22)
    pack = {".gz": gzip.compress, ".xz": lzma.compress, "": bytes}[path.suffix]
    path.write_bytes(pack(zeros) * 30)  # 120 MB, of members one after another
    return "what unpacks to far more"


def _yaml(path, draw, outside):
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
    )
    texts = {
        "aliases": laughs, "an alias": "n: &a 4\nname: *a\n", "a list of them": "n: [*a]",
        "laughs as a value": laughs + "n: *a29\n", "laughs alone": laughs.replace("a0: ", "- ", 1),
        "python": f"n: !!python/object/apply:os.system ['touch {outside}/executed']",
        "expression": f"n: !!python/name:open\nname: \"open('{outside}/executed', 'w')\"",
        "deep": "n: " + "[" * 20_000, "huge": "n: " + "9" * 5000, "keys": "1: 2\n[3]: 4\n",
        "list": "- 1\n- 2\n", "text": "words", "null": "~", "two documents": "n: 1\n---\nn: 2\n",
        "merge": "n: 1\n<<: {name: b}\n", "date": "n: 2026-11-26", "binary": "n: !!binary aGk=",
        "large": "n: 4 #" + "x" * 70_000, "set": "n: !!set {a, b}", "recursive": "n: &a [*a]",
        "number keys": "3: 4\n", "null key": "~: 4\n", "nan": "n: .nan", "inf": "n: .inf",
        "sexagesimal": "n: 1:30", "twice": "n: 1\nn: 2\n",
    }  # fmt: skip
    what = draw.choice(sorted(texts))
    path.write_text(texts[what])
    return f"yaml {what}"


def _npz(path, draw, outside):
    np.savez(path, x=np.array([Trap(outside / "executed")], dtype=object))
    return "an array that is a pickle"


def try_case(seed: int, number: int) -> tuple[str, Verdict, list[str]]:
    """Make a good file, spoil it, read it."""
    draw = random.Random(f"files/{seed}/{number}")
    subject = draw.choice(SUBJECTS)
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder, outside = Path(place) / "inside", Path(place) / "outside"
        folder.mkdir()
        outside.mkdir()
        files = subject.make(folder)
        unspoilt = Path(place) / "unspoilt"
        good = _read_apart(subject, folder, unspoilt)
        done = [spoil(draw.choice(files), subject.damages, draw, outside)]
        if draw.random() < 0.3 and len(files) > 1:
            other = draw.choice(files)
            if other.is_file() and other.stat().st_size:
                with contextlib.suppress(ValueError, KeyError):  # the same file, no JSON any more
                    done.append(spoil(other, "bytes", draw, outside))
        before = sorted(p.name for p in outside.iterdir())
        began = time.monotonic()
        call = Call(
            f"reading a {subject.name}",
            {"folder": folder},
            subject.read,
            None,
            ("nbformat",),
            False,
        )
        content = []

        def check(result, folder):
            content.append(fingerprint(result))
            other = any("sealed again" in what for what in done) or not subject.sealed
            return None if content[0] == good or other else "other content, in silence"

        call.check = check
        verdict = judge(call, twice=False)
        if sorted(p.name for p in outside.iterdir()) != before:
            verdict = Verdict("found", f"{call.name} wrote outside of its folder")
        if time.monotonic() - began > LIMIT:
            verdict = Verdict("found", f"{call.name} took {time.monotonic() - began:.0f} s")
    return subject.name, verdict, done


def _read_apart(subject, folder, copy):
    """What the unspoilt files hold; reading a checkpoint goes on with it, so on a copy."""
    import shutil

    shutil.copytree(folder, copy)
    good = fingerprint(subject.read(folder))
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)
    return good


def run(seed: int, count: int | None = None, seconds: float | None = None) -> Tally:
    """So many files, or as many as the time allows."""
    tally, began, number = Tally(seed), time.monotonic(), 0
    while (count is None or number < count) and (
        seconds is None or time.monotonic() - began < seconds
    ):
        tally.add(number, *try_case(seed, number))
        number += 1
    return tally
