"""Does a test notice when a formula of kflow is changed? Each is changed in turn, and counted.

    python -m tests.stress.mutation [MODULE ...] [--seed S] [--share P] [--seconds S]

No file is changed. A module's tests are collected once; for each mutant a fork of that process puts
the changed function in place of the old one and runs the tests that reach its lines, the fastest
first. What survives that, or lies outside of functions, is judged by tests that import it anew.
The reasons for which a survivor is accepted are in survivors.toml, by its changed line.
"""

import argparse
import gc
import importlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType

import hypothesis
import jaxtyping
import pytest
import scipy.integrate  # noqa: F401  imported once, in the parent
import torch

from tests.stress.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "book/records/stress/mutation.json"
REASONS = Path(__file__).with_name("survivors.toml")
FLOW = ("test_flow", "test_transport", "test_memory")
LEARNING = tuple(
    f"learning/test_{name}" for name in ("kernels", "criteria", "nugget", "posterior", "learn")
)
TESTS = {
    "kernels": ("test_kernels", "test_game", "learning/test_kernels"),
    "interpolation": ("test_interpolation", "test_game", "test_flow"),
    "game": ("test_game", "test_ode", "test_flow"),
    "steps": ("test_steps",),
    "flow": FLOW,
    "engine/transport": FLOW,
    "ode": ("test_ode", "test_fluctuations"),
    "fluctuations": ("test_fluctuations",),
    "classify": ("test_classify",),
    "expectation": ("test_ode", "test_fluctuations"),
    "learning/combine": LEARNING,
    "learning/criteria": LEARNING,
    "learning/descent": LEARNING,
    "learning/gram": LEARNING,
    "learning/kernels": LEARNING,
    "learning/learn": LEARNING,
    "learning/nugget": LEARNING,
    "learning/parametric": LEARNING,
    "learning/posterior": LEARNING,
    "learning/storage": ("test_regressor", "test_classifier"),
}
OPTIONS = ("-x", "-s", "-p", "no:cacheprovider", "-p", "no:terminal", "-o", "addopts=")
SLOW = 5.0  # seconds; tests that take longer are not asked
MEMORY = 4 * 2**30
SURVIVED, KILLED, NOT_TRIED = 0, 1, 3  # exit statuses of a child


class Trials:
    """A plugin of pytest that tries the mutants of one module on the tests it has collected."""

    def __init__(self, module: str, chosen: list[Mutant], ends: float):
        self.name, self.chosen, self.ends = f"kflow.{module.replace('/', '.')}", chosen, ends
        self.path = str(ROOT / f"kflow/{module}.py")
        self.lines, self.skipped, self.checked = set(), False, False
        self.survivors, self.tried, self.timed_out = [], 0, 0

    def trace(self, frame, event, argument):
        """Note the lines of the module that run."""
        if frame.f_code.co_filename == self.path:
            self.lines.add(frame.f_lineno)
            return self.trace

    def pytest_runtest_logreport(self, report):
        """A failed test kills the mutant."""
        self.skipped |= report.skipped
        if report.failed:
            print(report.nodeid, report.longreprtext, file=sys.stderr, flush=True)
            os._exit(KILLED)

    def pytest_runtestloop(self, session):
        """Try all mutants, in place of running the tests."""
        sys.settrace(None)
        self.items, self.at_import = {item.nodeid: item for item in session.items}, self.lines
        self.functions = [
            f for f in gc.get_objects()
            if type(f) is FunctionType and f.__code__.co_filename == self.path
        ]  # fmt: skip
        self.cost, self.reached = self.clean()
        for mutant in self.chosen:
            if time.monotonic() > self.ends:
                break
            status, reached = self.fate(mutant)
            self.tried += 1
            self.timed_out += status == -signal.SIGALRM
            if status == SURVIVED:
                self.survivors.append((mutant, reached))
                print(f"  {mutant.line}: {mutant.was}\n   -> {mutant.becomes}", flush=True)
        return True

    def fate(self, mutant: Mutant) -> tuple[int, bool]:
        """How its trial ended, and whether any test reaches it."""
        lines, names = set(mutant.lines), sorted(self.cost, key=self.cost.get)
        if mutant.function and not self.at_import & lines:
            names = [name for name in names if self.reached[name] & lines]
        if not names:
            return SURVIVED, False
        if mutant.function:
            status = self.fork(lambda: self.swapped(mutant, names), self.limit(names))
            if status not in (SURVIVED, NOT_TRIED):
                return status, True
        if not self.checked and self.fork(lambda: self.anew(None, [*self.cost]), 600) != SURVIVED:
            raise RuntimeError(f"the tests of {self.name} fail when imported anew")
        self.checked = True
        status = self.fork(lambda: self.anew(mutant, names), self.limit(names) + 30)
        if status == NOT_TRIED:
            raise RuntimeError(f"a mutant was not imported: {mutant.becomes}")
        return status, True

    def limit(self, names) -> float:
        """Seconds after which a mutant counts as killed."""
        return max(10, 5 * sum(self.cost[name] for name in names))

    def fork(self, work, limit: float, quiet: bool = True) -> int:
        """The exit status of work in a child; minus a signal where one ended it."""
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            status = NOT_TRIED
            try:
                signal.setitimer(signal.ITIMER_REAL, limit)
                resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
                null = os.open(os.devnull, os.O_RDWR)
                for stream in (1, 2) if quiet else (1,):
                    os.dup2(null, stream)
                status = work()
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def clean(self) -> tuple[dict, dict]:
        """The seconds of each test, and the lines that it reaches."""
        with tempfile.TemporaryFile("w+") as found:

            def work():
                for item, following in self.pairs(list(self.items)):
                    self.lines, self.skipped, started = set(), False, time.perf_counter()
                    sys.settrace(self.trace)
                    item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
                    sys.settrace(None)
                    seconds = time.perf_counter() - started
                    if not self.skipped and seconds < SLOW:
                        found.write(json.dumps([item.nodeid, seconds, sorted(self.lines)]) + "\n")
                found.flush()
                return SURVIVED

            if self.fork(work, 600, quiet=False) != SURVIVED:
                raise RuntimeError(f"the tests of {self.name} fail without a mutant")
            found.seek(0)
            rows = [json.loads(row) for row in found]
        return {name: t for name, t, _ in rows}, {name: set(lines) for name, _, lines in rows}

    def pairs(self, names):
        """Each test, and the one that follows."""
        items = [self.items[name] for name in names]
        return zip(items, [*items[1:], None], strict=True)

    def swapped(self, mutant: Mutant, names: list[str]) -> int:
        """The tests of these names with the changed function in place of the old one."""
        (code,) = (
            each
            for each in _codes(compile(mutant.source, self.path, "exec"))
            if each.co_qualname == mutant.function
        )
        old = [f for f in self.functions if f.__code__.co_qualname == mutant.function]
        if not old or any(f.__code__.co_freevars != code.co_freevars for f in old):
            return NOT_TRIED
        for function in old:
            function.__code__ = code
        for item, following in self.pairs(names):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        return SURVIVED

    def anew(self, mutant: Mutant | None, names: list[str]) -> int:
        """The tests of these names in a process that imports kflow, and the mutant in it, anew."""
        _forget()
        get_code, used = SourceFileLoader.get_code, []

        def mutated(loader, name):
            if name != self.name or mutant is None:
                return get_code(loader, name)
            used.append(name)
            return loader.source_to_code(mutant.source.encode(), self.path)

        SourceFileLoader.get_code = mutated
        status = pytest.main([*OPTIONS, *names])
        if status == pytest.ExitCode.NO_TESTS_COLLECTED or (mutant and not used):
            return NOT_TRIED
        return SURVIVED if status == pytest.ExitCode.OK else KILLED


def _codes(code: CodeType):
    """A code and all that it holds."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def attempt(module: str, seed: int, share: float, ends: float) -> dict:
    """What became of the mutants of a module, or of a part of them that the seed draws."""
    found = mutants((ROOT / f"kflow/{module}.py").read_text())
    chosen = random.Random(seed).sample(found, round(share * len(found)))
    trials = Trials(module, chosen, ends)
    sys.settrace(trials.trace)
    files = [f"tests/{name}.py" for name in (*TESTS[module], "test_signatures")]
    status = pytest.main([*OPTIONS, *files], [trials])
    sys.settrace(None)
    if status != pytest.ExitCode.OK:
        raise SystemExit(f"the tests of {module} could not be run: {status!r}")
    reasons = tomllib.loads(REASONS.read_text()).get(module, {}) if REASONS.exists() else {}
    survivors = [
        {
            "line": mutant.line,
            "was": mutant.was,
            "is": mutant.becomes,
            "reason": reasons.get(mutant.becomes, "" if reached else reasons.get(mutant.was, "")),
        }
        for mutant, reached in sorted(trials.survivors, key=lambda pair: pair[0].line)
    ]
    return {
        "of": len(found),
        "mutants": trials.tried,
        "killed": trials.tried - len(survivors),
        "timed_out": trials.timed_out,
        "survivors": survivors,
    }


def main():
    """Try the mutants, print the table, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="to stop after")
    parser.add_argument("--record", type=Path, default=RECORD)
    given = parser.parse_args()
    _prepare()
    ends = time.monotonic() + given.seconds
    modules = json.loads(given.record.read_text())["modules"] if given.record.exists() else {}
    for module in given.modules or TESTS:
        started = time.monotonic()
        _forget()
        found = modules[module] = attempt(module, given.seed, given.share, ends)
        print(
            f"{module}: {found['killed']} of {found['mutants']} killed, {found['timed_out']} of "
            f"them by time, {time.monotonic() - started:.0f} s",
            flush=True,
        )
        tried, of = (sum(found[key] for found in modules.values()) for key in ("mutants", "of"))
        provenance = importlib.import_module("kflow.figures.provenance")
        record = {
            "seed": given.seed,
            "processor": provenance.hardware()["cpu"],
            "versions": provenance.versions(),
            "share": tried / of,
            "modules": {name: modules[name] for name in TESTS if name in modules},
        }
        given.record.parent.mkdir(parents=True, exist_ok=True)
        given.record.write_text(json.dumps(record, indent=1) + "\n")


def _prepare():
    """One thread, annotations checked as in the tests, and examples of Hypothesis as they come."""
    os.chdir(ROOT)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    torch.set_num_threads(1)
    every = list(hypothesis.HealthCheck)
    hypothesis.settings.register_profile(
        "mutation", database=None, derandomize=True, deadline=None, suppress_health_check=every,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )  # fmt: skip
    hypothesis.settings.load_profile("mutation")
    checker = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
    jaxtyping.install_import_hook(["kflow"], checker)


def _forget():
    """Let kflow and its tests be imported anew."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("kflow", "tests")]:
        del sys.modules[name]


if __name__ == "__main__":
    main()
