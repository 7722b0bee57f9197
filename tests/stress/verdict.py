"""What came of one call: a right answer, an error that our own code words, or something found."""

import copy
import hashlib
import linecache
import re
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path

import numpy as np
import torch

import kflow
from kflow.learning import LearningWarning

HOME = str(Path(kflow.__file__).parent)
ERRORS = (TypeError, ValueError, FloatingPointError, OverflowError, MemoryError, OSError)
OURS = (kflow.IntegrationFailed, kflow.NotPositiveDefinite)
WARNED = (
    re.compile(  # besides LearningWarning; the last two are scikit-learn's, which its users know
        r'precision "mixed" needs|is corrupt|valid feature names|fitted without feature names'
    )
)


@dataclass
class Call:
    """A call: `run(**arguments)`; `check(result, **arguments)` says what is wrong with its result.

    What `check` compares with is computed apart from kflow. `manners` are packages whose own
    errors and warnings are documented too: scikit-learn's, of an estimator.
    """

    name: str
    arguments: dict
    run: Callable
    check: Callable | None = None
    manners: tuple[str, ...] = ()
    finite: bool = True
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """`right`, `checked` (right by an independent formula), `refused`, or `found` and why."""

    kind: str
    why: str = ""

    @property
    def key(self) -> str:
        """What is the same for two of one cause, about."""
        return re.sub(r"[-+\d.e]+|\(.*?\)", "#", self.why.splitlines()[0])[:160] if self.why else ""


def judge(call: Call, twice: bool = True) -> Verdict:
    """Make the call and judge what comes of it."""
    before = fingerprint(call.arguments)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            result = call.run(**call.arguments)
        except Exception as error:
            result = error
        if fingerprint(call.arguments) != before:
            return Verdict("found", f"{call.name} changed its arguments")
        for warning in warned:
            if not _documented_warning(warning, call):
                told = f"{warning.category.__name__}: {warning.message}"
                where = f"{Path(warning.filename).name}:{warning.lineno}"
                return Verdict("found", f"{call.name} warned {told} at {where}")
        if isinstance(result, Exception):
            return _of_error(result, call)
        return _of_result(result, call, twice)


def _of_error(error: Exception, call: Call) -> Verdict:
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    ours = [f for f in frames if f.filename.startswith(HOME)]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "nowhere"
    told = f"{call.name} raised {type(error).__name__} at {at} by {where}: {error}"
    known = ERRORS if not isinstance(error, OverflowError) else ()
    if not isinstance(error, (*known, *OURS)):
        return Verdict("found", told)
    if not str(error).strip():
        return Verdict("found", told)
    if isinstance(error, OSError) and (error.filename or "/" in str(error)):
        return Verdict("refused", str(error))  # the system's words, with the file
    if _worded_here(frames[-1]) or any(f"/{m}/" in frames[-1].filename for m in call.manners):
        return Verdict("refused", str(error))
    return Verdict("found", told)


def _worded_here(frame) -> bool:
    """Whether the error was raised by a `raise` of kflow, and not by what it calls."""
    line = linecache.getline(frame.filename, frame.lineno).strip()
    return frame.filename.startswith(HOME) and line.startswith("raise")


def _documented_warning(warning, call) -> bool:
    if issubclass(warning.category, LearningWarning) or WARNED.search(str(warning.message)):
        return True
    return any(f"{m}." in warning.category.__module__ for m in call.manners)


def _of_result(result, call: Call, twice: bool) -> Verdict:
    if call.finite and (bad := not_finite(result)):
        return Verdict("found", f"{call.name} returned {bad} in silence")
    try:
        wrong = call.check(result, **call.arguments) if call.check else None
    except Exception as error:  # the check cannot make sense of arguments that kflow took
        wrong = f"not checked, {type(error).__name__}: {error}"
    if isinstance(wrong, str):
        return Verdict("found", f"{call.name} is wrong: {wrong}")
    if twice:
        again = call.run(**call.arguments)
        if fingerprint(again) != fingerprint(result):
            return Verdict("found", f"{call.name} gave another answer when it was called again")
    return Verdict("checked" if wrong is True else "right")


def leaves(value) -> list:
    """The arrays, tensors and numbers in what a function returned."""
    if isinstance(value, dict):
        return [leaf for part in value.values() for leaf in leaves(part)]
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in leaves(part)]
    if is_dataclass(value) and not isinstance(value, type):
        return [leaf for f in fields(value) for leaf in leaves(getattr(value, f.name, None))]
    return [value]


def not_finite(result) -> str:
    """ "NaN" or "infinity" where a result holds one, else nothing."""
    for leaf in leaves(result):
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
            array = leaf.detach().cpu().double().numpy()
        elif isinstance(leaf, float | np.floating):
            array = np.array(leaf)
        elif isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f":
            array = leaf
        else:
            continue
        if np.isnan(array).any():
            return "NaN"
        if np.isinf(array).any():
            return "infinity"
    return ""


def fingerprint(value) -> str:
    """What two values share that are the same to the bit."""
    sha = hashlib.sha256()
    for leaf in leaves(value):
        sha.update(_bytes(leaf))
    return sha.hexdigest()


def _bytes(leaf) -> bytes:
    if isinstance(leaf, torch.Tensor):
        if leaf.is_meta or leaf.layout != torch.strided or leaf.is_quantized or leaf.is_nested:
            return repr((leaf.layout, leaf.dtype)).encode()
        whole = leaf.detach().cpu().clone(memory_format=torch.contiguous_format).reshape(-1)
        return whole.view(torch.uint8).numpy().tobytes() + repr((leaf.shape, leaf.dtype)).encode()
    if isinstance(leaf, np.ndarray):
        return repr(leaf.tolist() if leaf.dtype.hasobject else "").encode() + leaf.tobytes()
    if hasattr(leaf, "to_csv"):
        return leaf.to_csv().encode()
    if hasattr(leaf, "toarray"):
        return leaf.toarray().tobytes()
    return repr(leaf).encode() if isinstance(leaf, PLAIN) else type(leaf).__name__.encode()


PLAIN = (str, int, float, bool, bytes, complex, type(None), np.generic)


def fresh(arguments: dict) -> dict:
    """Arguments that a call may not share with another."""
    return copy.deepcopy(arguments)
