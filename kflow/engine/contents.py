"""What a kernel or a step rule holds, as a digest that is the same in every process."""

import copyreg
import inspect
from collections.abc import Iterator
from hashlib import blake2b
from types import CodeType, FunctionType, ModuleType

import torch
from torch import Tensor

from kflow.engine.checkpoint import digest

PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)


def digest_of(value) -> str:
    """A digest of an object's class, numbers, tensors and settings, and of theirs in turn.

    Of a function: its code, defaults, and the variables that it reads, with the functions of its
    own module. Classes, and functions of other modules that it calls, count by their names.
    """
    found = blake2b(digest_size=8)
    for text in _texts(value, {}):
        found.update(f"{len(text)} {text}".encode())
    return found.hexdigest()


def _texts(value, seen: dict[int, object]) -> Iterator[str]:
    """The texts that tell a value from others; `seen` are the objects met before, by their ids."""
    if type(value) in PLAIN:
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, Tensor):
        yield f"tensor {digest(value.to_dense())}"
    elif isinstance(value, torch.device):
        yield value.type  # of ranks, each has its own number
    elif isinstance(value, type | ModuleType):
        yield _named(value)
    elif isinstance(value, tuple):
        yield f"{_named(type(value))} of {len(value)}"
        for each in value:
            yield from _texts(each, seen)
    elif isinstance(value, set | frozenset):
        yield _named(type(value))
        yield from sorted(map(digest_of, value))
    elif isinstance(value, CodeType):
        yield from _texts((value.co_code, value.co_names, value.co_consts), seen)
    elif id(value) in seen:
        yield f"number {[*seen].index(id(value))}"
    else:
        seen[id(value)] = value  # which keeps it, and so its id
        yield from _texts(_of_object(value), seen)


def _of_object(value) -> tuple:
    """What a function, a container or another object consists of."""
    if isinstance(value, FunctionType):
        value = vars(value).get("_torchdynamo_orig_callable", value)  # of a compiled one
        read = inspect.getclosurevars(value)
        own = {k: v for k, v in read.globals.items() if _belongs(v, value.__module__)}
        defaults = (value.__defaults__, value.__kwdefaults__)
        return _named(value), value.__code__, *defaults, read.nonlocals, own
    if isinstance(value, dict):
        return (type(value), *value.items())
    if isinstance(value, list):
        return (type(value), *value)
    if isinstance(value, torch.jit.ScriptModule):
        return type(value), value.state_dict(), value.code
    reduced = copyreg.dispatch_table.get(type(value), lambda value: value.__reduce_ex__(4))
    try:
        made = reduced(value)
    except Exception:  # a lock, a file, whatever says that it cannot be copied
        return (type(value),)
    if isinstance(made, str):
        return type(value), made
    by, args, *more = made  # then a state, and iterators over items of a list and of a dict
    return (
        _named(by),
        args,
        *(list(part) if isinstance(part, Iterator) else part for part in more),
    )


def _belongs(value, module: str) -> bool:
    """Whether a global variable is a setting, or a function of the same module."""
    if isinstance(value, FunctionType):
        return value.__module__ == module
    return not isinstance(value, type | ModuleType)


def _named(value) -> str:
    name = getattr(value, "__qualname__", getattr(value, "__name__", type(value).__qualname__))
    return f"{getattr(value, '__module__', None)}.{name}"
