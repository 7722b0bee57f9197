"""Does a test notice when a formula of kflow is changed? Each is changed in turn, and counted.

    python -m tests.stress.mutation [MODULE ...] [--seed S] [--share P] [--seconds S] [--again]

No file is changed. A process imports what kflow needs, but not kflow, and is forked. One fork
collects the tests; for each mutant a fork of that one puts the changed function in place of the old
one and runs the tests of its module that reach its lines, the fastest first. A change outside of
functions, or of what runs at import, is judged by a fork of the first process, which imports it.
The reasons for which a survivor is accepted are in survivors.toml, by its changed line.
"""

import argparse
import gc
import json
import os
import platform
import random
import resource
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType

import hypothesis
import jaxtyping
import pytest
import torch

from tests.stress.mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "book/records/stress/mutation.json"
REASONS = Path(__file__).with_name("survivors.toml")
TESTS = {
    "distances": ("test_kernels", "test_game"),
    "kernels": ("test_kernels", "test_game"),
    "interpolation": ("test_interpolation", "test_game"),
    "energies": ("test_game",),
    "game": ("test_game",),
    "steps": ("test_steps",),
    "flow": ("test_flow", "test_memory"),
    "engine/transport": ("test_transport", "test_flow"),
    "ode": ("test_ode",),
    "fluctuations": ("test_fluctuations",),
    "classify": ("test_classify",),
    "expectation": ("test_ode",),
    "learning/combine": ("learning/test_kernels",),
    "learning/criteria": ("learning/test_criteria",),
    "learning/descent": ("learning/test_learn",),
    "learning/gram": ("learning/test_kernels", "learning/test_criteria"),
    "learning/kernels": ("learning/test_kernels",),
    "learning/learn": ("learning/test_learn",),
    "learning/nugget": ("learning/test_nugget",),
    "learning/parametric": ("learning/test_kernels",),
    "learning/posterior": ("learning/test_posterior",),
    "learning/rho": ("learning/test_criteria",),
    "learning/storage": ("learning/test_storage", "test_regressor", "test_classifier"),
}
OPTIONS = ("-x", "-s", "-p", "no:cacheprovider", "-p", "no:terminal", "-o", "addopts=")
SLOW = 0.8  # seconds of the processor; tests that take longer are not asked
MEMORY = 4 * 2**30
SURVIVED, KILLED, NOT_TRIED = 0, 1, 3  # exit statuses of a child


class Slow(BaseException):
    """A test took longer than it may."""


class Swaps:
    """A plugin of pytest that tries mutants on the tests that it has collected.

    It writes a row for each: the status of the trial, the names of the tests that may tell, and
    whether they must import the mutant to tell.
    """

    def __init__(self, chosen: list[tuple[str, Mutant]], ends: float, slow: float, out):
        self.chosen, self.ends, self.slow, self.out = chosen, ends, slow, out
        self.paths = {_path(module) for module, _ in chosen}
        self.lines, self.left_out = set(), False

    def trace(self, frame, event, argument):
        """Note the lines of the modules that run."""
        if frame.f_code.co_filename in self.paths:
            self.lines.add((frame.f_code.co_filename, frame.f_lineno))
            return self.trace

    def pytest_collectreport(self, report):
        """Say what cannot be collected."""
        if report.failed:
            print(report.nodeid, report.longreprtext, file=sys.stderr, flush=True)

    def pytest_runtest_logreport(self, report):
        """A failed test kills the mutant."""
        self.left_out |= report.skipped
        if report.failed and not self.left_out:
            print(report.nodeid, report.longreprtext, file=sys.stderr, flush=True)
            os._exit(KILLED)

    def pytest_runtestloop(self, session):
        """Try all mutants, in place of running the tests."""
        sys.settrace(None)
        self.items, at_import = {item.nodeid: item for item in session.items}, self.lines
        cost, reached = self.clean()
        self.out.write(json.dumps(cost) + "\n")
        self.functions = [
            f for f in gc.get_objects()
            if type(f) is FunctionType and f.__code__.co_filename in self.paths
        ]  # fmt: skip
        gc.collect()
        gc.freeze()  # no fork looks through what it shares
        for module, mutant in self.chosen:
            if time.monotonic() > self.ends:
                break
            lines = {(_path(module), line) for line in mutant.lines}
            files = _files(module)
            names = [n for n in sorted(cost, key=cost.get) if n.partition("::")[0] in files]
            if mutant.function and not at_import & lines:
                names = [name for name in names if reached[name] & lines]
            status = NOT_TRIED
            if mutant.function and names:
                work = partial(self.swapped, _path(module), mutant, names)
                status = _fork(work, _limit(cost, names))
            again = status == NOT_TRIED or (status == SURVIVED and bool(at_import & lines))
            self.out.write(json.dumps([status, names, again]) + "\n")
            self.out.flush()
        return True

    def clean(self) -> tuple[dict, dict]:
        """The seconds of each test, and the lines that it and its fixtures reach, without a mutant.

        Each sets up its own fixtures, else only the first of those that share one would reach it.
        """
        with tempfile.TemporaryFile("w+") as found:

            def slow(*_):
                self.left_out = True
                raise Slow

            def work():
                signal.signal(signal.SIGPROF, slow)
                for item in self.items.values():
                    self.lines, self.left_out, started = set(), False, time.process_time()
                    sys.settrace(self.trace)
                    signal.setitimer(signal.ITIMER_PROF, self.slow)
                    try:
                        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
                    except Slow:
                        pass
                    signal.setitimer(signal.ITIMER_PROF, 0)
                    sys.settrace(None)
                    if not self.left_out:
                        seconds = time.process_time() - started
                        row = [item.nodeid, seconds, sorted(self.lines)]
                        found.write(json.dumps(row) + "\n")
                found.flush()
                return SURVIVED

            if _fork(work, quiet=False) != SURVIVED:
                raise RuntimeError("the tests fail without a mutant")
            found.seek(0)
            rows = [json.loads(row) for row in found]
        cost = {name: seconds for name, seconds, _ in rows}
        return cost, {name: {tuple(line) for line in lines} for name, _, lines in rows}

    def pairs(self, names):
        """Each test, and the one that follows."""
        items = [self.items[name] for name in names]
        return zip(items, [*items[1:], None], strict=True)

    def swapped(self, path: str, mutant: Mutant, names: list[str]) -> int:
        """The tests of these names with the changed function in place of the old one."""
        (code,) = (
            each
            for each in _codes(compile(mutant.source, path, "exec"))
            if each.co_qualname == mutant.function
        )
        old = [
            f for f in self.functions
            if (f.__code__.co_filename, f.__code__.co_qualname) == (path, mutant.function)
        ]  # fmt: skip
        if not old or any(f.__code__.co_freevars != code.co_freevars for f in old):
            return NOT_TRIED
        for function in old:
            function.__code__ = code
        for item, following in self.pairs(names):
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        return SURVIVED


class _Said:
    """What failed, on stderr."""

    def pytest_collectreport(self, report):
        if report.failed:
            print(report.nodeid, report.longreprtext, file=sys.stderr, flush=True)

    pytest_runtest_logreport = pytest_collectreport


def _imported(module: str, mutant: Mutant | None, names: list[str]) -> int:
    """The tests of these names in a process that imports the mutant in place of the module."""
    get_code, used, path = SourceFileLoader.get_code, [], _path(module)

    def mutated(loader, name):
        if mutant is None or loader.path != path:
            return get_code(loader, name)
        used.append(name)
        return loader.source_to_code(mutant.source.encode(), path)

    SourceFileLoader.get_code = mutated
    status = pytest.main([*OPTIONS, *names], [_Said()])
    if status == pytest.ExitCode.NO_TESTS_COLLECTED or (mutant and not used):
        return NOT_TRIED
    return SURVIVED if status == pytest.ExitCode.OK else KILLED


def _codes(code: CodeType):
    """A code and all that it holds."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _path(module: str) -> str:
    return str(ROOT / f"kflow/{module}.py")


def _files(module: str) -> list[str]:
    return [f"tests/{name}.py" for name in (*TESTS[module], "test_signatures")]


def _limit(cost: dict, names) -> float:
    """Seconds of the processor after which a mutant counts as killed."""
    return max(10, 5 * sum(cost[name] for name in names))


def _fork(work, limit: float | None = None, quiet: bool = True) -> int:
    """The exit status of work in a child; minus a signal where one ended it."""
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        status = NOT_TRIED
        try:
            if limit:
                signal.setitimer(signal.ITIMER_PROF, limit)  # of the processor
                signal.setitimer(signal.ITIMER_REAL, 6 * limit)
                resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            if quiet:
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, 1), os.dup2(null, 2)
            status = work()
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def draw(modules, seed: int, share: float) -> tuple[list[tuple[str, Mutant]], dict]:
    """Mutants of some modules, in a random order, and how many each has in all."""
    every = [(m, mutant) for m in modules for mutant in mutants(Path(_path(m)).read_text())]
    drawn = random.Random(seed).sample(every, round(share * len(every)))
    return drawn, Counter(module for module, _ in every)


def attempt(chosen: list[tuple[str, Mutant]], ends: float, slow: float = SLOW) -> dict:
    """What became of some mutants, by module."""
    modules = dict.fromkeys(module for module, _ in chosen)
    files = dict.fromkeys(file for module in modules for file in _files(module))
    with tempfile.TemporaryFile("w+") as out:

        def collect():
            swaps = Swaps(chosen, ends, slow, out)
            sys.settrace(swaps.trace)
            return int(pytest.main([*OPTIONS, *files], [swaps]))

        if _fork(collect, quiet=False) != pytest.ExitCode.OK:
            raise SystemExit("the tests could not be run")
        out.seek(0)
        cost, *rows = map(json.loads, out)
    result = {m: dict(mutants=0, killed=0, timed_out=0, survivors=[]) for m in modules}
    sound = False
    for (module, mutant), (status, names, again) in zip(chosen, rows, strict=False):
        if names and again:
            if time.monotonic() > ends + 90:
                continue  # not tried
            status = _fork(partial(_imported, module, mutant, names), 30 + _limit(cost, names))
            sound = sound or status == SURVIVED
            if not sound and _fork(partial(_imported, module, None, names), quiet=False):
                raise SystemExit(f"the tests of {module} fail without a mutant")
            sound = True
            if status == NOT_TRIED:
                raise SystemExit(f"a mutant was not imported: {mutant.becomes}")
        found = result[module]
        found["mutants"] += 1
        found["timed_out"] += -status in (signal.SIGALRM, signal.SIGPROF)
        if status in (SURVIVED, NOT_TRIED):
            found["survivors"].append(_told(module, mutant, bool(names)))
        else:
            found["killed"] += 1
    for found in result.values():
        found["survivors"].sort(key=lambda survivor: (survivor["line"], survivor["is"]))
    return result


def _told(module: str, mutant: Mutant, reached: bool) -> dict:
    """A survivor, and why it is accepted; one that no test reaches, by the line as it is."""
    reasons = tomllib.loads(REASONS.read_text()).get(module, {}) if REASONS.exists() else {}
    reason = reasons.get(mutant.becomes, "" if reached else reasons.get(mutant.was, ""))
    print(f"{module} {mutant.line}: {mutant.was}\n -> {mutant.becomes}\n {reason}", flush=True)
    return {"line": mutant.line, "was": mutant.was, "is": mutant.becomes, "reason": reason}


def main():
    """Try the mutants, print the table, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="to stop after")
    parser.add_argument("--slow", type=float, default=SLOW, help="seconds, at most, of a test")
    parser.add_argument("--again", action="store_true", help="try the survivors of the record")
    parser.add_argument("--record", type=Path, default=RECORD)
    given = parser.parse_args()
    if unknown := set(given.modules) - set(TESTS):
        parser.error(f"unknown modules {', '.join(unknown)}; there are {', '.join(TESTS)}")
    old = json.loads(given.record.read_text())["modules"] if given.record.exists() else {}
    chosen, of = draw(given.modules or TESTS, given.seed, given.share)
    if given.again:
        left = {(m, s["was"], s["is"]) for m, found in old.items() for s in found["survivors"]}
        chosen = [(m, mutant) for m, mutant in chosen if (m, mutant.was, mutant.becomes) in left]
    _prepare(len(chosen))
    ends = float("inf") if given.again else time.monotonic() + given.seconds
    found = attempt(chosen, ends, given.slow)
    modules = old | {name: {"of": of[name]} | found[name] for name in found}
    if given.again:
        for name, now in found.items():
            gone = len(old[name]["survivors"]) - now["mutants"]  # with the code that was deleted
            tried = old[name]["mutants"] - max(gone, 0)
            modules[name] |= {
                "mutants": tried,
                "killed": tried - len(now["survivors"]),
                "timed_out": old[name]["timed_out"] + now["timed_out"],
            }
    for name, found in modules.items():
        print(f"{name}: {found['killed']} of {found['mutants']} killed, of {found['of']} mutants")
    tried, of = (sum(found[key] for found in modules.values()) for key in ("mutants", "of"))
    record = {
        "seed": given.seed,
        "processor": _processor(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scipy", "pytest", "hypothesis")},
        "share": tried / of,
        "modules": {name: modules[name] for name in TESTS if name in modules},
    }
    given.record.parent.mkdir(parents=True, exist_ok=True)
    given.record.write_text(json.dumps(record, indent=1) + "\n")


def _prepare(count: int):
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
    if count > 50:  # what torch imports when it is first used is imported once for all
        one = torch.ones(1, dtype=torch.float64, requires_grad=True)
        torch.testing.assert_close(one, one)
        torch.autograd.gradcheck(torch.vmap(torch.exp), one)
        torch.optim.Adam([one]).zero_grad()
    checker = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
    jaxtyping.install_import_hook(["kflow"], checker)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
