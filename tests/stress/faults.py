"""Faults: runs that are killed, disks that are full, folders that cannot be written, no memory.

Each is tried in a forked process, so that a try costs no start of Python.
"""

import contextlib
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

import kflow
from kflow import figures, paper
from kflow.engine import sealed, shards
from kflow.figures import records
from tests.stress.tally import Tally
from tests.stress.verdict import Verdict, fingerprint

LAYERS, N = 60, 40
NOBODY = 65534


def run(path=None, group=None, layers=LAYERS, pause=0.0, keep=False):
    """A run that saves every seventh layer; it is the same bits, however it is interrupted."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(N, 3, generator=rng)
    y = torch.nn.functional.one_hot(torch.arange(N) % 4, 4).float()
    carry = x[:6] + 1
    if group is not None:
        x, y = (part[shards.part(N, group)] for part in (x, y))
        carry = carry[shards.part(6, group)]
    flow = kflow.KernelFlow(kflow.Gaussian(1.5), 10, kflow.MaxDisplacement(0.05), nugget=1e-3)

    def observe(state):
        time.sleep(pause)
        return {"rho": float(state.rho.sum()), "where": state.points[:2]}

    generator = torch.Generator().manual_seed(1)
    end = flow.run(x, y, layers, generator, carry=carry, observe=observe, lookahead=3,
                   observe_at=range(0, layers + 1, 5), checkpoint=path, checkpoint_every=7,
                   keep_layers=keep, group=group)  # fmt: skip
    return end.points, end.carried, end.rho, end.eps, end.observed, generator.get_state()


def fork(act, *arguments) -> int:
    """Call act(*arguments) in a forked process, which ends with its status; its number."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            act(*arguments)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            with contextlib.suppress(OSError):
                traceback.print_exc(file=open(os.devnull, "w"))
        finally:
            os._exit(status)
    return process


def answer(act, *arguments, seconds=120.0):
    """What act returns, or the exception it raises, in a forked process."""
    with tempfile.TemporaryFile() as file:
        process = fork(_answer, file, act, arguments)
        ended = wait(process, seconds)
        file.seek(0)
        found = file.read()
    return pickle.loads(found) if found else RuntimeError(f"ended with status {ended}")


def _answer(file, act, arguments):
    try:
        found = act(*arguments)
    except BaseException as error:
        found = (type(error).__name__, str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    pickle.dump(found, file)
    file.flush()


def wait(process: int, seconds: float = 120.0) -> int:
    """The status of a forked process, negative for a signal; one that hangs is killed."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return -99


def unbroken() -> tuple[str, float]:
    """The bits of a run that nothing interrupts, and the seconds it takes."""
    began = time.monotonic()
    return fingerprint(run()), time.monotonic() - began


def kill(draw: random.Random, want: str, seconds: float) -> tuple[Verdict, list[str]]:
    """Kill a run at a random instant, and take it up: the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow.st"
        kept = Path(folder) / "kept" if draw.random() < 0.3 else False
        process = fork(run, path, None, LAYERS, 0.0, kept)
        time.sleep(draw.uniform(0, seconds))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        killed = wait(process) == -signal.SIGKILL
        at = sealed.read(path)[1]["layer"] if path.exists() else 0
        where = f"at layer {at}" if killed else "it was done"
        try:
            found = fingerprint(run(path, keep=kept))
        except Exception as error:
            return Verdict("found", f"a killed run was not taken up: {error!r}"), [where]
    same = Verdict("right") if found == want else Verdict("found", "a killed run has other bits")
    return same if killed else Verdict("done"), [where]


def _rank(rank, folder, attempt, path):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting-{attempt}", rank=rank, world_size=2)
    found = run(path, dist.group.WORLD)
    if attempt == "last":
        # what a rank observed is not among it: rank 0's is saved
        (Path(folder) / f"bits{rank}").write_text(fingerprint(found[:4]))
    dist.destroy_process_group()


def kill_a_rank(draw: random.Random, want: list[str], seconds: float):
    """Kill one of two ranks, or both, at a random instant, and start both again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow.json"
        ranks = [fork(_rank, r, folder, "first", path) for r in range(2)]
        time.sleep(draw.uniform(0.3, 1.0) * seconds)
        who = draw.choice([[0], [1], [0, 1]])
        for r in who:
            with contextlib.suppress(ProcessLookupError):
                os.kill(ranks[r], signal.SIGKILL)
        ended = [wait(process) for process in ranks]
        if -99 in ended:
            return Verdict("found", f"a rank hangs where another was lost, {ended}"), [f"{who}"]
        ranks = [fork(_rank, r, folder, "last", path) for r in range(2)]
        status = [wait(process) for process in ranks]
        if status != [0, 0]:
            return Verdict("found", f"ranks were not taken up, {status}"), [f"{who}"]
        bits = [(Path(folder) / f"bits{r}").read_text() for r in range(2)]
    killed = all(ended[r] == -signal.SIGKILL for r in who)
    kind = "right" if killed else "done"
    return Verdict(kind) if bits == want else Verdict("found", "other bits of ranks"), [f"{who}"]


def two_ranks() -> tuple[list[str], float]:
    """The bits of two ranks that nothing interrupts, and the seconds they take."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        ranks = [fork(_rank, r, folder, "last", Path(folder) / "flow.json") for r in range(2)]
        for process in ranks:
            if wait(process) != 0:
                raise RuntimeError("two ranks do not run here")
        return [(Path(folder) / f"bits{r}").read_text() for r in range(2)], time.monotonic() - began


def interrupt(draw: random.Random, want: str, seconds: float):
    """SIGTERM or Ctrl-C: the block of layers is ended, the state saved, and the run taken up."""
    number = draw.choice([signal.SIGTERM, signal.SIGINT])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow.st"
        process = fork(_interrupted, path)
        ends = time.monotonic() + 30
        while not path.exists() and time.monotonic() < ends:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.1))
        os.kill(process, number)
        status = wait(process)
        at = sealed.read(path)[1]["layer"]
        told = (Path(folder) / "told").read_text() if (Path(folder) / "told").exists() else ""
        found = fingerprint(run(path))
    said = [signal.Signals(number).name, f"at layer {at}"]
    if status == 0:
        return Verdict("done"), said
    if status != {signal.SIGTERM: 143, signal.SIGINT: 130}[number] or f"layer {at}" not in told:
        return Verdict("found", f"{said[0]} ends with status {status} and says {told!r}"), said
    return Verdict("right" if found == want else "found", "" if found == want else "bits"), said


def _interrupted(path):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    told = path.parent / "told"
    sys.stderr = open(told, "w")
    try:
        run(path, pause=0.02)
    except KeyboardInterrupt as error:
        told.write_text(str(error))
        raise SystemExit(130) from None
    finally:
        sys.stderr.flush()


def _publish(folder, seed):
    os.environ["KFLOW_OUTPUT"] = str(folder)
    import matplotlib.pyplot as plt

    chapter = figures.begin("stress", parameters={})
    x = np.random.default_rng(seed).normal(size=20_000)

    def draw():
        figure, axes = plt.subplots()
        axes.plot(x[:2000])
        return figure

    chapter.publish(
        "a-figure",
        draw,
        title="T",
        claim="C",
        caption="C",
        alt="A",
        data={"x": (x, "x")},
        dtype="float64",
    )


def _fit(folder, seed):
    x = np.random.default_rng(seed).normal(size=(300, 3))
    model = kflow.KernelFlowRegressor(steps=0, nugget=0.1, refit_nugget=False)
    model.fit(x, x[:, 0]).save(folder / "model.st")


def _record(folder, seed):
    x = np.random.default_rng(seed).normal(size=20_000)
    paper.record.write(folder / "some.json", {"seed": seed, "x": x[:9000].tolist()}, {"x": x})


def _checkpoint(folder, seed):
    run(folder / "flow.st", layers=20 + 20 * seed)


def _layers(folder, seed):
    run(folder / "flow.st", layers=20 + 20 * seed, keep=folder / "kept")


WRITERS = [_checkpoint, _layers, _fit, _record, _publish]
READ = {  # what of it must be as it was, where writing fails
    "_checkpoint": lambda folder: sealed.read(folder / "flow.st")[0]["points"],
    "_layers": lambda folder: [sealed.read(folder / f"kept/layer-{k:08d}.safetensors")[0]
                               for k in range(20)],
    "_fit": lambda folder: kflow.KernelFlowRegressor.load(folder / "model.st").predict(np.eye(3)),
    "_record": lambda folder: ((folder / "some.json").read_bytes(),
                               np.load(folder / "some.npz")["x"]),
    "_publish": lambda folder: records.load(folder / "figures/a-figure"),
}  # fmt: skip


def _on_a_full_disk(act, folder, limit, left):
    """Write where no file may be larger than `limit`, or where the disk has no more than that."""
    if left is None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    act(folder, 1)


@contextlib.contextmanager
def small_disk(size: int):
    """A folder on a disk of so many bytes, where one may be mounted; else None."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = os.system(f"mount -t tmpfs -o size={size} none {folder} 2>/dev/null") == 0
        try:
            yield Path(folder) if mounted else None
        finally:
            if mounted:
                os.system(f"umount -l {folder}")


def full_disk(draw: random.Random):
    """Write a second time on a disk that is full: a clear error, and the former state intact."""
    act = draw.choice(WRITERS)
    limit = draw.choice([0, 200, 2_000, 20_000])
    with small_disk(4_000_000) as disk, tempfile.TemporaryDirectory() as other:
        folder = disk or Path(other)
        act(folder, 0)
        before = fingerprint(READ[act.__name__](folder))
        if disk:
            filler = disk / "filler"
            free = os.statvfs(disk).f_bavail * 4096
            filler.write_bytes(bytes(max(0, free - limit)))
        told = answer(_on_a_full_disk, act, folder, limit, disk)
        if disk:
            filler.unlink()
        after = fingerprint(READ[act.__name__](folder))
    said = [act.__name__.strip("_"), f"{limit} bytes", "tmpfs" if disk else "RLIMIT_FSIZE"]
    if after != before and told is not None:
        return Verdict("found", f"{said[0]} lost what was there, on a full disk"), said
    return _worded(told, said, "OSError", "ValueError")


def read_only(draw: random.Random):
    """Write to a folder that this user may not write to."""
    act = draw.choice(WRITERS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "inside"
        folder.mkdir()
        os.chmod(place, 0o755)
        os.chmod(folder, 0o555)
        told = answer(_as_nobody, act, folder)
        left = [p.name for p in folder.rglob("*")]
    said = [act.__name__.strip("_")]
    if left:
        return Verdict("found", f"{said[0]} left {left} in a read-only folder"), said
    return _worded(told, said, "PermissionError", "OSError")


def _as_nobody(act, folder):
    if os.getuid() == 0:
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    act(folder, 1)


def _worded(told, said, *classes):
    if told is None:
        return Verdict("done"), said
    if isinstance(told, tuple) and told[0] in classes and "/" in told[1]:
        return Verdict("refused", told[1]), said
    return Verdict("found", f"{said} ends in {str(told)[:300]}"), said


def two_runs(draw: random.Random):
    """A second run on one checkpoint is refused while the first one goes on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow.st"
        process = fork(run, path, None, LAYERS, 0.05)
        while not path.exists():
            time.sleep(0.001)
        told = answer(run, path)
        os.kill(process, signal.SIGKILL)
        wait(process)
    return _worded(told, ["two runs"], "BlockingIOError")


def little_memory(draw: random.Random):
    """A flow that does not fit in memory says what it needs."""
    more = draw.choice([20, 60, 120]) * 10**6
    told = answer(_in_little_memory, more)
    if isinstance(told, tuple) and told[0] == "MemoryError" and "a run takes" in told[1]:
        return Verdict("refused", told[1]), [f"{more} bytes"]
    kind = "done" if told is None else "found"
    return Verdict(kind, f"little memory ends in {str(told)[:300]}"), [f"{more} bytes"]


def _in_little_memory(more):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    x = torch.ones(400_000, 30).cumsum(0).div_(400_000)
    flow = kflow.KernelFlow(kflow.Gaussian(5.0), 10, kflow.MaxDisplacement(0.05), nugget=0.1)
    resource.setrlimit(resource.RLIMIT_AS, (used + x.nbytes + more, resource.RLIM_INFINITY))
    flow.run(x, x[:, :1], 2, torch.Generator().manual_seed(0))


def tally(seed: int, kills: int, of_ranks: int, others: int) -> Tally:
    """All faults, so many times each."""
    torch.set_num_threads(1)
    found = Tally(seed)
    want, seconds = unbroken()
    plans = [("kill -9", kill, kills, (want, seconds)),
             ("SIGTERM, Ctrl-C", interrupt, others, (want, seconds)),
             ("full disk", full_disk, 2 * others, ()), ("read-only folder", read_only, others, ()),
             ("two runs", two_runs, min(others, 3), ()),
             ("little memory", little_memory, min(others, 5), ())]  # fmt: skip
    if of_ranks:
        plans.insert(1, ("kill -9 of a rank of two", kill_a_rank, of_ranks, two_ranks()))
    for name, act, count, arguments in plans:
        for number in range(count):
            draw = random.Random(f"{name}/{seed}/{number}")
            found.add(number, name, *act(draw, *arguments))
        print(name, dict(found.counts[name]), flush=True)
    return found
