"""Arguments of one case, ordinary and hostile, all drawn from a seed and the case's number."""

import random
import tempfile
import warnings

import numpy as np
import pandas as pd
import scipy.sparse
import torch

INF = float("inf")
NUMBERS = [
    0, 0.0, -0.0, 1, -1, 1e-3, 1e3, 1e-8, 1e8, float("nan"), INF, -INF, 1e-300, 1e300, 5e-324,
    1e-30, 1e30, -1e300, True, "1.0", "", None, 1j, 10**400, np.float32(0.5), np.float64(2),
    np.int64(3), np.array(0.5), np.array([0.5]), torch.tensor(0.5), torch.tensor([0.5]), [1.0], (),
]  # fmt: skip
INTEGERS = [
    -1, 0, 1, 2, 3, 2.0, 2.5, True, False, "3", None, 10**30, -(2**63), 2**63, float("nan"), INF,
    np.int64(4), np.int32(-2), np.float64(4), np.array(4), torch.tensor(4), [4], 1j,
]  # fmt: skip
VALUES = [
    "nan", "inf", "-inf", "huge", "big", "tiny", "denormal", "small", "offset", "duplicates",
    "near duplicates", "collinear", "constant column", "all equal", "zero", "scales", "one far",
]  # fmt: skip
SHAPES = ["empty", "one row", "two rows", "no columns", "1-D", "3-D", "wider", "longer", "0-D"]
LAYOUTS = ["transposed", "strided", "expanded", "view", "gradient", "mapped", "read-only",
           "inference", "parameter", "fortran"]  # fmt: skip
DTYPES = [
    torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.uint8, torch.bool,
    torch.complex128, torch.float8_e4m3fn,
]  # fmt: skip
KINDS = [
    "numpy", "list", "None", "text", "object", "masked", "sparse", "frame", "frame with NaN",
    "torch sparse", "torch csr", "meta", "number", "longdouble", "quantised", "nested",
]  # fmt: skip
TABLES = [
    "list", "float32", "float16", "longdouble", "int", "bool", "object", "object with None",
    "words", "masked", "sparse", "frame", "frame with NaN", "frame with NA", "frame of words",
    "frame of dates", "frame of categories", "twice named", "fortran", "strided", "read-only",
    "mapped", "complex", "structured", "tensor", "None", "text", "number", "series", "ragged",
    "numbers as text", "frame of bools", "foreign byte order",
]  # fmt: skip
LABELS = [
    "words", "objects", "bool", "one class", "nan", "None", "mixed", "column", "two columns",
    "short", "long", "series", "categories", "masked", "each its own", "floats", "inf", "huge",
    "tiny", "empty", "negative", "bytes", "3-D", "object numbers", "series with NA", "lone",
]  # fmt: skip


class Draw:
    """The generator of one case; `said` lists what is hostile in it."""

    def __init__(self, seed: int, number: int):
        self.random = random.Random(f"{seed}/{number}")
        self.numpy = np.random.default_rng([seed, number])
        self.share = self.random.choice([0, 0, 0.15, 0.3, 0.5])  # of hostile arguments
        self.said: list[str] = []

    def odd(self) -> bool:
        """Whether the next argument is hostile."""
        return self.random.random() < self.share

    def pick(self, values):
        """One of some values."""
        return self.random.choice(list(values))

    def seed(self):
        """A seed that `generator` makes a torch.Generator of, or what is none."""
        if self.odd():
            return self._say("rng", self.pick([None, 0, "seed", np.random.default_rng(0)]))
        return Seed(self.random.randrange(100))

    def number(self, name, low=0.1, high=10.0, hostile=NUMBERS):
        """A positive number, evenly drawn in its logarithm; or a hostile one."""
        if self.odd():
            return self._say(name, self.pick(hostile))
        return float(np.exp(self.numpy.uniform(np.log(low), np.log(high))))

    def nugget(self, name="nugget"):
        """0, or a positive number, or a hostile one."""
        return 0.0 if self.random.random() < 0.3 else self.number(name, 1e-6, 1.0)

    def integer(self, name, low, high, hostile=INTEGERS):
        """An integer from low to high; or a hostile one."""
        if self.odd():
            return self._say(name, self.pick([*hostile, low - 1, high + 1]))
        return self.random.randint(low, high)

    def choice(self, name, values):
        """One of the values, or none of them."""
        if self.odd():
            return self._say(name, self.pick(["other", None, 0, 1.5, [], b"x"]))
        return self.pick(values)

    def flag(self, name):
        """True or False, or neither."""
        if self.odd():
            return self._say(name, self.pick([0, 1, None, "yes", 2]))
        return self.random.random() < 0.5

    def sizes(self):
        """n, d, c: points, features, outputs."""
        return self.random.randint(2, 12), self.random.randint(1, 5), self.random.randint(1, 3)

    def points(self, name, n, d):
        """A tensor (n, d); or what is none, or one of a strange layout, dtype, shape or content."""
        values = self._normal(n, d)
        if not self.odd():
            return torch.from_numpy(values).to(self.pick([torch.float64, torch.float32]))
        kind = self.pick(["values"] * 4 + ["shape"] * 2 + ["layout"] * 2 + ["dtype", "type"])
        how = {
            "values": VALUES, "shape": SHAPES, "layout": LAYOUTS, "dtype": DTYPES, "type": KINDS,
        }[kind]  # fmt: skip
        what = self.pick(how)
        self._say(name, what)
        if kind == "values":
            spoilt = torch.from_numpy(self.spoilt(values, what))
            return spoilt.to(self.pick([torch.float64, torch.float64, torch.float32]))
        if kind == "shape":
            return torch.from_numpy(self._shaped(values, what))
        if kind == "dtype":
            return (torch.from_numpy(values) * self.pick([1, 1, 100])).to(what)
        return self._laid(values, what) if kind == "layout" else self._typed(values, what)

    def labels(self, name, n, c):
        """A tensor of labels (n, c): +1 and -1, one-hot, or real numbers; or a hostile one."""
        if self.odd():
            return self.points(name, n, c) if self.odd() else self._spoilt_labels(name, n, c)
        kind = self.random.random()
        if kind < 0.4:
            return torch.from_numpy(self._normal(n, c))
        hot = np.eye(c)[self.numpy.integers(c, size=n)] if c > 1 else np.ones((n, 1))
        if c == 1:
            hot[: n // 2] = -1
        return torch.from_numpy(hot).to(self.pick([torch.float64, torch.float32]))

    def _spoilt_labels(self, name, n, c):
        what = self._say(name, self.pick(VALUES))
        return torch.from_numpy(self.spoilt(self._normal(n, c), what))

    def coarse(self, n):
        """Positions of a proper part of n points, or hostile ones."""
        some = torch.randperm(n, generator=torch.Generator().manual_seed(self.random.randrange(99)))
        some = some[: self.random.randint(1, max(1, n // 2))]
        if not self.odd():
            return some
        hostile = [
            some.int(), some.double(), some - 1, some + n, torch.cat([some, some]), some[:0],
            some.tolist(), some.numpy(), None, some[None], torch.arange(n), some.bool(), some[0],
            torch.full((1,), -(2**63)),
        ]  # fmt: skip
        return self._say("coarse", self.pick(hostile))

    def spoilt(self, values, what):
        """The values with something hostile in them."""
        values = values.copy()
        n = len(values)
        row, column = self.random.randrange(n), self.random.randrange(values.shape[1])
        if what in ("nan", "inf", "-inf", "huge", "denormal"):
            number = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "huge": 1e300}
            values[row, column] = number.get(what, 5e-324)
        elif what in ("big", "tiny", "small"):
            values *= {"big": self.pick([1e10, 1e30, 1e160]), "tiny": 1e-300, "small": 1e-20}[what]
        elif what == "offset":
            values += self.pick([1e4, 1e8, 1e15, -1e12])
        elif what == "duplicates":
            values[row] = values[row - 1]
        elif what == "near duplicates":
            values[row] = values[row - 1] * (1 + self.pick([1e-15, 1e-9, 1e-5]))
        elif what == "collinear":
            values = np.outer(np.arange(n), values[0])
        elif what == "constant column":
            values[:, column] = self.pick([0.0, 3.0, 1e8])
        elif what in ("all equal", "zero"):
            values[:] = values[0] if what == "all equal" else 0
        elif what == "scales":
            values *= 10.0 ** self.numpy.integers(-12, 12, size=values.shape[1])
        elif what == "one far":
            values[row] *= self.pick([1e3, 1e6, 1e12, 1e160])
        return values

    def _normal(self, n, d):
        scale = self.pick([1.0, 1.0, 1.0, 0.1, 5.0])
        return scale * self.numpy.normal(size=(n, d))

    def _say(self, name, what):
        self.said.append(f"{name}: {what!r}"[:200])
        return what

    def _shaped(self, values, what):
        return {
            "empty": values[:0], "one row": values[:1], "two rows": values[:2],
            "no columns": values[:, :0], "1-D": values[:, 0], "3-D": values[None],
            "wider": np.hstack([values, values[:, :1]]), "longer": np.vstack([values, values[:1]]),
            "0-D": np.array(values.flat[0]),
        }[what]  # fmt: skip

    def _laid(self, values, what):
        whole = torch.from_numpy(values)
        if what == "transposed":
            return torch.from_numpy(values.T.copy()).T
        if what == "fortran":
            return torch.from_numpy(np.asfortranarray(values))
        if what == "strided":
            return whole.repeat_interleave(2, 0).repeat_interleave(2, 1)[::2, ::2]
        if what == "expanded":
            return whole[:1].expand(len(whole), -1)
        if what == "view":
            return torch.cat([whole[:1], whole])[1:]
        if what == "gradient":
            return whole.clone().requires_grad_()
        if what == "parameter":
            return torch.nn.Parameter(whole)
        if what == "inference":
            with torch.inference_mode():
                return whole.clone()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says that it writes; whether it does is tried
            return torch.from_numpy(mapped(values) if what == "mapped" else locked(values))

    def _typed(self, values, what):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that sparse and nested tensors are new in torch
            return self._of_kind(values, what)

    def _of_kind(self, values, what):
        whole = torch.from_numpy(values)
        holes = pd.DataFrame(values)
        holes.iloc[0, 0] = np.nan
        makers = {
            "numpy": lambda: values, "list": values.tolist, "None": lambda: None,
            "text": lambda: "points", "object": lambda: values.astype(object),
            "masked": lambda: np.ma.masked_greater(values, 0.5),
            "sparse": lambda: scipy.sparse.csr_matrix(values),
            "frame": lambda: pd.DataFrame(values), "frame with NaN": lambda: holes,
            "torch sparse": whole.to_sparse, "torch csr": whole.to_sparse_csr,
            "meta": lambda: whole.to("meta"), "number": lambda: 3.0,
            "longdouble": lambda: values.astype(np.longdouble),
            "quantised": lambda: torch.quantize_per_tensor(whole.float(), 0.1, 0, torch.qint8),
            "nested": lambda: torch.nested.nested_tensor([whole[0], whole[-1]]),
        }  # fmt: skip
        return makers[what]()

    def table(self, name, n, d):
        """What an estimator is given as X: an array (n, d), or anything else."""
        values = self._normal(n, d)
        if not self.odd():
            return values
        kind = self.pick(["values", "values", "shape", "kind", "kind"])
        what = self.pick({"values": VALUES, "shape": SHAPES, "kind": TABLES}[kind])
        self._say(name, what)
        if kind == "values":
            return self.spoilt(values, what)
        return self._shaped(values, what) if kind == "shape" else self._tabled(values, what)

    def _tabled(self, values, what):
        n, d = values.shape
        frame = pd.DataFrame(values, columns=[f"c{i}" for i in range(d)])
        words = np.array([self.pick("abc") for _ in range(n)])
        holes = frame.copy()
        holes.iloc[n // 2, 0] = np.nan
        objects = values.astype(object)
        objects[0, 0] = None
        structured = np.array([(v,) for v in values[:, 0]], dtype=[("a", float)])
        makers = {
            "list": values.tolist, "float32": lambda: values.astype(np.float32),
            "float16": lambda: values.astype(np.float16),
            "longdouble": lambda: values.astype(np.longdouble),
            "int": lambda: (10 * values).astype(int), "bool": lambda: values > 0,
            "object": lambda: values.astype(object), "object with None": lambda: objects,
            "words": lambda: np.column_stack([words, words]),
            "masked": lambda: np.ma.masked_greater(values, 0.5),
            "sparse": lambda: scipy.sparse.csr_matrix(values),
            "frame": lambda: frame, "frame with NaN": lambda: holes,
            "frame with NA": lambda: holes.convert_dtypes(),
            "frame of words": lambda: frame.assign(w=words),
            "frame of dates": lambda: frame.assign(t=pd.date_range("2026-01-01", periods=n)),
            "frame of categories": lambda: frame.assign(w=pd.Categorical(words)),
            "twice named": lambda: frame.set_axis(["a"] * d, axis=1),
            "fortran": lambda: np.asfortranarray(values),
            "strided": lambda: np.repeat(values, 2, 0)[::2],
            "read-only": lambda: locked(values), "mapped": lambda: mapped(values),
            "complex": lambda: values + 1j, "structured": lambda: structured,
            "tensor": lambda: torch.from_numpy(values), "None": lambda: None,
            "text": lambda: "table", "number": lambda: 3.0, "series": lambda: frame["c0"],
            "ragged": lambda: [[1.0], [1.0, 2.0]],
            "numbers as text": lambda: values.astype(str),
            "frame of bools": lambda: frame > 0,
            "foreign byte order": lambda: values.astype(values.dtype.newbyteorder()),
        }  # fmt: skip
        return makers[what]()

    def classes(self, n):
        """Labels of classes (n,), or what else one may be given."""
        plain = self.numpy.integers(self.random.randint(2, 3), size=n)
        plain[:2] = 0, 1
        return self._labelled(plain, plain.astype(float)) if self.odd() else plain

    def targets(self, n):
        """Labels of a regression (n,) or (n, 2), or what else one may be given."""
        plain = self.numpy.normal(size=n)
        if self.odd():
            return self._labelled((plain > 0).astype(int), plain)
        return np.column_stack([plain, plain**2]) if self.random.random() < 0.3 else plain

    def _labelled(self, classes, floats):
        what = self._say("y", self.pick(LABELS))
        spoilt = floats.copy()
        spoilt[len(floats) // 2] = {"nan": np.nan, "inf": np.inf, "huge": 1e300}.get(what, 0.0)
        words = np.array(["a", "bcd", "é", "d"])[classes]
        objects = words.astype(object)
        mixed = objects.copy()
        mixed[0] = 1
        nothing = objects.copy()
        nothing[0] = None
        lone = np.zeros(len(classes), dtype=int)
        lone[-1] = 1
        makers = {
            "words": lambda: words, "objects": lambda: objects, "bool": lambda: classes > 0,
            "one class": lambda: np.zeros_like(classes), "None": lambda: self.pick([None, nothing]),
            "mixed": lambda: mixed, "column": lambda: classes[:, None],
            "two columns": lambda: np.column_stack([classes, classes]),
            "short": lambda: classes[:-1], "long": lambda: np.append(classes, 0),
            "series": lambda: pd.Series(classes, index=range(5, 5 + len(classes))),
            "categories": lambda: pd.Series(pd.Categorical(words)),
            "masked": lambda: np.ma.masked_equal(classes, 1),
            "each its own": lambda: np.arange(len(classes)), "floats": lambda: floats + 0.25,
            "tiny": lambda: floats * 1e-300, "empty": lambda: classes[:0],
            "negative": lambda: -classes, "bytes": lambda: np.char.encode(words, "utf-8"),
            "3-D": lambda: classes[:, None, None], "object numbers": lambda: floats.astype(object),
            "series with NA": lambda: pd.Series([None, *classes[1:].tolist()], dtype="Int64"),
            "lone": lambda: lone,
        }  # fmt: skip
        return makers.get(what, lambda: spoilt)()


class Seed(int):
    """A seed that stands for the torch.Generator of it, so that a call can be made twice."""


def generator(seed):
    """A new generator of a seed; anything else as it is."""
    return torch.Generator().manual_seed(int(seed)) if isinstance(seed, Seed) else seed


def locked(values):
    """An array that cannot be written."""
    values = values.copy()
    values.flags.writeable = False
    return values


def mapped(values):
    """An array in a file that cannot be written."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, values)
        file.flush()
        return np.load(file.name, mmap_mode="r")
