"""What a kernel or a rule holds: other contents have another digest, and the same the same."""

import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
import torch

from kflow.engine.contents import digest_of


class Slotted:
    __slots__ = ("a", "me")

    def __init__(self, a):
        self.a, self.me = a, self


def reads_a_global(value):
    space = {"__name__": "own", "torch": torch, "eps": value}
    exec("def inner(g):\n    return eps * g\ndef rule(z, g):\n    return inner(g)", space)
    return space["rule"]


def scripted(seed):
    network = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(network.weight, seed)
    torch.nn.init.zeros_(network.bias)
    return torch.jit.script(network)


def with_a_default(a):
    def rule(z, g, eps=a):
        return eps

    return rule


@pytest.mark.parametrize(
    "make",
    [
        Slotted,
        reads_a_global,
        with_a_default,
        partial(partial, max),
        lambda a: torch.compile(with_a_default(a), backend="eager"),
        lambda a: torch.full((2, 2), float(a)).to_sparse(),
        lambda a: {"k": [a, threading.Lock()]},
        lambda a: frozenset({"a", a, "b"}),
        lambda a: torch.device(("cpu", "cuda")[a]),
        lambda a: np.arange(a + 1),
        lambda a: (np.sin, np.cos)[a],
        lambda a: torch.Generator().manual_seed(a),
        lambda a: torch.nn.BatchNorm1d(2, momentum=0.1 + a),
    ],
)
def test_objects_of_other_settings_have_other_digests(make):
    assert digest_of(make(0)) == digest_of(make(0))
    assert digest_of(make(0)) != digest_of(make(1))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_networks_of_other_weights_have_other_digests():
    assert digest_of(scripted(0)) == digest_of(scripted(0)) != digest_of(scripted(1))


def test_ranks_with_a_device_each_hold_the_same():
    assert digest_of(torch.device("cuda", 0)) == digest_of(torch.device("cuda", 1))


def test_every_process_finds_the_same_digest(monkeypatch):
    code = (
        "import functools, numpy, torch, kflow; from kflow import learning; "
        "from kflow.engine.contents import digest_of; "
        "network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh()); "
        "[p.data.fill_(0.5) for p in network.parameters()]; "
        "kernel = learning.DeepFeatures(network, learning.ARD(kflow.Gaussian, 2)); "
        "rule = functools.partial(lambda z, g, of: numpy.pi, of={'a', 'b', 3}); "
        "print(digest_of([kflow.Gaussian(0.5), kernel.freeze(), rule]))"
    )
    found = set()
    for seed in "12":
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        found.add(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert len(found) == 1
